// A user's test: an hour of the loop's time in no time, against the installed ferry-testing.
#include <ferry/event_loop.h>
#include <ferry/testing/sim_kernel.h>

#include <chrono>
#include <cstdio>

int main() {
  ferry::EventLoop loop(ferry::testing::make_sim_kernel());
  const ferry::TimePoint start = loop.time();
  loop.call_later(std::chrono::hours(1), [&loop] { loop.stop(); });
  loop.run_forever();
  const bool an_hour = loop.time() - start == std::chrono::hours(1);
  std::puts(an_hour ? "an hour passed" : "the clock is wrong");
  return an_hour ? 0 : 1;
}
