#include "counting_new.h"
#include "stream_fixture.h"

#include <ferry/async.h>
#include <ferry/future.h>
#include <ferry/timer.h>

#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <new>

namespace ferry::test {

using namespace std::chrono_literals;

namespace {

constexpr auto kNoMemory = std::errc::not_enough_memory;

}  // namespace

class OutOfMemory : public LoopTest {
 protected:
  /// Calls `f` with the ready queue filled so far that its next callback needs memory, and does not
  /// get it.
  template <class F>
  void with_a_full_queue(F f) {
    // A block of it holds 64; where in the block it is nobody says.
    for (int i = 0; i < 200; ++i) {
      bool full = false;
      without_memory([&] {
        try {
          loop().call_soon([] {});
        } catch (const std::bad_alloc&) {
          full = true;
        }
      });
      if (full) return without_memory(f);
    }
    FAIL() << "the ready queue never needed memory";
  }
};
INSTANTIATE_TEST_SUITE_P(Worlds, OutOfMemory, ::testing::ValuesIn(kWorlds), world_name);

// set_result threw, or the exception left the loop, and the callbacks were never called.
TEST_P(OutOfMemory, AFutureThatIsDoneTellsSo) {
  const Future<int> future(loop());
  const Future<int> cancelled(loop());
  std::vector<int> told;
  for (int i = 0; i < 3; ++i) future.add_done_callback([&told, i] { told.push_back(i); });
  cancelled.add_done_callback([&told] { told.push_back(3); });
  with_a_full_queue([&] {
    EXPECT_NO_THROW(future.set_result(7));
    EXPECT_TRUE(cancelled.cancel("with a message that is too long to be kept in place"));
  });
  EXPECT_TRUE(future.done());
  EXPECT_TRUE(told.empty());
  run_until([&] { return told.size() == 4; });
  // Each future's in their order.
  std::erase(told, 3);
  EXPECT_EQ(told, (std::vector<int>{0, 1, 2}));
}

namespace {

Coro<> waits_for(Event* event, int* woken) {
  co_await event->wait();
  ++*woken;
}

}  // namespace

// The task was forgotten: nothing else would have woken it.
TEST_P(OutOfMemory, ATaskThatIsWokenGoesOn) {
  Event event;
  int woken = 0;
  const Task<> a = create_task(loop(), waits_for(&event, &woken));
  const Task<> b = create_task(loop(), waits_for(&event, &woken));
  tick();
  with_a_full_queue([&] { EXPECT_NO_THROW(event.set()); });
  EXPECT_EQ(woken, 0);
  run_until([&] { return a.done() && b.done(); });
  EXPECT_EQ(woken, 2);
}

TEST_P(OutOfMemory, ATaskIsCancelledAllTheSame) {
  Event event;
  int woken = 0;
  const Task<> task = create_task(loop(), waits_for(&event, &woken));
  tick();
  with_a_full_queue(
      [&] { EXPECT_TRUE(task.cancel("with a message that is too long to be kept in place")); });
  run_until([&] { return task.done(); });
  EXPECT_TRUE(task.cancelled());
  EXPECT_EQ(woken, 0);
}

// The heap grew by stale entries until it needed memory, and the timer that was set was lost.
TEST_P(OutOfMemory, SettingATimerDoesNotFail) {
  std::vector<int> fired;
  std::deque<Timer> timers;
  for (int i = 0; i < 5; ++i) timers.emplace_back(loop(), [&fired, i] { fired.push_back(i); });
  const TimePoint base = loop().time() + 10ms;
  without_memory([&] {
    // Earlier and earlier, so that each setting leaves an entry behind.
    for (int round = 2000; round >= 0; --round) {
      for (int i = 0; i < 5; ++i) {
        ASSERT_NO_THROW(timers[static_cast<std::size_t>(i)].set_at(
            base + std::chrono::microseconds(round * 10 + i)));
      }
    }
  });
  run_until([&] { return fired.size() == 5; });
  EXPECT_EQ(fired, (std::vector<int>{0, 1, 2, 3, 4}));
}

// Letters that had been taken out of the mailbox were dropped.
TEST_P(OutOfMemory, WhatOtherThreadsPostedIsNotLost) {
  std::vector<int> order;
  for (int i = 0; i < 300; ++i) loop().call_soon_threadsafe([&order, i] { order.push_back(i); });
  order.reserve(1000);
  bool failed = false;
  try {
    without_memory([&] { loop().call_soon([&order] { order.push_back(-1); }); });
  } catch (const std::bad_alloc&) {
    failed = true;
  }
  EXPECT_TRUE(failed);
  run_until([&] { return order.size() == 300; });
  for (int i = 0; i < 300; ++i) ASSERT_EQ(order[static_cast<std::size_t>(i)], i);
}

// Closing allocated, so the loop's destructor terminated the process.
TEST_P(OutOfMemory, ALoopClosesAllTheSame) {
  const Future<int> pending(loop());
  const Future<int> other(loop());
  int told = 0;
  pending.add_done_callback([&told, other] { ++told; });
  other.add_done_callback([&told, pending] { ++told; });
  Event event;
  int woken = 0;
  const Task<> task = create_task(loop(), waits_for(&event, &woken));
  loop().call_later(1h, [] {});
  tick();
  without_memory([&] { EXPECT_NO_THROW(loop().close()); });
  EXPECT_TRUE(loop().is_closed());
  EXPECT_EQ(told + woken, 0);
  const auto reports = take_exceptions();
  // What the fixture's handler does needs memory, so that it may have heard of less.
  EXPECT_LE(reports.size(), 1u);
}

// The message needed memory, and the exception left the loop in place of the report.
TEST_P(OutOfMemory, AnExceptionIsReportedWithoutWords) {
  bool reported = false;
  loop().set_exception_handler([&reported](EventLoop&, const ExceptionContext& context) {
    fail_no_allocation();
    reported = context.exception != nullptr;
  });
  loop().call_soon([] {
    fail_allocation(0, 1000);
    throw 1;
  });
  run_until([&] { return reported; });
}

class StreamOutOfMemory : public StreamTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, StreamOutOfMemory, ::testing::ValuesIn(kStreamWorlds),
                         stream_world_name);

