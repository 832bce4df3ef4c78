#!/usr/bin/env python3
"""Prints results of Google Benchmark (its JSON files, with aggregates) as one table.

    python3 bench/micro/table.py FILE...

A benchmark is called "row/who": a row for each what, a column for each who, medians of the time in
nanoseconds; the column "spread" is the largest coefficient of variation in the row.
"""

import json
import pathlib
import sys

OURS = "ferry"


def main():
    rows = {}  # row -> who -> median
    spread = {}
    for name in sys.argv[1:]:
        text = pathlib.Path(name).read_text()
        for result in json.loads(text)["benchmarks"] if text.strip() else []:
            row, _, who = result["run_name"].partition("/")
            if result.get("aggregate_name") == "median":
                assert result["time_unit"] == "ns"
                rows.setdefault(row, {})[who] = result["cpu_time"]
            elif result.get("aggregate_name") == "cv":
                spread[row] = max(spread.get(row, 0), result["cpu_time"])
    if not rows:
        sys.exit("no results")
    others = ["Asio", "libuv"]
    width = max(map(len, rows))
    names = "  ".join(f"{who:>8}" for who in [OURS, *others])
    print(f"{'ns, median':{width}}  {names}  {'spread':>6}  beside")
    for row, times in rows.items():
        cells = [f"{times[who]:8.1f}" if who in times else f"{'-':>8}" for who in [OURS, *others]]
        rest = ", ".join(f"{who} {time:.1f}" for who, time in times.items()
                         if who not in (OURS, *others))
        print(f"{row:{width}}  {'  '.join(cells)}  {spread.get(row, 0):6.1%}  {rest}".rstrip())


if __name__ == "__main__":
    main()
