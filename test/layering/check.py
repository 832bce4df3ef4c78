#!/usr/bin/env python3
"""Checks that hold for the sources as text, which no compiler looks after.

    python3 test/layering/check.py [NAME...]

Prints TAP: one line a check, below it what is wrong, one finding a line. Exit code 1 if any failed.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# What the public headers and sources of a layer may include, of ferry's own.
LAYERS = {
    "base": ["base"],
    "loop": ["loop", "base"],
    "net": ["net", "loop", "base"],
    "tls": ["tls", "net", "loop", "base"],
    "task": ["task", "loop", "base"],
    "streams": ["streams", "tls", "net", "task", "loop", "base"],
    "asio": ["asio", "task", "loop", "base"],
    "testing": ["testing", "net", "loop", "base"],
}
# The public headers that include another library, and what users compile them with: see DESIGN.
ASIO_HEADER = "ferry/asio.h"
FLAGS = {ASIO_HEADER: ["-DASIO_STANDALONE", "-DASIO_HAS_STD_ALIGNED_ALLOC=1"]}
SOURCE = {".h", ".cpp", ".c"}
LINES_AT_MOST = 500

# Only the kernel of the loop talks to the operating system's sockets and clock.
KERNEL_FILES = re.compile(r"lib/loop/(asio_impl|asio_kernel|bsd_\w+|child_waiters|fd_watch_\w+)\.(h|cpp)$")
# Headers of the system that declare calls the kernel wraps, and who else may include them: for types
# and constants, or for calls on names in the file system.
SYSTEM_HEADERS = {
    "sys/socket.h": r"lib/(base|net)/|lib/testing/fault_kernel",
    "netinet/in.h": r"lib/(base|net|testing)/|lib/loop/resolver|lib/tls/certificate",
    "netinet/tcp.h": r"lib/net/",
    "netinet/udp.h": r"lib/(net|testing)/",
    "arpa/inet.h": r"lib/base/address",
    "net/if.h": r"lib/base/address",
    "sys/un.h": r"lib/base/address",
    "netdb.h": r"lib/base/error|lib/loop/resolver|lib/net/|lib/testing/(fault_kernel|sim_hosts)",
    "unistd.h": r"lib/base/fd|lib/task/run|lib/net/(listen_socket|datagram_endpoint|inherited_listeners)",
    "fcntl.h": r"lib/tls/key_log",
    "poll.h": None,
    "sys/epoll.h": None,
    "sys/event.h": None,
    "sys/eventfd.h": None,
    "sys/ioctl.h": None,
    "sys/select.h": None,
    "sys/signalfd.h": None,
    "sys/time.h": None,
    "sys/timerfd.h": None,
    "sys/uio.h": None,
    "time.h": None,
    "ctime": None,
}
# A call of the system spelled ::name(, and the clocks.
SYSTEM_CALLS = re.compile(
    r"(?<![\w>\]])::(socket|socketpair|bind|listen|accept4?|connect|recv|recvfrom|recvmsg|recvmmsg|"
    r"send|sendto|sendmsg|sendmmsg|sendfile|splice|shutdown|getsockname|getpeername|getsockopt|"
    r"setsockopt|read|readv|write|writev|poll|ppoll|select|epoll_\w+|kqueue|kevent|eventfd|pipe2?|"
    r"fcntl|ioctl|clock_gettime|gettimeofday|time|nanosleep|usleep|sleep|"
    r"getaddrinfo|getnameinfo)\s*\(")
CLOCKS = re.compile(
    r"\b(clock_gettime|gettimeofday|clock_nanosleep|nanosleep|usleep)\s*\(|"
    r"\b(steady_clock|system_clock|high_resolution_clock|utc_clock)::now\b|\bsleep_(for|until)\b")

NAME_SERVICE = ("getaddrinfo", "getnameinfo")  # the system resolver's
# The sink made for standard error, and what is said before abort().
LAST_WORDS = ("lib/base/log.cpp", "lib/loop/diagnostics.cpp", "lib/testing/sim_turns.cpp")

INCLUDE = re.compile(r'^\s*#\s*(?:include|import)\s*([<"])([^>"]+)[>"]', re.M)
COMMENT_OR_TEXT = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"\((?:.|\n)*?\)"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def files(*folders):
    """The source files below the folders, as paths relative to the root."""
    return sorted(p.relative_to(ROOT) for folder in folders for p in (ROOT / folder).rglob("*")
                  if p.suffix in SOURCE and p.is_file())


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def includes(path):
    """(line, '<' or '"', name) of each include."""
    text = read(path)
    return [(line_of(text, m.start(1)), m[1], m[2]) for m in INCLUDE.finditer(text)]


def code(path):
    """The text with comments and literals blanked out, so that only code is left."""
    def blank(match):
        return "".join("\n" if c == "\n" else " " for c in match[0])
    return COMMENT_OR_TEXT.sub(blank, read(path))


def layer_of(path):
    return path.parts[1]


def public_headers(layer):
    return files(f"lib/{layer}/include")


def public_name(path):
    """lib/net/include/ferry/relay.h -> ferry/relay.h"""
    return "/".join(path.parts[path.parts.index("include") + 1:])


def is_public(path):
    return "include" in path.parts


def includes_go_down_only():
    """a layer includes itself and the layers below it, nothing else of lib"""
    known = {layer: {public_name(h) for h in public_headers(layer)} for layer in LAYERS}
    for layer in sorted({path.parts[1] for path in files("lib")}):
        if layer not in LAYERS:
            yield f"lib/{layer}: a layer that test/layering/check.py does not know"
    for path in files("lib"):
        layer = layer_of(path)
        for line, _, name in includes(path):
            if not name.startswith("ferry/"):
                continue
            owners = [other for other, names in known.items() if name in names]
            if not owners:
                yield f"{path}:{line}: <{name}> is no public header"
            elif owners[0] not in LAYERS[layer]:
                yield f"{path}:{line}: {layer} includes <{name}> of {owners[0]}"


def public_headers_use_angle_brackets_and_private_ones_stay_home():
    """public headers as <ferry/x.h>; quotes only for private headers of the same folder"""
    for path in files("lib"):
        for line, bracket, name in includes(path):
            beside = (ROOT / path).parent / name
            if bracket == '"' and is_public(path):
                yield f'{path}:{line}: a public header includes "{name}"'
            elif bracket == '"' and not beside.is_file():
                yield f'{path}:{line}: "{name}" is not beside this file'
            elif bracket == "<" and beside.is_file():
                yield f'{path}:{line}: <{name}> should be "{name}"'


def no_include_climbs():
    """no include holds '..'"""
    for path in files("lib", "examples", "bench", "test"):
        for line, _, name in includes(path):
            if ".." in name:
                yield f"{path}:{line}: {name}"


def asio_stays_in_loop():
    """only private files of lib/loop, and ferry/asio.h, include Asio; only one names asio::detail"""
    uses_detail = set()
    for path in files("lib"):
        home = layer_of(path) == "loop" and not is_public(path)
        home |= layer_of(path) == "asio" and public_name(path) == ASIO_HEADER
        for line, _, name in includes(path):
            if re.match(r"(boost/)?asio(\.hpp|/)", name) and not home:
                yield f"{path}:{line}: includes <{name}>"
            if name.startswith("asio/detail/") and name != "asio/detail/config.hpp":
                uses_detail.add(path)
        # asio_impl.cpp is Asio itself, compiled once.
        if path.name != "asio_impl.cpp" and re.search(r"\basio::detail\b|\bnamespace\s+asio\b",
                                                      code(path)):
            uses_detail.add(path)
    if len(uses_detail) > 1:
        yield "asio::detail in more than one file: " + ", ".join(map(str, sorted(uses_detail)))


def openssl_stays_in_tls():
    """only private files of lib/tls include OpenSSL"""
    for path in files("lib"):
        for line, _, name in includes(path):
            if name.startswith("openssl/") and (layer_of(path) != "tls" or is_public(path)):
                yield f"{path}:{line}: includes <{name}>"


def system_headers_stay_in_the_kernel():
    """headers of socket calls and clocks only where the kernel is made"""
    for path in files("lib"):
        if KERNEL_FILES.search(str(path)):
            continue
        for line, _, name in includes(path):
            if name in SYSTEM_HEADERS:
                allowed = SYSTEM_HEADERS[name]
                if allowed is None or not re.search(allowed, str(path)):
                    yield f"{path}:{line}: includes <{name}>"


def system_calls_stay_in_the_kernel():
    """nothing outside the kernel calls a socket function or reads a clock"""
    for path in files("lib"):
        if KERNEL_FILES.search(str(path)):
            continue
        text = code(path)
        for pattern in (SYSTEM_CALLS, CLOCKS):
            for match in pattern.finditer(text):
                if path.name != "resolver.cpp" or match[1] not in NAME_SERVICE:
                    yield f"{path}:{line_of(text, match.start())}: {match[0].strip()}"


def nothing_writes_to_standard_error():
    """the library logs through its hook; stderr is for the sink made for it, and last words"""
    for path in files("lib"):
        if str(path) in LAST_WORDS:
            continue
        text = code(path)
        for match in re.finditer(
                r"\bstd::(cerr|clog|cout)\b|\b(printf|puts|putchar|perror)\s*\(|"
                r"\b(stderr|stdout)\b", text):
            yield f"{path}:{line_of(text, match.start())}: {match[0]}"


def headers_begin_with_pragma_once():
    """the first line of every header is #pragma once"""
    for path in files("lib", "examples", "bench", "test"):
        if path.suffix == ".h" and not read(path).startswith("#pragma once\n"):
            yield f"{path}:1"


