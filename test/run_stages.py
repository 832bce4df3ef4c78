#!/usr/bin/env python3
"""The stages of test/run.sh: builds in several ways, their tests, and checks of the sources.

    python3 test/run_stages.py [--quick] [--list] [STAGE...]

Every test case counts as one, every check as one, a build that fails as one failure. The last line
is "N passed, N failed, N skipped"; the exit code is 0 if and only if nothing failed.
"""

import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
TEST = ROOT / "test"
BUILDS = pathlib.Path(os.environ.get("BUILD_ROOT", ROOT))  # the build-* directories go here
JOBS = os.cpu_count() or 2
LINES_SHOWN = 120  # of a failing build's or test's output


class BuildFailed(Exception):
    """Carries the text to show."""


class Tally:
    def __init__(self):
        self.passed = self.skipped = 0
        self.failures = []  # (name, output)

    def add(self, outcome, name="", output=""):
        if outcome == "passed":
            self.passed += 1
        elif outcome == "skipped":
            self.skipped += 1
        else:
            self.failures.append((name, output))

    def merge(self, other):
        self.passed += other.passed
        self.skipped += other.skipped
        self.failures += other.failures

    def __str__(self):
        return f"{self.passed} passed, {len(self.failures)} failed, {self.skipped} skipped"


def run(command, **how):
    """Runs to the end, standard output and error together as text."""
    return subprocess.run([str(word) for word in command], cwd=ROOT, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **how)


def shortened(text, lines=LINES_SHOWN):
    """The end of a text, with its first error if that lies further up."""
    every = text.rstrip("\n").split("\n")
    if len(every) <= lines:
        return "\n".join(every)
    start = next((i for i, line in enumerate(every)
                  if re.match(r"FAILED: |.*\berror: |==\d+==ERROR|WARNING: ThreadSanitizer", line)),
                 len(every) - lines)
    start = min(start, len(every) - lines)
    before = [f"... ({start} lines before)"] if start else []
    after = every[start + lines:]
    return "\n".join(before + every[start:start + lines]
                     + ([f"... ({len(after)} lines after)"] if after else []))


# ---- building


class Build:
    """A build directory."""

    def __init__(self, name, options=(), compiler=("gcc", "g++")):
        self.folder = BUILDS / f"build-{name}"
        self.options = list(options)
        self.compiler = compiler

    def configure(self):
        """Sets the directory up; again from nothing if it was made with other options."""
        cc, cxx = self.compiler
        ccache = "ccache " if shutil.which("ccache") else ""
        environment = dict(os.environ, CC=ccache + cc, CXX=ccache + cxx)
        if linker := next((name for name in ("lld", "gold") if shutil.which("ld." + name)), None):
            environment.update(CC_LD=linker, CXX_LD=linker)  # a third of the default one's time
        stamp = self.folder / "options-of-test-run"
        wanted = " ".join([cc, cxx, *self.options])
        ready = (self.folder / "build.ninja").is_file()
        if ready and (not self.options or (stamp.is_file() and stamp.read_text() == wanted)):
            return
        if self.folder.exists():
            shutil.rmtree(self.folder)
        done = run(["meson", "setup", self.folder, ROOT, *self.options], env=environment)
        if done.returncode != 0:
            raise BuildFailed(done.stdout)
        stamp.write_text(wanted)

    def compile(self, targets=()):
        """A warning is a failure, as it would be with -Werror, which would keep ccache from using one
        stage's objects for another."""
        # So that ccache keeps what was compiled with a precompiled header, and does not preprocess
        # first what it does not have.
        environment = dict(os.environ, CCACHE_SLOPPINESS="pch_defines,time_macros",
                           CCACHE_DEPEND="1")
        done = run(["ninja", "-C", self.folder, "-k", "0", "-j", JOBS, *targets], env=environment)
        if done.returncode != 0 or re.search(r": warning: ", done.stdout):
            raise BuildFailed(done.stdout)

    def introspect(self, what):
        # Ninja first brings the description up to date with changed meson.build files.
        run(["ninja", "-C", self.folder, "build.ninja"])
        done = subprocess.run(["meson", "introspect", str(self.folder), what], cwd=ROOT, text=True,
                              capture_output=True)
        if done.returncode != 0:
            raise BuildFailed(done.stdout + done.stderr)
        return json.loads(done.stdout)

    def targets_below(self, *folders):
        """The names, for ninja, of all targets that the meson.build files of some folders make."""
        return [os.path.relpath(filename, self.folder)
                for target in self.introspect("--targets")
                for filename in target["filename"]
                if target["build_by_default"]
                and os.path.relpath(target["defined_in"], ROOT).startswith(folders)]

    def all_tests(self):
        return [test["name"] for test in self.introspect("--tests")]

    def needed_by(self, *names):
        """The targets that the tests of these names need, or all tests."""
        by_id = {target["id"]: target["filename"] for target in self.introspect("--targets")}
        tests = [test for test in self.introspect("--tests") if test["name"] in names or not names]
        if missing := set(names) - {test["name"] for test in tests}:
            raise BuildFailed(f"no test is called {', '.join(sorted(missing))}")
        needed = {os.path.relpath(filename, self.folder)
                  for test in tests for target in test["depends"] for filename in by_id[target]}
        return sorted(needed)

    def test(self, names=(), wrapper=(), patience=1, environment=None):
        """Runs Meson's tests, all or those named; they must have been built."""
        log = self.folder / "meson-logs/testlog.json"
        log.unlink(missing_ok=True)
        command = ["meson", "test", "-C", self.folder, "--no-rebuild", "--quiet",
                   "--num-processes", 2 * JOBS, "--timeout-multiplier", patience]
        if wrapper:
            command.append("--wrapper=" + " ".join(wrapper))
        done = run([*command, *names], env=dict(os.environ, **(environment or {})))
        tally = Tally()
        entries = log.read_text(errors="replace").splitlines() if log.is_file() else []
        for entry in map(json.loads, entries):
            tally.merge(read_test(entry, self.folder.name))
        # Meson itself may fail: no such test, a broken build description.
        if done.returncode != 0 and not tally.failures:
            tally.add("failed", f"{self.folder.name}: meson test", shortened(done.stdout))
        if not entries and not tally.failures:
            tally.add("failed", f"{self.folder.name}: no tests were run", done.stdout)
        return tally


