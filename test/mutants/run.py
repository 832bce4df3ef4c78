#!/usr/bin/env python3
"""Plants each bug of the bank in the library and lets the simulator look for it.

    python3 test/mutants/run.py                 all of them: a table, and how many seeds each took
    python3 test/mutants/run.py --only NAME     one of them, or several
    python3 test/mutants/run.py --check         only that each can still be planted (TAP)

Builds a copy of the tree in build-mutants (below BUILD_ROOT, if that is set), so the tree itself
stays as it is. Exit code 0 if and only if each bug was found within the limit and the library
without one was found good in the same worlds.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test/mutants"))

import loop_bugs  # noqa: E402, F401
import net_bugs  # noqa: E402, F401
from planting import BANK  # noqa: E402

COPY = pathlib.Path(os.environ.get("BUILD_ROOT", ROOT)) / "build-mutants"
SIMS = COPY / "sims"  # the simulator with each bug in it, by name
GOOD = "without_any"
# Of the tree, what the simulator is made of.
COPIED = ["meson.build", "meson_options.txt", "lib", "test"]
MEDIAN = 1000  # seeds that may be needed, asked of all bugs together
FOUND = re.compile(r"^found after (\d+) seeds: scenario ([^,]+), seed (\d+):\s*(.*)$", re.M)


# ---- planting


def planted(mutant, read):
    """The changed texts by file name. `read` gives a file's text. Throws ValueError."""
    texts = {}
    for edit in mutant.edits:
        text = texts.get(edit.file) or read(edit.file)
        times = text.count(edit.old)
        if times != 1:
            raise ValueError(f"{edit.file}: {times} times and not once:\n{edit.old}")
        texts[edit.file] = text.replace(edit.old, edit.new)
    if all(edit.old == edit.new for edit in mutant.edits):
        raise ValueError("nothing is changed")
    return texts


def check():
    """That each bug can be planted, as lines of the Test Anything Protocol."""
    failures = 0
    names = [mutant.name for mutant in BANK]
    for number, mutant in enumerate(BANK, 1):
        wrong = ""
        try:
            planted(mutant, lambda file: (ROOT / file).read_text())
            if names.count(mutant.name) > 1:
                wrong = "two bugs have this name"
            elif not re.fullmatch(r"[a-z][a-z0-9_]*", mutant.name) or not mutant.history:
                wrong = "a name in small letters and a line of history are wanted"
        except (OSError, ValueError) as error:
            wrong = str(error)
        print(f"{'not ok' if wrong else 'ok'} {number} - {mutant.name}")
        for line in wrong.splitlines():
            print(f"# {line}")
        failures += bool(wrong)
    print(f"1..{len(BANK)}")
    return 1 if failures else 0


# ---- building


def source_files():
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard",
                             *COPIED], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0:
        names = [name for name in listed.stdout.split("\0") if name]
    else:  # no git checkout
        names = [str(path.relative_to(ROOT)) for each in COPIED
                 for path in [ROOT / each, *(ROOT / each).rglob("*")]]
    return [name for name in names if (ROOT / name).is_file()]


def write_if_changed(path, text):
    """Untouched files need no compiling."""
    if path.is_file() and path.read_bytes() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)


def copy_tree():
    names = source_files()
    for name in names:
        write_if_changed(COPY / name, (ROOT / name).read_bytes())
    for each in ("lib", "test"):
        for path in (COPY / each).rglob("*"):
            if path.is_file() and str(path.relative_to(COPY)) not in names:
                path.unlink()


def run(command, **how):
    environment = dict(os.environ, CCACHE_SLOPPINESS="pch_defines,time_macros")
    return subprocess.run([str(word) for word in command], env=environment, text=True,
                          errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **how)


