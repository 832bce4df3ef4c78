#!/bin/sh
# Many simulated worlds:  sh test/sim.sh [SEEDS]     (300,000 unless told)
#
# Every scenario of test/sim in the worlds of so many seeds, each twice, and every rare state met;
# then each allocation that a loop makes in each scenario failing once; then, simulated and on the
# real kernel, each system call of each scenario failing once, the first ones in each of their ways
# (of those behind, on the real kernel, every seventh);
# then for a while the same programs on the real kernel where calls fail and fall short at random
# (FERRY_STORM_SECONDS of each of five strengths, 30 unless told). Ends with exit code 0 if nothing
# failed. A failure prints the arguments that replay it: build-release/test/sim/sim ARGUMENTS
set -eu
cd "$(dirname "$0")/.."
sh test/setup.sh test
build=${BUILD_ROOT:-.}/build-release
[ -f "$build/build.ninja" ] || meson setup "$build" -Db_pch=true >/dev/null
ninja -C "$build" test/sim/sim >/dev/null
"$build/test/sim/sim" --seeds "${1:-300000}" --rare --times
"$build/test/sim/sim" --starve
"$build/test/sim/sim" --torture
"$build/test/sim/sim" --torture --real --jobs 32  # which wait most of the time
for errors in 10 50 100 200 300; do
  echo "on the real kernel, $errors of a thousand calls failing:"
  "$build/test/sim/sim" --real --storm $errors --jobs 16 --seeds 100000000 --seconds "${FERRY_STORM_SECONDS:-30}"
done
