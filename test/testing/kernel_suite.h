#pragma once

#include "socket_pair.h"
#include "world.h"

#include <ferry/kernel.h>
#include <ferry/testing/sim_kernel.h>

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace ferry::test {

/// A kernel of one of the worlds with no loop on it: the test is its client.
class KernelSuite : public ::testing::Test, protected Kernel::Client {
 protected:
  void SetUp() override;
  void TearDown() override;
  virtual World world() const = 0;

  bool simulated() const { return world() == World::sim; }
  Kernel& kernel() { return *kernel_; }
  testing::SimKernel& sim() { return dynamic_cast<testing::SimKernel&>(*kernel_); }

  Address name_of(const Socket& socket);
  void set(const Socket& socket, int level, int name, int value);
  /// Lets what is ready now be delivered, and what that makes ready; does not wait.
  void turns(int count = 4);
  /// Runs until `condition` holds, at most ten seconds of the kernel's clock. Uses the timer.
  void run_until(Function<bool()> condition);

  void on_drain() override;
  void on_timer() override;
  void on_signal(int signal_number) override;

  /// What the kernel called, in order: "drain", "timer", "signal", and what Ears were told.
  std::vector<std::string> log_;
  /// Called after logging; while `turns` and `run_until` are at work they are not.
  Function<void()> drained_;
  Function<void()> timed_;
  Function<void(int)> signalled_;

 private:
  std::unique_ptr<Kernel> kernel_;
  std::size_t descriptors_before_ = 0;
  bool internal_ = false;  // in turns or run_until
  Function<void()> internal_drained_;
  Function<void()> internal_timed_;
};

/// A listener that counts, and logs under its name.
class Ear final : public FdWatch::Listener {
 public:
  explicit Ear(std::string name = "ear", std::vector<std::string>* log = nullptr)
      : name_(std::move(name)), log_(log) {}

  void on_readable(FdWatch::ReadEvent event) override;
  void on_writable() override;

  int readable = 0;
  int writable = 0;
  bool drain = false;  ///< of the last event
  Function<void()> then_readable;
  Function<void()> then_writable;

 private:
  std::string name_;
  std::vector<std::string>* log_;
};

/// A KernelSuite for each world.
class KernelTest : public KernelSuite, public ::testing::WithParamInterface<World> {
 protected:
  World world() const override { return GetParam(); }
};

/// A watch of an open descriptor; throws if the kernel refuses.
FdWatchPtr watch(Kernel& kernel, int fd, FdWatch::Listener& listener);
/// Reads until nothing is left, so that `after_would_block` may be used.
std::string read_dry(Kernel& kernel, int fd);
/// Sends until EAGAIN; how many bytes that were.
std::size_t fill(Kernel& kernel, int fd);
/// The errno value of a call that must fail.
int error_of(const IoResult& result);

}  // namespace ferry::test
