#!/bin/sh
# Which lines of the library the tests run:  sh test/coverage.sh
#
# Builds with gcc's counters, runs the tests of the library, and prints for each layer the share of
# its lines that ran, by gcovr, with the files that are lowest. Ends with exit code 0 if loop, net,
# tls and streams are each at 90 % or more and all tests passed.
set -eu
cd "$(dirname "$0")/.."
sh test/setup.sh coverage
build=${BUILD_ROOT:-.}/build-coverage
[ -f "$build/build.ninja" ] ||
  meson setup "$build" -Db_coverage=true -Dbuildtype=plain -Dexamples=false -Dbench=false \
    -Db_pch=true >/dev/null
ninja -C "$build" >/dev/null
find "$build" -name '*.gcda' -delete
# What runs programs of the examples or compiles programs of its own tells nothing of the library.
tests=$(meson test -C "$build" --list 2>/dev/null |
  grep -v -e parity -e programs -e refused -e mutants)
# shellcheck disable=SC2086  # a list of words
passed=true
meson test -C "$build" --quiet --timeout-multiplier 4 $tests || passed=false
python3 -B test/coverage.py "$build"
$passed || { echo "coverage: not all tests passed" >&2; exit 1; }
