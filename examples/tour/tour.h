#pragma once

// What the programs of the tour share: the clock they run by.
#include <ferry/run.h>
#include <ferry/testing/sim_kernel.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <string_view>

namespace tour {

using namespace std::chrono_literals;

/// For `ferry::run`: seconds cost nothing, because the loop's clock is a simulated one, which jumps
/// to the next timer as soon as nothing else is to be done. With the argument --real the same
/// program waits them out.
inline ferry::RunOptions options(int argc, char** argv) {
  ferry::RunOptions result;
  if (argc < 2 || std::string_view(argv[1]) != "--real") {
    result.loop_factory = [] {
      return std::make_unique<ferry::EventLoop>(ferry::testing::make_sim_kernel());
    };
  }
  return result;
}

/// Where threads, processes and sockets take part, time is real, and this is a second.
inline constexpr ferry::Duration kSecond = 100ms;

/// How long something took by the clock of the loop that runs.
class Stopwatch {
 public:
  Stopwatch() : begin_(ferry::get_running_loop().time()) {}
  double seconds() const {
    return std::chrono::duration<double>(ferry::get_running_loop().time() - begin_).count();
  }

 private:
  ferry::TimePoint begin_;
};

}  // namespace tour