# ---- reading what tests print


GTEST = re.compile(r"\[ RUN      \] (?P<begun>\S+)|"
                   r"\[(?P<end>       OK |  FAILED  |  SKIPPED )\] (?P<ended>\S+?)(?:, where .*)? "
                   r"\(\d+ ms\)")
TAP = re.compile(r"^(not )?ok\b(?:\s+\d+)?(?:\s*-\s*)?(.*?)(\s+# SKIP.*)?$", re.M)


def read_test(entry, where):
    """Splits one Meson test (a line of testlog.json) into its cases."""
    output = entry.get("stdout", "")
    errors = entry.get("stderr", "")
    name = f"{where}: {entry['name']}"
    if "[==========] Running " in output:
        tally = read_gtest(output, name)
    elif re.search(r"^1\.\.\d+$", output, re.M):
        tally = read_tap(output, name)
    else:
        tally = Tally()
        outcome = {"OK": "passed", "EXPECTEDFAIL": "passed", "SKIP": "skipped"}
        tally.add(outcome.get(entry["result"], "failed"), f"{name}: {entry['result']}",
                  shortened(output + errors))
        return tally
    if tally.failures and errors:
        tally.failures[-1] = (tally.failures[-1][0],
                              tally.failures[-1][1] + "\nstandard error:\n" + shortened(errors))
    if "[==========] Running 0 tests" in output:
        tally.add("failed", f"{name}: no case matches", shortened(output))
    # All cases well and yet a failure: a leak at the end, a crash after the last case.
    if entry["result"] not in ("OK", "SKIP", "EXPECTEDFAIL") and not tally.failures:
        tally.add("failed", f"{name}: {entry['result']}, exit code {entry.get('returncode')}",
                  shortened(output[-2000:] + errors))
    return tally


def read_gtest(output, where):
    tally = Tally()
    open_case, started = None, 0
    for match in GTEST.finditer(output):
        if match["begun"]:
            if open_case:  # the program printed a lookalike, or a child of it did
                continue
            open_case, started = match["begun"], match.start()
        elif match["ended"] == open_case:
            outcome = {"OK": "passed", "SKIPPED": "skipped"}.get(match["end"].strip(), "failed")
            tally.add(outcome, f"{where}: {open_case}", shortened(output[started:match.end()]))
            open_case = None
    if open_case:
        tally.add("failed", f"{where}: {open_case} did not end", shortened(output[started:]))
    return tally


