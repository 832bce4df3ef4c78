#pragma once

#include "world.h"

#include <chrono>
#include <memory>

namespace ferry::test {

using namespace std::chrono_literals;

/// What the loop's own suites share.
class LoopSuite : public LoopTest {
 protected:
  testing::SimKernel& sim() { return sim_kernel(); }

  /// The program is busy for `time` of the loop's clock.
  void be_busy(Duration time) {
    if (simulated()) return sim().advance(time);
    const TimePoint end = loop().time() + time;
    while (loop().time() < end) {
    }
  }
  /// A simulated clock stands still as long as anything is ready, unless turns cost time.
  void make_turns_cost_time() {
    if (simulated()) sim().set_turn_cost(100us);
  }
  /// Done after `delay`.
  Future<void> sleep(Duration delay) { return sleep(loop(), delay); }
  static Future<void> sleep(EventLoop& loop, Duration delay) {
    Future<void> done(loop);
    loop.call_later(delay, [done] { done.try_set_result(); });
    return done;
  }
};

/// Something to capture, to see when the captures die.
class Token {
 public:
  std::shared_ptr<int> held() const { return value_; }
  /// Somebody else holds it.
  bool captured() const { return value_.use_count() > 1; }

 private:
  std::shared_ptr<int> value_ = std::make_shared<int>(0);
};

}  // namespace ferry::test