def own_header_comes_first():
    """x.cpp of lib includes x.h first; if x.h is public, private headers may come before it"""
    for path in files("lib"):
        if path.suffix != ".cpp":
            continue
        own = path.stem + ".h"
        is_private = path.with_name(own) in files(str(path.parent))
        names = {public_name(h) for h in public_headers(layer_of(path)) if h.name == own}
        _, bracket, first = next(iter(includes(path)), (1, "", "no include"))
        if (is_private and first != own) or (names and bracket != '"' and first not in names):
            yield f"{path}:1: begins with {first}"


def files_are_short():
    """no source file is longer than LINES_AT_MOST"""
    for path in files("lib", "examples", "bench", "test"):
        lines = read(path).count("\n")
        if lines > LINES_AT_MOST:
            yield f"{path}: {lines} lines"


def tracked():
    """Every file that is, or would be, in the repository."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0:
        names = [n for n in listed.stdout.split("\0") if n]
    else:  # an unpacked archive
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*")
                 if not p.relative_to(ROOT).parts[0].startswith((".git", "build"))]
    return [pathlib.Path(n) for n in names if (ROOT / n).is_file()]


def nothing_knows_this_machine():
    """no path of a home directory, a checkout or a temporary file of one machine"""
    somewhere = [r"/home/\w", r"/root/", r"/Users/\w", r"/mnt/\w", r"/workspace\b", r"/tmp/build"]
    inside = str(ROOT)
    if len(ROOT.parts) > 2:
        somewhere.append(re.escape(inside))
    pattern = re.compile("|".join(somewhere))
    for path in tracked():
        if path.parent == pathlib.Path("test/layering"):
            continue  # where such paths are spelled out
        try:
            text = read(path)
        except UnicodeDecodeError:
            continue
        for match in pattern.finditer(text):
            yield f"{path}:{line_of(text, match.start())}: {match[0]}"


def readme_shows_an_example_verbatim():
    """each C++ block of README.md and of lib's pages stands in an example, byte for byte; the first is a whole one"""
    examples = [read(path) for path in files("examples") if path.suffix == ".cpp"]
    pages = sorted(p.relative_to(ROOT) for p in (ROOT / "lib").rglob("README.md"))
    for page in [pathlib.Path("README.md"), *pages]:
        blocks = re.findall(r"^```cpp\n(.*?)^```$", read(page), re.M | re.S)
        if page == pathlib.Path("README.md") and (not blocks or blocks[0] not in examples):
            yield f"{page}: the first block of C++ is no whole example"
        for number, block in enumerate(blocks, 1):
            if not any(block in example for example in examples):
                yield f"{page}: block {number} of C++ stands in no example"


