#!/bin/sh
# The main job, shown: an echo server, ferry-proxy in front of it, and ferry-bench driving real
# connections through and around the proxy. Installs what is missing (as root), builds, measures
# for some ten seconds, prints a table.   sh examples/demo.sh
set -eu
cd "$(dirname "$0")/.."
sh test/setup.sh build
[ -f build-release/build.ninja ] || meson setup --buildtype=release build-release >&2
ninja -C build-release examples/echo_server examples/ferry-proxy bench/ferry-bench >&2
exec python3 -B examples/demo.py build-release
