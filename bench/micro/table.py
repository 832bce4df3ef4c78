#!/usr/bin/env python3
"""Prints results of Google Benchmark (its JSON files, with aggregates) as one table.

    python3 bench/micro/table.py FILE...

A benchmark is called "row/who": a row for each what, a column for each who, medians of the time in
nanoseconds; the column "spread" is the largest coefficient of variation in the row. Where a
benchmark counts its allocations, that is a second table.
"""

import json
import pathlib
import sys

COLUMNS = ["ferry", "Asio", "libuv", "asyncio", "uvloop", "Go"]


def read(names):
    """row -> who -> median, row -> who -> allocations, row -> spread"""
    times, allocations, spread = {}, {}, {}
    for name in names:
        text = pathlib.Path(name).read_text()
        for result in json.loads(text)["benchmarks"] if text.strip() else []:
            row, _, who = result["run_name"].partition("/")
            if result.get("aggregate_name") == "median":
                assert result["time_unit"] == "ns"
                times.setdefault(row, {})[who] = result["cpu_time"]
                if "allocations" in result:
                    allocations.setdefault(row, {})[who] = result["allocations"]
            elif result.get("aggregate_name") == "cv":
                spread[row] = max(spread.get(row, 0), result["cpu_time"])
    return times, allocations, spread


def print_table(title, rows, digits, last, last_title):
    """One column for each of COLUMNS that has anything, then `last(row)`."""
    columns = [who for who in COLUMNS if any(who in values for values in rows.values())]
    width = max(map(len, [title, *rows]))
    print(f"{title:{width}}  {'  '.join(f'{who:>8}' for who in columns)}  {last_title}".rstrip())
    for row, values in rows.items():
        cells = [f"{values[who]:8.{digits}f}" if who in values else f"{'-':>8}" for who in columns]
        print(f"{row:{width}}  {'  '.join(cells)}  {last(row)}".rstrip())


def main():
    times, allocations, spread = read(sys.argv[1:])
    if not times:
        sys.exit("no results")

    def beside(row):
        rest = ", ".join(f"{who} {time:.1f}" for who, time in times[row].items()
                         if who not in COLUMNS)
        return f"{spread.get(row, 0):6.1%}  {rest}"

    print_table("ns, median", times, 1, beside, "spread  beside")
    if allocations:
        print()
        print_table("allocations", allocations, 3, lambda row: "", "")


if __name__ == "__main__":
    main()