def links_in_documents_exist():
    """each relative link of a Markdown file leads to a file or folder"""
    for path in tracked():
        if path.suffix != ".md":
            continue
        # Lambdas look like links.
        text = re.sub(r"^```.*?^```$", lambda block: "\n" * block[0].count("\n"), read(path),
                      flags=re.M | re.S)
        for match in re.finditer(r"\]\((?!\w+:|#)([^)#\s]+)", text):
            if not ((ROOT / path).parent / match[1]).exists():
                yield f"{path}:{line_of(text, match.start())}: {match[1]}"


def compile_alone(header, compiler):
    folders = [f"-I{ROOT / 'lib' / layer / 'include'}" for layer in LAYERS[layer_of(header)]]
    # Twice, so that a missing include guard shows as well.
    text = f"#include <{public_name(header)}>\n" * 2
    done = subprocess.run(
        [*compiler, "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow",
         "-Wconversion", "-Werror", *FLAGS.get(public_name(header), []), *folders, "-x", "c++", "-"],
        input=text, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[:200])
    return f"{header}: {first}"


def public_headers_compile_alone():
    """each public header compiles with nothing before it, seeing only the layers below"""
    compiler = os.environ.get("CXX", "g++").split()
    headers = [h for layer in LAYERS for h in public_headers(layer)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from filter(None, pool.map(lambda h: compile_alone(h, compiler), headers))


CHECKS = [
    includes_go_down_only,
    public_headers_use_angle_brackets_and_private_ones_stay_home,
    no_include_climbs,
    asio_stays_in_loop,
    openssl_stays_in_tls,
    system_headers_stay_in_the_kernel,
    system_calls_stay_in_the_kernel,
    nothing_writes_to_standard_error,
    headers_begin_with_pragma_once,
    own_header_comes_first,
    files_are_short,
    nothing_knows_this_machine,
    readme_shows_an_example_verbatim,
    links_in_documents_exist,
    public_headers_compile_alone,
]


def main():
    wanted = sys.argv[1:]
    unknown = set(wanted) - {check.__name__ for check in CHECKS}
    if unknown:
        sys.exit(f"no such check: {', '.join(sorted(unknown))}")
    chosen = [check for check in CHECKS if not wanted or check.__name__ in wanted]
    print(f"1..{len(chosen)}")
    failed = False
    for number, check in enumerate(chosen, 1):
        findings = list(check())
        failed |= bool(findings)
        print(f"{'not ok' if findings else 'ok'} {number} - {check.__name__}")
        for finding in findings:
            print(f"#   {finding}")
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
