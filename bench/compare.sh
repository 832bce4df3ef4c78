#!/bin/sh
# Builds (release) and compares ferry's echo server with those of other libraries:
#   sh bench/compare.sh [seconds per measurement] [--only WORKLOAD[,..]] [--servers SERVER[,..]]
#   sh bench/compare.sh --api streams ...   its StreamReader and StreamWriter, beside Go, Node, uvloop
# and ferry-proxy with other relays:
#   sh bench/compare.sh relay [seconds per measurement] [--only WORKLOAD[,..]] [--relays RELAY[,..]]
# ROUNDS=N in the environment sets the number of rounds (5). --list tells the
# workloads, --help the rest.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build-release

script=$root/bench/compare.py
targets=bench/ferry-bench
if [ "${1-}" = relay ]; then
  shift
  script=$root/bench/compare_relay.py
  targets="$targets examples/ferry-proxy"
fi
for word in "$@"; do
  case $word in -h | --help | --list) exec python3 "$script" "$word" ;; esac
done

sh "$root/test/setup.sh" bench
[ -f "$build/build.ninja" ] || meson setup --buildtype=release "$build" "$root" >&2
# A peer whose library is missing has no target.
for peer in $(ninja -C "$build" -t targets all | sed -n 's|^\(bench/peers/[a-z_]*_echo\): .*|\1|p'); do
  targets="$targets $peer"
done
# shellcheck disable=SC2086  # a list of words
ninja -C "$build" $targets >&2
exec python3 "$script" "$@"
