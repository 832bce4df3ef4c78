// C9, C10, C13 and C15: timers and fairness beside traffic, misuse, and errors that tell their
// story.
#include "contract_fixture.h"

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <thread>

namespace ferry::test {

using namespace std::chrono_literals;

class ContractLoop : public ContractTest {
 protected:
  /// An endless ping-pong between the two: the loop always has something to read.
  static void keep_busy(Couple<>& couple) {
    for (RecordingProtocol* side : {couple.near.get(), couple.far.get()}) {
      side->keep_data = false;
      side->on_data = [side](BytesView data) { side->write(data); };
    }
    couple.near->write("ball");
  }
};
INSTANTIATE_TEST_SUITE_P(Worlds, ContractLoop, ::testing::ValuesIn(contract_worlds()),
                         contract_world_name);

TEST_P(ContractLoop, C09_TimersAreNeverEarlyAndTiesAreFifoBesideTraffic) {
  Couple<> busy = couple();
  const TimePoint start = loop().time();
  std::vector<int> order;
  std::optional<TimePoint> fired;
  loop().call_at(start + 30ms, [&] {
    order.push_back(1);
    fired = loop().time();
  });
  loop().call_at(start + 30ms, [&] { order.push_back(2); });
  TimerHandle cancelled = loop().call_at(start + 30ms, [&] { order.push_back(99); });
  loop().call_at(start + 30ms, [&] { order.push_back(3); });
  loop().call_at(start + 20ms, [&] { order.push_back(0); });
  cancelled.cancel();
  // The simulation's clock stands still while there is traffic, so there it stops in time.
  busy.near->on_data = [&](BytesView data) {
    if (!simulated() || busy.near->bytes() < 4000) busy.near->write(data);
  };
  busy.far->on_data = [&](BytesView data) { busy.far->write(data); };
  busy.near->write("ball");
  run_until([&] { return order.size() == 4; });
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3}));
  EXPECT_GE(*fired, start + 30ms);
  EXPECT_GT(busy.near->bytes(), 0u);
}

