// Subprocesses: run a program and take what it prints, at the end or line by line.
#include "tour.h"

#include <ferry/async.h>
#include <ferry/streams.h>

#include <cstdio>
#include <optional>
#include <string>
#include <vector>

ferry::Coro<> list_this_folder() {
  const std::vector<std::string> command{"ls", "-la"};
  ferry::SubprocessOptions options;
  options.out = options.err = ferry::Stdio::pipe();
  const ferry::Process child = co_await ferry::create_subprocess_exec(command, options);
  const ferry::ProcessOutput output = co_await child.communicate();
  std::printf("%s", output.out.c_str());
  std::printf("ls: returncode %d, errors: %zu bytes\n", child.returncode().value(),
              output.err.size());
}

ferry::Coro<> run_a_command_line() {
  // A second of the tour: sleep 1 would do as well.
  const std::string command = "echo hello && sleep 0.1 && echo world";
  ferry::SubprocessOptions options;
  options.out = ferry::Stdio::pipe();
  const ferry::Process child = co_await ferry::create_subprocess_shell(command, options);
  while (const auto line = co_await child.out().next_line()) {  // as they come
    std::printf("the shell says: %s", line->c_str());
  }
  const int code = co_await child.wait();
  std::printf("shell: returncode %d\n", code);
}

ferry::Coro<> main_coroutine() {
  co_await list_this_folder();
  co_await run_a_command_line();
}

int main() {
  ferry::run(main_coroutine());
}
