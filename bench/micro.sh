#!/bin/sh
# The micro benchmarks:  sh bench/micro.sh [FILTER]     (a regular expression on "row/who")
#
# Builds release and prints a table: nanoseconds, medians of REPETITIONS (5) runs of one thread,
# pinned to one core. The raw figures go to build-release/micro*.json. Who is not installed is left
# out, with a word.
set -eu
cd "$(dirname "$0")/.."
sh test/setup.sh bench

build=build-release
cpp='bench/micro/micro_benchmarks bench/micro/micro_benchmarks_asio'
programs=$cpp
if command -v go >/dev/null; then
  programs="$programs bench/micro/go_tasks"
else
  echo "micro: no go, left out" >&2
fi
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
# Runs "$3...", pinned, called $1, which leaves its results in the file $2.
run() {
  echo "running $1" >&2
  result=$2
  shift 2
  taskset -c "${CORE:-$(($(nproc) - 1))}" "$@" 2>"$result.log" || {
    cat "$result.log" >&2
    exit 1
  }
  results="$results $result"
}

filter=${1:-.}
for program in $cpp; do
  result=$build/$(basename "$program").json
  run "$program" "$result" "$build/$program" --benchmark_filter="$filter" \
    --benchmark_repetitions="${REPETITIONS:-5}" --benchmark_min_time=0.1 \
    --benchmark_report_aggregates_only=true \
    --benchmark_out="$result" --benchmark_out_format=json >/dev/null
done
# Debian's uvloop belongs to Debian's Python, which need not be the first one.
python=python3
$python -c 'import uvloop' 2>/dev/null || python=/usr/bin/python3
for who in asyncio uvloop; do
  if $python -c "import $who" 2>/dev/null; then
    run "python_tasks.py $who" $build/micro_$who.json \
      $python -B bench/micro/python_tasks.py $who "$filter" >$build/micro_$who.json
  else
    echo "micro: no $who, left out" >&2
  fi
done
if command -v go >/dev/null; then
  run go_tasks $build/micro_go.json \
    $build/bench/micro/go_tasks "$filter" >$build/micro_go.json
fi
# shellcheck disable=SC2086
python3 -B bench/micro/table.py $results
