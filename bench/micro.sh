#!/bin/sh
# The micro benchmarks:  sh bench/micro.sh [FILTER]     (a regular expression on "row/who")
#
# Builds release and prints a table: nanoseconds, medians of REPETITIONS (5) runs of one thread,
# pinned to one core. The raw figures go to build-release/micro_benchmarks*.json.
set -eu
cd "$(dirname "$0")/.."
sh test/setup.sh bench

build=build-release
programs='bench/micro/micro_benchmarks bench/micro/micro_benchmarks_asio'
[ -f $build/build.ninja ] || meson setup $build >/dev/null
# The directory may have been made when the packages were not there yet.
# shellcheck disable=SC2086
if ! ninja -C $build -t query $programs >/dev/null 2>&1; then
  meson setup --reconfigure $build >/dev/null
fi
# shellcheck disable=SC2086
ninja -C $build $programs >$build/micro-build.log || {
  cat $build/micro-build.log >&2
  exit 1
}

results=''
for program in $programs; do
  result=$build/$(basename "$program").json
  results="$results $result"
  echo "running $program" >&2
  taskset -c "${CORE:-$(($(nproc) - 1))}" "$build/$program" --benchmark_filter="${1:-.}" \
    --benchmark_repetitions="${REPETITIONS:-5}" --benchmark_min_time=0.1 \
    --benchmark_report_aggregates_only=true \
    --benchmark_out="$result" --benchmark_out_format=json >/dev/null 2>"$result.log" || {
    cat "$result.log" >&2
    exit 1
  }
done
# shellcheck disable=SC2086
python3 -B bench/micro/table.py $results