// What the kernel had not taken was thrown away in the middle, or std::bad_alloc left the
// destructor that ends a callback.
TEST_P(StreamOutOfMemory, AWriteThatCannotBeKeptEndsTheConnection) {
  for (const bool in_callback : {false, true}) {
    SCOPED_TRACE(in_callback);
    auto probe = recording();
    const std::string big(4 * 1024 * 1024, 'x');
    const auto write = [&](RecordingProtocol& p) {
      without_memory([&] { EXPECT_NO_THROW(p.transport()->write(big)); });
    };
    if (in_callback) probe->on_made = [&write, p = probe.get()] { write(*p); };
    Link link = open(probe);
    if (!in_callback) write(*probe);
    run_until_lost(*probe);
    EXPECT_EQ(probe->error(), kNoMemory);
  }
}

// connection_lost was never called: close threw, or call_soon's exception was lost.
TEST_P(StreamOutOfMemory, AConnectionIsClosedAllTheSame) {
  for (int filled = 0; filled < 64; ++filled) {
    auto probe = recording();
    Link link = open(probe);
    for (int i = 0; i < filled; ++i) loop().call_soon([] {});
    without_memory([&] { EXPECT_NO_THROW(link.transport->abort()); });
    run_until_lost(*probe);
    EXPECT_EQ(probe->error(), std::error_code());
  }
}

TEST_P(StreamOutOfMemory, ReadingGoesOnAfterAPause) {
  for (int filled = 0; filled < 64; ++filled) {
    auto probe = recording();
    Link link = open(probe);
    link.transport->pause_reading();
    link.peer->send("hello");
    settle();
    for (int i = 0; i < filled; ++i) loop().call_soon([] {});
    without_memory([&] { EXPECT_NO_THROW(link.transport->resume_reading()); });
    run_until([&] { return probe->data() == "hello"; });
    link.transport->abort();
    run_until_lost(*probe);
  }
}

}  // namespace ferry::test