def read_tap(output, where=""):
    tally = Tally()
    matches = list(TAP.finditer(output))
    for match, following in zip(matches, [*matches[1:], None]):
        end = following.start() if following else len(output)
        outcome = "failed" if match[1] else "skipped" if match[3] else "passed"
        tally.add(outcome, f"{where}: {match[2]}" if where else match[2],
                  shortened(output[match.end():end].strip("\n")))
    return tally


# ---- the stages


# The headers of the tests compiled once for each suite: the bigger part of what a test file costs.
PRECOMPILED = ["-Db_pch=true"]


def release():
    """the release build and all tests"""
    build = Build("release", PRECOMPILED)
    build.configure()
    yield
    build.compile()
    yield
    # What is freed is overwritten: a coroutine's frame that g++ destroys twice shows.
    yield build.test(environment={"GLIBC_TUNABLES": "glibc.malloc.perturb=165"})


def async_wait():
    """the library and its tests with the second FdWatch"""
    # Built like release, so that with ccache only the loop layer is compiled again.
    build = Build("async-wait", ["-Dwatch=async_wait", "-Dexamples=false", "-Dbench=false",
                                 *PRECOMPILED])
    build.configure()
    yield
    # Whatever waits for descriptors. In the simulation nothing does.
    names = [name for name in build.all_tests()
             if not name.startswith("sim")
             and name not in ("base", "task_core", "task_refused", "mutants", "memory", "lifetime",
                              "tls")]
    build.compile(build.needed_by(*names))
    yield
    yield build.test(names, environment={"GTEST_FILTER": "-*/Sim*"})


# It compiles in half the time that g++ takes, and what it makes of coroutines is looked at as well.
CLANG = ("clang", "clang++")


def clang():
    """everything with clang, under AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer"""
    # The check of vptrs opens a pipe to look at memory, and finds everything wrong when descriptors
    # have run out, as some tests make them. That of functions keeps clang 14 from compiling
    # coroutines. Sanitizers' symbols are found when a program is linked.
    # The time that it takes to optimize the library a little, its tests save.
    build = Build("clang", ["-Db_sanitize=address,undefined", "-Db_lundef=false",
                            "-Dbuildtype=plain", "-Doptimization=1",
                            "-Dcpp_args=-g1 -fno-sanitize-recover=all -fno-sanitize=vptr,function",
                            *PRECOMPILED], CLANG)
    build.configure()
    yield
    # Not the parity with asyncio: what it calls, the suites of coroutines call. ferry-bench is
    # compiled, and does what the suites do.
    names = [name for name in build.all_tests()
             if name not in ("parity", "mutants", "programs_bench")]
    build.compile(sorted({*build.targets_below("lib/", "examples/"),
                          *build.needed_by(*names, "programs_bench")}))
    yield
    yield build.test(names, patience=4, environment={
        "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1:"
                        "check_initialization_order=1:detect_invalid_pointer_pairs=2",
        "UBSAN_OPTIONS": "print_stacktrace=1"})


# The tests of what starts threads or is called from several of them.
THREADED = ["loop", "group", "task_threads"]


def tsan():
    """the parts that use threads under ThreadSanitizer"""
    # clang's knows of fences, which Asio has and g++ 12's does not know.
    build = Build("tsan", ["-Db_sanitize=thread", "-Db_lundef=false", "-Dbuildtype=plain",
                           "-Dcpp_args=-g1", "-Dexamples=false", "-Dbench=false", *PRECOMPILED],
                  CLANG)
    build.configure()
    yield
    build.compile(build.needed_by(*THREADED))
    yield
    wrapper = tsan_wrapper()
    tally = Tally()
    if wrapper is None:
        tally.add("skipped")
        print("      ThreadSanitizer does not work in this address space, even with setarch -R")
    else:
        tally = build.test(THREADED, wrapper=wrapper, patience=4, environment={
            "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1:"
                            f"suppressions={TEST / 'tsan_suppressions.txt'}"})
    yield tally