TEST_P(ContractLoop, C10_CallSoonIsFifoBesideTraffic) {
  Couple<> busy = couple();
  keep_busy(busy);
  std::vector<int> order;
  for (int i = 0; i < 300; ++i) {
    loop().call_soon([&order, i] { order.push_back(i); });
  }
  run_until([&] { return order.size() == 300; });
  for (int i = 0; i < 300; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST_P(ContractLoop, C10_ACallbackThatReschedulesItselfStarvesNoConnection) {
  Couple<> busy = couple();
  keep_busy(busy);
  std::size_t callbacks = 0;
  bool enough = false;
  busy.near->on_data = [&](BytesView data) {
    enough = busy.near->bytes() >= 400;
    busy.near->write(data);
  };
  Function<void()> again = [&] {
    if (enough) return;
    ++callbacks;
    loop().call_soon([&] { again(); });
  };
  again();
  run_until([&] { return enough; });
  // A hundred round trips of two hops; every hop waits for one batch of 61 callbacks, or two.
  EXPECT_LE(callbacks, 100u * 2 * 61 * 3);
}

TEST_P(ContractLoop, C10_ACallbackThatReschedulesItselfStarvesNoTimer) {
  std::size_t callbacks = 0;
  bool fired = false;
  Function<void()> again = [&] {
    if (fired) return;
    ++callbacks;
    loop().call_soon([&] { again(); });
  };
  loop().call_later(Duration::zero(), [&] { fired = true; });
  again();
  run_until([&] { return fired; });
  EXPECT_LE(callbacks, 61u * 3);
}

using ContractLoopDeath = ContractLoop;
INSTANTIATE_TEST_SUITE_P(Worlds, ContractLoopDeath, ::testing::ValuesIn(contract_worlds()),
                         contract_world_name);

TEST_P(ContractLoopDeath, C13_DestroyingTheLoopInsideACallbackOfAConnectionIsFatal) {
  const Couple<> both = couple();
  const auto& near = both.near;
  const auto& far = both.far;
  EXPECT_DEATH(
      {
        near->on_data = [&](BytesView) { close_loop(); };
        far->write("go");
        run_until([&] { return near->lost(); });
      },
      "ferry: fatal: ");
}

TEST_P(ContractLoopDeath, C13_RunningTheLoopAfterForkIsFatal) {
  const Couple<> both = couple();
  const auto& near = both.near;
  const auto& far = both.far;
  std::fflush(nullptr);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // An abort is what the parent waits for; its message would only confuse the log.
    std::freopen("/dev/null", "w", stderr);
    loop().run_forever();
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) << status;
  near->write("the parent is not harmed");
  run_until([&] { return far->bytes() == 24; });
}

TEST_P(ContractLoop, C13_InDebugModeTheWrongThreadIsToldSo) {
  const Couple<> both = couple();
  const auto& near = both.near;
  const auto& far = both.far;
  loop().set_debug(true);
  std::string told;
  near->on_data = [&](BytesView) {
    std::thread([&] {
      try {
        loop().call_soon([] {});
      } catch (const std::logic_error& e) {
        told = e.what();
      }
    }).join();
  };
  far->write("go");
  run_until([&] { return near->bytes() == 2; });
  EXPECT_NE(told.find("thread"), std::string::npos) << told;
  loop().set_debug(false);
  take_log();
}

TEST_P(ContractLoop, C15_ARefusedConnectionNamesCodeOperationAndPeer) {
  auto future =
      maker().connect_to_nobody(loop(), [] { return std::make_shared<RecordingProtocol>(); });
  run_until([&] { return future.done(); });
  try {
    future.result();
    FAIL() << "it cannot succeed";
  } catch (const IoError& e) {
    EXPECT_EQ(e.code(), std::errc::connection_refused);
    EXPECT_STREQ(e.operation(), "connect");
    EXPECT_FALSE(e.address().empty());
    const std::string text = e.what();
    EXPECT_NE(text.find("connect"), std::string::npos) << text;
    EXPECT_NE(text.find(e.address().to_string()), std::string::npos) << text;
    EXPECT_NE(text.find(e.code().message()), std::string::npos) << text;
  }
}

TEST_P(ContractLoop, C15_ALostConnectionNamesCodeOperationAndPeer) {
  if (!maker().unread_bytes_reset()) GTEST_SKIP() << "this kind has no reset";
  const Couple<> both = couple();
  const auto& near = both.near;
  const auto& far = both.far;
  far->pause_reading();
  near->write("never read");
  settle();
  far->abort();
  run_until_lost(*near);
  ASSERT_EQ(near->error(), std::errc::connection_reset);
  const Error& error = near->transport()->error();
  EXPECT_EQ(error.code, near->error());
  EXPECT_STREQ(error.operation, "recv");
  EXPECT_EQ(error.address, near->transport()->peername());
  EXPECT_NE(error.message().find("recv"), std::string::npos) << error.message();
}

TEST_P(ContractLoop, C15_AnOverflowNamesCodeOperationAndPeer) {
  const Couple<> both = couple();
  const auto& near = both.near;
  const auto& far = both.far;
  far->pause_reading();
  near->transport()->set_write_hard_limit(100);
  for (int i = 0; i < 5000 && !near->transport()->is_closing(); ++i) near->write(pattern(10'000));
  run_until_lost(*near);
  const Error& error = near->transport()->error();
  EXPECT_EQ(error.code, errc::write_overflow);
  EXPECT_STRNE(error.operation, "");
  EXPECT_EQ(error.address, near->transport()->peername());
  far->resume_reading();
  run_until_lost(*far);
}

TEST_P(ContractLoop, C15_AConnectionThatEndsWellHasNoError) {
  const Couple<> both = couple();
  const auto& near = both.near;
  const auto& far = both.far;
  near->write("bye");
  near->close();
  run_until([&] { return near->lost() && far->lost(); });
  EXPECT_FALSE(near->transport()->error());
  EXPECT_FALSE(far->transport()->error());
  EXPECT_EQ(near->transport()->error().message(), "");
}

}  // namespace ferry::test
