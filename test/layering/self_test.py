#!/usr/bin/env python3
"""Checks the checks: each must find the fault planted for it, and nothing in a tree without faults.

Prints TAP.
"""

import pathlib
import sys
import tempfile

import check

README = "```cpp\nint main() {}\n```\n"
CLEAN = {
    "README.md": README,
    "examples/echo_server.cpp": "int main() {}\n",
    "lib/base/include/ferry/bytes.h": "#pragma once\n#include <cstddef>\nstruct Bytes {};\n",
    "lib/base/bytes.cpp": "#include <ferry/bytes.h>\n",
    "lib/loop/include/ferry/loop.h": "#pragma once\n#include <ferry/bytes.h>\nBytes run();\n",
    "lib/loop/asio_kernel.h": "#pragma once\n#include <asio/io_context.hpp>\n",
    "lib/loop/asio_kernel.cpp":
        '#include "asio_kernel.h"\n#include <sys/epoll.h>\nint f() { return ::recv(1, 0, 0, 0); }\n',
    "lib/asio/include/ferry/asio.h": "#pragma once\n#include <asio/io_context.hpp>\n#include <ferry/loop.h>\n",
    "lib/net/include/ferry/net.h": "#pragma once\n#include <ferry/loop.h>\nstruct Net {};\n",
    "lib/testing/include/ferry/testing/sim.h": "#pragma once\n#include <ferry/net.h>\nNet sim();\n",
}
# Check, file, and the text appended to it (or all of it, for a file that is not there).
FAULTS = [
    ("includes_go_down_only", "lib/base/bytes.cpp", "#include <ferry/loop.h>\n"),
    ("includes_go_down_only", "lib/net/include/ferry/net.h", "#include <ferry/testing/sim.h>\n"),
    ("includes_go_down_only", "lib/net/a.cpp", "#include <ferry/nowhere.h>\n"),
    ("includes_go_down_only", "lib/extra/a.cpp", "int a;\n"),
    ("public_headers_use_angle_brackets_and_private_ones_stay_home",
     "lib/loop/include/ferry/loop.h", '#include "ferry/bytes.h"\n'),
    ("public_headers_use_angle_brackets_and_private_ones_stay_home",
     "lib/net/a.cpp", '#include "asio_kernel.h"\n'),
    ("no_include_climbs", "lib/net/a.cpp", '#include "../loop/asio_kernel.h"\n'),
    ("asio_stays_in_loop", "lib/loop/include/ferry/loop.h", "#include <asio.hpp>\n"),
    ("asio_stays_in_loop", "lib/net/a.cpp", "#include <asio/ip/tcp.hpp>\n"),
    ("asio_stays_in_loop", "lib/asio/include/ferry/asio_more.h", "#pragma once\n#include <asio.hpp>\n"),
    ("asio_stays_in_loop", "lib/loop/include/ferry/asio.h", "#pragma once\n#include <asio.hpp>\n"),
    ("includes_go_down_only", "lib/net/a.cpp", "#include <ferry/asio.h>\n"),
    ("asio_stays_in_loop", "lib/loop/asio_kernel.cpp",
     "int a = asio::detail::a;\n\x00lib/loop/b.cpp\x00int b = asio::detail::b;\n"),
    ("openssl_stays_in_tls", "lib/net/a.cpp", "#include <openssl/ssl.h>\n"),
    ("system_headers_stay_in_the_kernel", "lib/net/a.cpp", "#include <sys/epoll.h>\n"),
    ("system_headers_stay_in_the_kernel", "lib/loop/a.cpp", "#include <unistd.h>\n"),
    ("system_calls_stay_in_the_kernel", "lib/net/a.cpp", "long a = ::send(1, 0, 0, 0);\n"),
    ("system_calls_stay_in_the_kernel", "lib/net/a.cpp",
     "auto now = std::chrono::steady_clock::now();\n"),
    ("system_calls_stay_in_the_kernel", "lib/net/a.cpp", "int a = ::getaddrinfo(0, 0, 0, 0);\n"),
    ("nothing_writes_to_standard_error", "lib/net/a.cpp", 'void a() { std::printf("a"); }\n'),
    ("headers_begin_with_pragma_once", "lib/net/a.h", "struct A {};\n"),
    ("own_header_comes_first", "lib/loop/asio_kernel.cpp", None),
    ("own_header_comes_first", "lib/net/net.cpp", "#include <vector>\n#include <ferry/net.h>\n"),
    ("files_are_short", "bench/a.cpp", "\n" * (check.LINES_AT_MOST + 1)),
    ("nothing_knows_this_machine", "bench/a.sh", "cd /home/someone/ferry\n"),
    ("readme_shows_an_example_verbatim", "examples/echo_server.cpp", "// changed\n"),
    ("readme_shows_an_example_verbatim", "lib/testing/README.md", "```cpp\nint other;\n```\n"),
    ("links_in_documents_exist", "lib/README.md", "[gone](gone.h)\n"),
    ("public_headers_compile_alone", "lib/net/include/ferry/b.h",
     "#pragma once\ninline std::size_t b;\n"),
    ("public_headers_compile_alone", "lib/base/include/ferry/b.h",
     "#pragma once\n#include <ferry/loop.h>\n"),
    ("public_headers_compile_alone", "lib/base/include/ferry/b.h", "struct B {};\n"),
]
# What only looks like a fault.
INNOCENT = [
    ("system_calls_stay_in_the_kernel", "lib/net/a.cpp",
     "// ::recv( is for kernels\nlong a = kernel.send(1); const char* b = \"::recv(1)\";\n"
     "long c = Kernel::send(1);\n"),
    ("asio_stays_in_loop", "lib/net/a.cpp", "// asio::detail, #include <asio.hpp>\n"),
]


def findings(name, file="", text=""):
    with tempfile.TemporaryDirectory() as root:
        check.ROOT = pathlib.Path(root)
        tree = dict(CLEAN)
        if file:
            first, *others = (text or "").split("\0")
            tree[file] = "#include <vector>\n" if text is None else tree.get(file, "") + first
            tree |= dict(zip(others[::2], others[1::2]))
        for path, content in tree.items():
            (check.ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (check.ROOT / path).write_text(content)
        return list(getattr(check, name)())


def main():
    results = []
    for each in check.CHECKS:
        results.append((not findings(each.__name__), f"{each.__name__} finds no fault in none"))
    for name, file, text in FAULTS:
        results.append((bool(findings(name, file, text)), f"{name} finds a fault in {file}"))
    for name, file, text in INNOCENT:
        results.append((not findings(name, file, text), f"{name} lets {file} be"))
    results.append((not {c.__name__ for c in check.CHECKS} - {name for name, _, _ in FAULTS},
                    "every check has a fault planted for it"))
    print(f"1..{len(results)}")
    for number, (passed, description) in enumerate(results, 1):
        print(f"{'ok' if passed else 'not ok'} {number} - {description}")
    return 0 if all(passed for passed, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
