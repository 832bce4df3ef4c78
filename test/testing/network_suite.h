#pragma once

#include "kernel_suite.h"

#include <ferry/testing/sim_network.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace ferry::test {

using namespace std::chrono_literals;
using testing::SimEnds;
using testing::SimGuard;
using testing::SimKernel;
using testing::SimLink;
using testing::SimNetwork;
using testing::SimOptions;
using testing::SimRoute;

/// Bytes of which each tells where it belongs, nearly.
std::string pattern(std::size_t size);

/// Reads what comes, once for each event as a program does.
class StreamReader {
 public:
  StreamReader(Kernel& kernel, int fd);

  std::string got;
  std::vector<std::size_t> sizes;  ///< of each read that gave something
  bool eof = false;
  int error = 0;
  bool paused = false;  ///< Reads nothing; see `go_on`.
  void go_on();

 private:
  void read(bool drain);

  Kernel& kernel_;
  int fd_;
  Ear ear_;
  FdWatchPtr watch_;
};

/// Sends a text as fast as the kernel takes it, then says that this was all.
class StreamWriter {
 public:
  StreamWriter(Kernel& kernel, int fd, std::string text, bool end = true);

  bool done() const noexcept { return sent_ == text_.size(); }
  int error = 0;

 private:
  void write();

  Kernel& kernel_;
  int fd_;
  std::string text_;
  std::size_t sent_ = 0;
  bool end_;
  Ear ear_;
  FdWatchPtr watch_;
};

/// A simulated kernel with a network, and no loop on it.
class NetworkSuite : public KernelSuite {
 protected:
  World world() const override { return World::sim; }
  void SetUp() override;
  SimNetwork& network() { return sim().network(); }

  /// Lets so much virtual time pass.
  void pass(Duration time);
  /// Since the test began.
  Duration passed() { return kernel().now() - start_; }

 private:
  TimePoint start_;
};

}  // namespace ferry::test
