#!/usr/bin/env python3
"""What must not compile, and what the compiler is to say about it.

    python3 test/task/refused.py COMPILER [ARGUMENT...]

Prints TAP. Each case is compiled alone, as the body of a coroutine.
"""

import subprocess
import sys

PROLOGUE = """
#include <ferry/gather.h>
#include <ferry/lock.h>
#include <ferry/sleep.h>
#include <coroutine>
struct Foreign {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  void await_resume() const noexcept {}
};
struct ForeignOperation { Foreign operator co_await() const noexcept { return {}; } };
struct FreeOperation {};
Foreign operator co_await(FreeOperation) noexcept;
ferry::Coro<> other();
"""
FOREIGN = "co_await of a foreign awaiter"
CASES = [
    ("what is right compiles", "co_await other(); co_await ferry::sleep(ferry::Duration(1));", None),
    ("an awaiter of the standard library", "co_await std::suspend_always{};", FOREIGN),
    ("an awaiter of another library", "co_await Foreign{};", FOREIGN),
    ("a type with an operator that gives one", "co_await ForeignOperation{};", FOREIGN),
    ("a type with a free operator that gives one", "co_await FreeOperation{};", FOREIGN),
    ("a Coro that is kept", "ferry::Coro<> coro = other(); co_await coro;", "co_await std::move(coro)"),
    ("a number", "co_await 5;", "this cannot be awaited"),
    ("a foreign awaiter as a task", "ferry::create_task(Foreign{});", "create_task"),
    ("a foreign awaiter in gather", "co_await ferry::gather(other(), Foreign{});", "gather"),
]


def main():
    command = [*sys.argv[1:], "-std=c++20", "-fsyntax-only", "-x", "c++", "-"]
    failed = 0
    for number, (name, body, message) in enumerate(CASES, 1):
        done = subprocess.run(command, input=f"{PROLOGUE}ferry::Coro<> f() {{ {body} co_return; }}\n",
                              text=True, capture_output=True, check=False)
        if message is None:
            passed = done.returncode == 0
        else:
            passed = done.returncode != 0 and "error" in done.stderr and message in done.stderr
        failed += not passed
        verb = "" if message is None else "refused: "
        print(f"{'ok' if passed else 'not ok'} {number} - {verb}{name}", flush=True)
        if not passed:
            for line in done.stderr.split("\n")[:30]:
                print(f"#   {line}")
    print(f"1..{len(CASES)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