def tsan_wrapper():
    """What to put before a program so that ThreadSanitizer finds the address space it wants: nothing
    on most machines; None if nothing helps."""
    probe = BUILDS / "build-tsan/probe"
    compiled = subprocess.run(["clang++", "-fsanitize=thread", "-x", "c++", "-", "-o", probe],
                              input="int main() {}\n", text=True, capture_output=True)
    if compiled.returncode != 0:
        return None
    for wrapper in ([], ["setarch", os.uname().machine, "-R"]):
        if run([*wrapper, probe]).returncode == 0:
            return wrapper
    return None


def formatting():
    """clang-format 14 has nothing to change"""
    yield
    yield
    tool = next((t for t in ("clang-format-14", "clang-format") if shutil.which(t)
                 and re.search(r"version 14\.", run([t, "--version"]).stdout)), None)
    tally = Tally()
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard",
                  "*.h", "*.cpp", "*.c"])
    files = sorted({f for f in listed.stdout.split("\0") if f and (ROOT / f).is_file()})
    if tool is None or listed.returncode != 0:
        print("      needs clang-format 14 and a git checkout")
        tally.add("skipped")
    else:
        done = run([tool, "--dry-run", "-Werror", *files])
        wrong = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error", done.stdout, re.M)))
        tally.add("passed" if done.returncode == 0 else "failed", "clang-format",
                  "\n".join(wrong) + "\n" + shortened(done.stdout, 40))
    yield tally


def layering():
    """who includes what, who calls the system, headers alone: test/layering/check.py"""
    yield
    yield
    tally = checks(TEST / "layering/self_test.py")
    tally.merge(checks(TEST / "layering/check.py"))
    yield tally


def install():
    """a program of a user against the installed library, static and shared"""
    yield
    yield
    yield checks(TEST / "install/check.py", BUILDS / "build-install")


def checks(script, *arguments):
    """Runs a script that prints TAP."""
    done = run([sys.executable, "-B", script, *arguments])
    tally = read_tap(done.stdout, script.parent.name)
    if (done.returncode != 0 and not tally.failures) or not re.search(r"^1\.\.", done.stdout, re.M):
        tally.add("failed", str(script.relative_to(ROOT)), shortened(done.stdout))
    return tally


STAGES = [formatting, layering, release, async_wait, clang, tsan, install]


def processor_time():
    """Of all children so far, in seconds: it tells more than the clock where others work, too."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_stage(stage, title):
    """A stage is a generator: it yields after configuring, after building, and then its tally."""
    started, used = time.monotonic(), processor_time()
    print(f"{title} {stage.__name__}: {stage.__doc__}", flush=True)
    steps = stage()
    built = None
    try:
        next(steps)
        next(steps)
        built, used_building = time.monotonic(), processor_time() - used
        tally = next(steps)
    except BuildFailed as failure:
        tally = Tally()
        tally.add("failed", f"{stage.__name__}: the build failed", shortened(str(failure)))
    ended = time.monotonic()
    for name, output in tally.failures:
        print(f"\nFAILED {name}\n{output}\n")
    seconds = f"{ended - started:.0f} s"
    if built is not None and built - started >= 1:
        seconds += f" (build {built - started:.0f} s)"
    cpu = f"{processor_time() - used:.0f} s"
    if built is not None and built - started >= 1:
        cpu += f" (build {used_building:.0f} s)"
    print(f"      {tally}, {seconds}, processor {cpu}", flush=True)
    return tally


def main():
    arguments = sys.argv[1:]
    by_name = {stage.__name__: stage for stage in STAGES}
    if arguments == ["--list"]:
        for name, stage in by_name.items():
            print(f"{name:12} {stage.__doc__}")
        return 0
    chosen = [by_name.get(a) for a in arguments] or STAGES
    if arguments == ["--quick"]:
        chosen = [release]
    if None in chosen:
        print(f"usage: sh test/run.sh [--quick | --list | {' | '.join(by_name)} ...]",
              file=sys.stderr)
        return 2
    started = time.monotonic()
    total = Tally()
    for number, stage in enumerate(chosen, 1):
        total.merge(run_stage(stage, f"[{number}/{len(chosen)}]"))
    if total.failures:
        print("\nfailed:")
        for name, _ in total.failures:
            print(f"  {name}")
    print(f"all stages: {time.monotonic() - started:.0f} s")
    print(total)
    return 1 if total.failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
