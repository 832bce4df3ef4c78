#!/bin/sh
# Installs the Debian packages that a purpose needs:  sh test/setup.sh [build|test|coverage|bench]
#
#   build   compile the library, the examples and ferry-proxy, ferry-bench
#   test    and run every test (the default)
#   coverage  and see which lines they run
#   bench   and compare with other libraries
#
# Silent when nothing is missing. As root it installs what is; otherwise it names it in one line
# and exits with 1. Safe to repeat.
set -eu
export LC_ALL=C

purpose=${1:-test}
# GoogleTest also to build: one build directory serves all, and Meson looks for it when it is made.
needed='g++ meson ninja-build libasio-dev libssl-dev libcli11-dev libgtest-dev pkg-config'
optional=''
case $purpose in
  build) ;;
  test)
    needed="$needed git libgmock-dev clang libclang-rt-14-dev clang-format python3 tshark"
    needed="$needed openssl gnutls-bin curl nodejs sslscan"
    optional='ccache'
    ;;
  coverage) needed="$needed git libgmock-dev openssl gcovr" ;;
  bench)
    needed="$needed libbenchmark-dev libuv1-dev libevent-dev openssl python3 util-linux"
    needed="$needed haproxy nginx libnginx-mod-stream golang-go python3-uvloop nodejs"
    ;;
  *)
    echo "usage: sh test/setup.sh [build|test|coverage|bench]" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null 2>&1; then
  echo "setup: not a Debian system; please have the equivalents of: $needed" >&2
  exit 0
fi

# The words of "$*" that are not installed packages.
missing_of() {
  # shellcheck disable=SC2016
  installed=$(dpkg-query -W -f '${db:Status-Status} ${binary:Package}\n' "$@" 2>/dev/null |
    sed -n 's/^installed \([^:]*\).*/\1/p') || true
  for package in "$@"; do
    case "
$installed
" in
      *"
$package
"*) ;;
      *) printf '%s ' "$package" ;;
    esac
  done
}

# shellcheck disable=SC2086  # lists of words
missing=$(missing_of $needed)
missing=${missing% }
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
  echo "setup: missing packages; as root: apt-get install $missing" >&2
  exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 1' HUP INT TERM

# Runs apt-get up to three times: mirrors fail now and then.
apt() {
  for pause in 2 5 0; do
    if DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 \
      -o DPkg::Lock::Timeout=120 "$@" >"$log" 2>&1; then
      return 0
    fi
    sleep "$pause"
  done
  return 1
}

echo "setup: installing $missing" >&2
# What cannot be updated may still be installed from lists and packages that are there.
apt update || echo "setup: apt-get update failed, going on with the old lists" >&2
# shellcheck disable=SC2086
if ! apt install -y --no-install-recommends $missing; then
  cat "$log" >&2
  echo "setup: could not install: $missing" >&2
  exit 1
fi
if [ -n "$optional" ]; then
  # shellcheck disable=SC2086
  for package in $(missing_of $optional); do
    apt install -y --no-install-recommends "$package" ||
      echo "setup: going on without $package" >&2
  done
fi
