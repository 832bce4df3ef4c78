#!/bin/sh
# Every test:  sh test/run.sh [--quick] [STAGE...]     (stages: see test/run_stages.py)
#
# Installs what is missing (as root), builds into build-* at the root of the repository, and ends
# with the line "N passed, N failed, N skipped". --quick: the release build and its tests only.
set -eu
cd "$(dirname "$0")/.."
sh test/setup.sh test
exec python3 -B test/run_stages.py "$@"