def configure():
    build = COPY / "build"
    if (build / "build.ninja").is_file():
        return
    ccache = "ccache " if shutil.which("ccache") else ""
    environment = dict(os.environ, CC=ccache + "gcc", CXX=ccache + "g++")
    done = subprocess.run(["meson", "setup", str(build), str(COPY), "-Dexamples=false",
                           "-Dbench=false", "-Db_pch=true"], env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        sys.exit(done.stdout)


def compile_sim(name, jobs):
    """Builds the simulator and keeps it by that name. What went wrong, or None."""
    SIMS.mkdir(exist_ok=True)
    (SIMS / name).unlink(missing_ok=True)
    done = run(["ninja", "-C", COPY / "build", "-j", jobs, "test/sim/sim"])
    if done.returncode != 0:
        return "does not compile:\n" + done.stdout[-5000:]
    shutil.copy2(COPY / "build/test/sim/sim", SIMS / name)
    return None


def build_all(mutants, arguments):
    """What went wrong, by name."""
    copy_tree()
    configure()
    wrong = {GOOD: compile_sim(GOOD, arguments.jobs)}
    if wrong[GOOD]:
        sys.exit(wrong[GOOD])
    for mutant in mutants:
        files = planted(mutant, lambda file: (ROOT / file).read_text())
        try:
            for file, text in files.items():
                write_if_changed(COPY / file, text.encode())
            wrong[mutant.name] = compile_sim(mutant.name, arguments.jobs)
        finally:
            for file in files:
                write_if_changed(COPY / file, (ROOT / file).read_bytes())
        print(f"{mutant.name} {'DOES NOT COMPILE' if wrong[mutant.name] else 'is built'}",
              flush=True)
    return wrong


# ---- looking


def look(name, arguments, seeds):
    """Runs that simulator up to its first failure: (seeds, scenario, complaint), or None if all was
    well. It is ended when it takes too long, for it may hang where it does not watch itself."""
    command = [str(SIMS / name), "--seeds", str(seeds), "--first", str(arguments.first),
               "--until-failure", "--jobs", "1"]
    if arguments.scenario:
        command += ["--scenario", arguments.scenario]
    process = subprocess.Popen(command, text=True, errors="replace", stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               start_new_session=True)
    try:
        output, _ = process.communicate(timeout=arguments.patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None, "-", f"no end in {arguments.patience} s"
    if process.returncode == 0:
        return None
    match = FOUND.search(output)
    if match is None:
        return None, "-", "what the simulator said is not understood:\n" + output[-2000:]
    return int(match[1]), match[2], match[4]


def look_for(mutant, wrong, arguments):
    if wrong.get(mutant.name):
        return None, "-", wrong[mutant.name]
    if not (SIMS / mutant.name).is_file():
        return None, "-", "is not built"
    return look(mutant.name, arguments, arguments.seeds) or (None, "-", "not found")


def report(results, mutants):
    width = max(len(mutant.name) for mutant in mutants)
    print(f"\n{'bug':{width}}  {'seeds':>6}  scenario and first complaint")
    for mutant in mutants:
        seeds, scenario, complaint = results[mutant.name]
        shown = "-" if seeds is None else str(seeds)
        print(f"{mutant.name:{width}}  {shown:>6}  {scenario}: {complaint.splitlines()[0][:110]}")
    counts = [seeds for seeds, _, _ in results.values() if seeds is not None]
    median = f"; median {statistics.median(counts):g} seeds" if counts else ""
    print(f"\n{len(counts)} of {len(mutants)} found{median}")
    enough = not counts or statistics.median(counts) <= MEDIAN
    if not enough:
        print(f"the median is above {MEDIAN}")
    return len(counts) == len(mutants) and enough


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="only that each can be planted")
    parser.add_argument("--list", action="store_true", help="the bugs and their history")
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--seeds", type=int, default=20000, help="at most (20000)")
    parser.add_argument("--first", type=int, default=1, help="the first seed (1)")
    parser.add_argument("--scenario", help="of the simulator's, this one alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2,
                        help="to compile with, and to look for so many bugs at once")
    parser.add_argument("--patience", type=int, default=900, help="seconds a bug (900)")
    parser.add_argument("--no-run", action="store_true", help="only build them")
    parser.add_argument("--no-build", action="store_true", help="as they were built last")
    arguments = parser.parse_args()
    if arguments.check:
        return check()
    if arguments.list:
        for mutant in BANK:
            print(f"{mutant.name}\n    {mutant.history}")
        return 0
    known = {mutant.name: mutant for mutant in BANK}
    if unknown := [name for name in arguments.only if name not in known]:
        sys.exit(f"no bug is called {', '.join(unknown)}")
    mutants = [known[name] for name in arguments.only] or BANK

    wrong = {} if arguments.no_build else build_all(mutants, arguments)
    if arguments.no_run:
        return 1 if any(wrong.values()) else 0
    results = {}

    def look_and_tell(mutant):
        started = time.monotonic()
        results[mutant.name] = look_for(mutant, wrong, arguments)
        seeds, scenario, complaint = results[mutant.name]
        print(f"[{len(results)}/{len(mutants)}] {mutant.name}: "
              f"{'NOT FOUND' if seeds is None else f'after {seeds} seeds'}, {scenario}: {complaint} "
              f"({time.monotonic() - started:.0f} s)", flush=True)

    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as lookers:
        list(lookers.map(look_and_tell, mutants))
    # The same worlds without any of them.
    looked = max([seeds for seeds, _, _ in results.values() if seeds] or [1])
    if any(seeds is None for seeds, _, _ in results.values()):
        looked = arguments.seeds
    control = look(GOOD, arguments, looked)
    good = report(results, mutants)
    print(f"without any of them, {looked} seeds: {'all well' if control is None else control}")
    return 0 if good and control is None else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
