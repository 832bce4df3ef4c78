#pragma once

#include <ferry/event_loop.h>
#include <ferry/sanitizers.h>
#include <ferry/testing/sim_kernel.h>

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace ferry::test {

/// The two worlds every suite runs in where both make sense.
enum class World { asio, sim };

/// For INSTANTIATE_TEST_SUITE_P: ::testing::ValuesIn(kWorlds), world_name.
inline constexpr World kWorlds[] = {World::asio, World::sim};
std::string world_name(const ::testing::TestParamInfo<World>& info);
std::unique_ptr<Kernel> make_kernel(World world);

/// A loop in one of the worlds, and at the end the check that nothing is left behind: no
/// descriptor, timer, transport, server, future, job, and nothing that the exception handler was
/// told and the test did not take. The loop is closed (and destroyed) by TearDown.
class LoopFixture : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;
  virtual World world() const = 0;
  /// What the loop is made with; override it to put another kernel round the world's own.
  virtual std::unique_ptr<Kernel> make_loop_kernel();

  bool simulated() const { return world() == World::sim; }
  EventLoop& loop() { return *loop_; }
  /// The simulated kernel, also if another one is put round it. Only in World::sim.
  testing::SimKernel& sim_kernel() { return *sim_; }
  /// Runs until `condition` holds; fails the test after `limit` (of the loop's own clock). In the
  /// simulation the condition is asked in each turn, else every millisecond. It sets a timer or
  /// two on the loop meanwhile.
  void run_until(Function<bool()> condition, Duration limit = std::chrono::seconds(10));
  /// Lets `turns` turns of the loop pass, each without waiting.
  void tick(int turns = 3);
  /// Lets the loop run for `time` of its own clock.
  void run_for(Duration time);
  /// What the exception handler was told and nobody took.
  std::vector<ExceptionContext> take_exceptions() { return std::exchange(exceptions_, {}); }
  /// What the loop logged: "warning: ...".
  std::vector<std::string> take_log() { return std::exchange(log_, {}); }
  /// The lines with any of `parts` in them. In the simulation there must be no others; a real
  /// process may stand still anywhere, and the loop then logs that something else was slow.
  std::vector<std::string> take_log_about(const std::vector<std::string>& parts);
  /// This test hands descriptors to the library that are not open.
  void allow_bad_descriptors() noexcept { bad_descriptors_allowed_ = true; }
  /// Closes and destroys the loop now, with the checks.
  void close_loop();

 private:
  class Looking;
  void check_nothing_left();

  std::unique_ptr<EventLoop> loop_;
  testing::SimKernel* sim_ = nullptr;  // the loop owns it
  bool waiting_ = false;               // in run_until
  bool bad_descriptors_allowed_ = false;
  std::vector<ExceptionContext> exceptions_;
  std::vector<std::string> log_;
  std::size_t descriptors_before_ = 0;
};

/// The fixture of suites whose only parameter is the world.
class LoopTest : public LoopFixture, public ::testing::WithParamInterface<World> {
 protected:
  World world() const override { return GetParam(); }
};

inline constexpr bool kThreadSanitized = FERRY_THREAD_SANITIZER;
/// True if the tests run under a sanitizer, which makes everything several times as slow: what only
/// repeats may then repeat less.
inline constexpr bool kSanitized = kThreadSanitized || FERRY_ADDRESS_SANITIZER;

/// The number of open descriptors of this process.
std::size_t open_descriptors();

}  // namespace ferry::test
