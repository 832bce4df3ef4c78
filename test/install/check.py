#!/usr/bin/env python3
"""Installs the library into a temporary folder, static and shared, and builds and runs programs of
a user against it with nothing but `pkg-config --cflags --libs`.

    python3 test/install/check.py [BUILD_FOLDER_PREFIX]

Prints TAP. The prefix is where the two build directories go: PREFIX-static and PREFIX-shared, by
default build-install at the root of the repository.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
APART = "-DASIO_SEPARATE_COMPILATION"
# Program, the pkg-config module it asks for, and what else it is compiled with.
PROGRAMS = [("echo_once", "ferry", []), ("virtual_hour", "ferry-testing", []),
            # Asio's code in the program's own files, in the library, in a file beside.
            ("asio_together", "ferry-asio", []), ("asio_together", "ferry-asio", [APART]),
            ("asio_together", "ferry-asio", [APART, HERE / "asio_copy.cpp"])]
# Headers that need another library, which their module asks for.
NOT_ALONE = ["ferry/asio.h"]

def run(command, **environment):
    """(worked, output)"""
    done = subprocess.run([str(word) for word in command], cwd=ROOT, text=True,
                          env=dict(os.environ, **environment), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode == 0, f"$ {' '.join(map(str, command))}\n{done.stdout}"


def build(folder, kind):
    if not (folder / "build.ninja").is_file():
        ccache = ["ccache "] if shutil.which("ccache") else [""]
        worked, output = run(
            ["meson", "setup", folder, f"-Ddefault_library={kind}",  # flags as of the release build, for ccache
             "-Dprefix=/usr/local", "-Dlibdir=lib", "-Dtests=false", "-Dexamples=false",
             "-Dbench=false"], CC=ccache[0] + "gcc", CXX=ccache[0] + "g++")
        if not worked:
            return False, output
    return run(["ninja", "-C", folder])


def check_kind(folder, kind, scratch):
    """Yields (description, passed, details)."""
    worked, output = build(folder, kind)
    yield f"{kind}: builds", worked, output
    if not worked:
        return
    stage = scratch / kind
    worked, output = run(["meson", "install", "-C", folder, "--no-rebuild", "--quiet",
                          "--destdir", stage])
    yield f"{kind}: installs", worked, output
    if not worked:
        return
    libraries = stage / "usr/local/lib"
    ending = {"static": ".a", "shared": ".so"}[kind]
    missing = [name for name in ("libferry", "libferry_testing")
               if not (libraries / (name + ending)).is_file()]
    yield f"{kind}: both libraries are there", not missing, ", ".join(missing)
    yield from check_headers(stage / "usr/local/include", kind)
    # The prefix is not where the files are: pkg-config puts the staging folder before it.
    # OpenSSL's module is the system's.
    _, system = run(["pkg-config", "--variable", "pc_path", "pkg-config"])
    where = {"PKG_CONFIG_LIBDIR": f"{libraries / 'pkgconfig'}:{system.splitlines()[-1]}",
             "PKG_CONFIG_SYSROOT_DIR": str(stage)}
    for program, module, more in PROGRAMS:
        flags, output = run(["pkg-config", "--cflags", "--libs", module], **where)
        yield f"{kind}: pkg-config knows {module}", flags, output
        if not flags:
            continue
        words = output.split("\n", 1)[1].split()
        known = ("-I", "-L", "-lferry", "-pthread", "-lssl", "-lcrypto",
                 "-fno-tree-slp-vectorize")  # what g++ 12 needs for coroutines
        alien = [word for word in words if not word.startswith(known)
                 and not (module == "ferry-asio" and word.startswith("-DASIO_"))]
        yield (f"{kind}: {module}.pc asks for nothing but ferry and OpenSSL", not alien,
               " ".join(alien))
        how = "".join(f" {word if word == APART else word.name}" for word in more)
        binary = scratch / f"{program}-{kind}"
        worked, output = run(["g++", "-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                              HERE / f"{program}.cpp", *more, *words, "-o", binary])
        yield f"{kind}: {program}.cpp{how} compiles and links", worked, output
        if worked:
            worked, output = run(["timeout", "60", binary], LD_LIBRARY_PATH=str(libraries))
            yield f"{kind}: {program}{how} runs", worked, output


def check_headers(folder, kind):
    """Just what lib/*/include holds, and nothing of what it is made with."""
    installed = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    public = {p.relative_to(include).as_posix()
              for include in ROOT.glob("lib/*/include") for p in include.rglob("*") if p.is_file()}
    different = sorted(installed.keys() ^ public)
    yield (f"{kind}: the public headers and no others are installed", not different,
           "\n".join(different))
    leaks = [name for name, path in installed.items()
             if re.search(r"#\s*include\s*[<\"](asio|boost|openssl|CLI)\b", path.read_text())]
    yield (f"{kind}: {' '.join(NOT_ALONE)} alone of the installed headers needs another library",
           leaks == NOT_ALONE, "\n".join(leaks))


def main():
    prefix = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "build-install")
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor() as threads:
        def checks_of(kind):
            return list(check_kind(pathlib.Path(f"{prefix}-{kind}"), kind, pathlib.Path(scratch)))
        found = [check for each in threads.map(checks_of, ("static", "shared")) for check in each]
    for number, (description, passed, details) in enumerate(found, 1):
        print(f"{'ok' if passed else 'not ok'} {number} - {description}")
        for line in [] if passed else details.rstrip("\n").split("\n")[-40:]:
            print(f"#   {line}")
    print(f"1..{len(found)}")
    return 0 if all(passed for _, passed, _ in found) else 1


if __name__ == "__main__":
    sys.exit(main())
