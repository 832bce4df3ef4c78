#!/bin/sh
# Times compiling a 30-line echo server on ferry and the same on Asio, without linking:
#   sh bench/compile_time.sh [rounds]        (5; CXX chooses the compiler)
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
sh "$root/test/setup.sh" bench
exec python3 "$root/bench/compile_time/measure.py" "${1:-5}"
