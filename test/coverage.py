#!/usr/bin/env python3
"""Prints the line coverage of the library's layers out of a build directory: coverage.py BUILD"""

import collections
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
ASKED = {"loop": 90, "net": 90, "tls": 90, "streams": 90}  # percent


def main(build):
    report = subprocess.run(
        ["gcovr", "--root", ROOT, "--object-directory", build, "--filter", f"{ROOT}/lib/",
         "--json", "--exclude-unreachable-branches", "--gcov-ignore-parse-errors", build],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True).stdout
    layers = collections.defaultdict(lambda: [0, 0])
    files = []
    for file in json.loads(report)["files"]:
        lines = [line for line in file["lines"] if not line["gcovr/noncode"]]
        ran = sum(1 for line in lines if line["count"] > 0)
        if not lines:
            continue
        layer = pathlib.PurePath(file["file"]).parts[1]
        layers[layer][0] += ran
        layers[layer][1] += len(lines)
        missed = [line["line_number"] for line in lines if line["count"] == 0]
        files.append((ran / len(lines), file["file"], len(lines), missed))
    for share, name, count, missed in sorted(files)[:25]:
        print(f"{share:6.1%} of {count:4}  {name}: {ranges(missed)}")
    print()
    low = False
    for layer, (ran, count) in sorted(layers.items()):
        share = 100 * ran / count
        low |= share < ASKED.get(layer, 0)
        asked = f" (asked: {ASKED[layer]} %)" if layer in ASKED else ""
        print(f"{layer:8} {share:5.1f} % of {count:5} lines{asked}")
    return 1 if low else 0


def ranges(numbers):
    """[1, 2, 3, 7] as "1-3 7"."""
    words = []
    for number in numbers:
        if words and words[-1][1] == number - 1:
            words[-1][1] = number
        else:
            words.append([number, number])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in words)


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]).resolve()))
