// Future: its states, and its callbacks.

#include "loop_suite.h"

#include <stdexcept>
#include <string>
#include <vector>

namespace ferry::test {
namespace {

class Futures : public LoopSuite {};
INSTANTIATE_TEST_SUITE_P(Worlds, Futures, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(Futures, C0098_ANewFutureIsPending) {
  const Future<int> future = loop().create_future<int>();
  EXPECT_TRUE(future.valid());
  EXPECT_FALSE(Future<int>().valid());
  EXPECT_FALSE(future.done());
  EXPECT_FALSE(future.cancelled());
  EXPECT_THROW(static_cast<void>(future.result()), InvalidStateError);
  EXPECT_THROW(future.exception(), InvalidStateError);
  EXPECT_EQ(&future.get_loop(), &loop());
}

TEST_P(Futures, AResultIsThereAtOnceAndStays) {
  const Future<std::string> future(loop());
  future.set_result("value");
  EXPECT_TRUE(future.done());
  EXPECT_FALSE(future.cancelled());
  EXPECT_EQ(future.result(), "value");
  EXPECT_EQ(future.result(), "value");
  EXPECT_FALSE(future.exception());
  EXPECT_THROW(future.set_result("other"), InvalidStateError);
  EXPECT_THROW(future.set_exception(std::runtime_error("x")), InvalidStateError);
  EXPECT_FALSE(future.try_set_result("other"));
  EXPECT_EQ(future.result(), "value");
}

TEST_P(Futures, AnExceptionIsThrownEachTimeItIsAsked) {
  const Future<void> future(loop());
  future.set_exception(std::out_of_range("x"));
  EXPECT_TRUE(future.done());
  EXPECT_THROW(future.result(), std::out_of_range);
  EXPECT_THROW(future.result(), std::out_of_range);
  EXPECT_TRUE(future.exception());
  const Future<void> null(loop());
  EXPECT_THROW(null.set_exception(std::exception_ptr()), std::invalid_argument);
  EXPECT_FALSE(null.done());
}

TEST_P(Futures, C0100_CancelIsTrueOnceAndBothGettersThrow) {
  const Future<int> future(loop());
  EXPECT_TRUE(future.cancel());
  EXPECT_FALSE(future.cancel());
  EXPECT_TRUE(future.done());
  EXPECT_TRUE(future.cancelled());
  EXPECT_THROW(static_cast<void>(future.result()), CancelledError);
  EXPECT_THROW(future.exception(), CancelledError);
  EXPECT_THROW(future.set_result(1), InvalidStateError);
}

TEST_P(Futures, C0101_TheCancelMessageRoundTrips) {
  const auto message_after = [&](auto... message) {
    const Future<int> future(loop());
    future.cancel(message...);
    try {
      static_cast<void>(future.result());
      return std::string("it did not throw");
    } catch (const CancelledError& e) {
      return e.message();
    }
  };
  EXPECT_EQ(message_after(), "");
  EXPECT_EQ(message_after(""), "");
  EXPECT_EQ(message_after("because"), "because");
}

TEST_P(Futures, ACancellationPassesACatchOfStdException) {
  const Future<int> future(loop());
  future.cancel();
  EXPECT_THROW(
      {
        try {
          static_cast<void>(future.result());
        } catch (const std::exception&) {
          ADD_FAILURE() << "swallowed";
        }
      },
      CancelledError);
}

TEST_P(Futures, C0102_CallbacksRunByTheLoopInTheOrderOfRegistration) {
  const Future<int> future(loop());
  std::string ran;
  future.add_done_callback([&](const Future<int>& done) {
    EXPECT_TRUE(done == future);
    EXPECT_EQ(done.result(), 5);
    ran += 'a';
  });
  future.add_done_callback([&] { ran += 'b'; });
  future.add_done_callback([&](Future<int>) { ran += 'c'; });
  future.set_result(5);
  EXPECT_EQ(ran, "");
  tick();
  EXPECT_EQ(ran, "abc");
}

TEST_P(Futures, CallbacksAlsoRunAfterAnExceptionAndACancel) {
  int ran = 0;
  const Future<int> failed(loop());
  failed.add_done_callback([&](const Future<int>& done) {
    EXPECT_TRUE(done.exception());
    ++ran;
  });
  failed.set_exception(std::runtime_error("x"));
  const Future<int> cancelled(loop());
  cancelled.add_done_callback([&](const Future<int>& done) {
    EXPECT_TRUE(done.cancelled());
    ++ran;
  });
  cancelled.cancel();
  EXPECT_EQ(ran, 0);
  tick();
  EXPECT_EQ(ran, 2);
}

TEST_P(Futures, ACallbackAddedToADoneFutureRunsSoonAndNotInside) {
  const Future<int> future(loop());
  future.set_result(1);
  bool ran = false;
  future.add_done_callback([&] { ran = true; });
  EXPECT_FALSE(ran);
  tick();
  EXPECT_TRUE(ran);
}

TEST_P(Futures, CallbacksRunAmongCallSoonInOrder) {
  const Future<void> future(loop());
  std::string ran;
  future.add_done_callback([&] { ran += '2'; });
  loop().call_soon([&] { ran += '1'; });
  future.set_result();
  loop().call_soon([&] { ran += '3'; });
  tick();
  EXPECT_EQ(ran, "123");
}

TEST_P(Futures, C0104_RemoveDoneCallbackTellsTheNumberAndLeavesTheOthers) {
  const Future<void> future(loop());
  Token token;
  std::string ran;
  future.add_done_callback([&] { ran += 'a'; });
  const auto id = future.add_done_callback([&, held = token.held()] { ran += 'b'; });
  future.add_done_callback([&] { ran += 'c'; });
  EXPECT_EQ(future.remove_done_callback(id), 1U);
  EXPECT_FALSE(token.captured());
  EXPECT_EQ(future.remove_done_callback(id), 0U);
  EXPECT_EQ(future.remove_done_callback(9999), 0U);
  future.set_result();
  tick();
  EXPECT_EQ(ran, "ac");
}

TEST_P(Futures, C0105_ACallbackCannotRemoveALaterOneThatIsScheduledAlready) {
  const Future<void> future(loop());
  std::string ran;
  Future<void>::CallbackId second = 0;
  std::size_t removed = 9;
  future.add_done_callback([&] {
    ran += '1';
    removed = future.remove_done_callback(second);
  });
  second = future.add_done_callback([&] { ran += '2'; });
  future.set_result();
  tick();
  EXPECT_EQ(ran, "12");
  EXPECT_EQ(removed, 0U);
}

TEST_P(Futures, C0106_ACallbackAddedByACallbackRunsLater) {
  const Future<void> future(loop());
  std::string ran;
  future.add_done_callback([&] {
    ran += '1';
    future.add_done_callback([&] { ran += '3'; });
    ran += '-';
  });
  future.add_done_callback([&] { ran += '2'; });
  future.set_result();
  tick(5);
  EXPECT_EQ(ran, "1-23");
}

TEST_P(Futures, AThrowingCallbackIsReportedAndTheOthersRun) {
  const Future<void> future(loop());
  std::string ran;
  future.add_done_callback([&] { ran += 'a'; });
  future.add_done_callback([] { throw std::runtime_error("in a done callback"); });
  future.add_done_callback([&] { ran += 'b'; });
  future.set_result();
  tick();
  EXPECT_EQ(ran, "ab");
  const auto reported = take_exceptions();
  ASSERT_EQ(reported.size(), 1U);
  EXPECT_NE(reported[0].to_string().find("in a done callback"), std::string::npos);
}

TEST_P(Futures, TheStateLivesUntilItsCallbacksRan) {
  Token token;
  bool ran = false;
  {
    const Future<std::shared_ptr<int>> future(loop());
    future.add_done_callback(
        [&](const Future<std::shared_ptr<int>>& done) { ran = done.result() != nullptr; });
    future.set_result(token.held());
  }
  EXPECT_TRUE(token.captured());
  tick();
  EXPECT_TRUE(ran);
  EXPECT_FALSE(token.captured());
  EXPECT_EQ(loop().stats().futures, 0U);
}

TEST_P(Futures, ADroppedPendingFutureFreesItsCallbacks) {
  Token token;
  {
    const Future<void> future(loop());
    future.add_done_callback([held = token.held()] {});
    future.set_cancel_hook([held = token.held()] {});
    EXPECT_EQ(loop().stats().futures, 1U);
  }
  EXPECT_FALSE(token.captured());
  EXPECT_EQ(loop().stats().futures, 0U);
}

TEST_P(Futures, CopiesShareOneState) {
  const Future<int> first(loop());
  Future<int> second = first;
  Future<int> third;
  third = second;
  EXPECT_TRUE(first == third);
  const Future<int> moved = std::move(second);
  EXPECT_FALSE(second.valid());
  EXPECT_EQ(loop().stats().futures, 1U);
  moved.set_result(3);
  EXPECT_EQ(first.result(), 3);
  first.result() = 4;  // one value, for all
  EXPECT_EQ(third.result(), 4);
}

TEST_P(Futures, TheCancelHookIsCalledInsideCancelAndAtMostOnce) {
  Token token;
  int hooked = 0;
  const Future<int> future(loop());
  future.set_cancel_hook([&, held = token.held()] {
    ++hooked;
    EXPECT_TRUE(future.cancelled());
    EXPECT_FALSE(future.cancel());
  });
  future.cancel();
  EXPECT_EQ(hooked, 1);
  future.cancel();
  EXPECT_EQ(hooked, 1);
  EXPECT_FALSE(token.captured());

  const Future<int> finished(loop());
  finished.set_cancel_hook([&, held = token.held()] { ++hooked; });
  finished.set_result(1);
  EXPECT_FALSE(token.captured());
  finished.cancel();
  EXPECT_EQ(hooked, 1);
}

TEST_P(Futures, TheCancelHookMayDropTheLastFuture) {
  auto future = std::make_unique<Future<int>>(loop());
  future->set_cancel_hook([&] { future.reset(); });
  future->cancel();
  EXPECT_EQ(loop().stats().futures, 0U);
}

TEST_P(Futures, C0113_CompletionAfterTheLoopClosedIsDropped) {
  Token token;
  bool ran = false;
  const Future<int> future(loop());
  future.add_done_callback([&, held = token.held()] { ran = true; });
  loop().close();
  EXPECT_NO_THROW(future.set_result(1));
  EXPECT_EQ(future.result(), 1);
  EXPECT_FALSE(token.captured());
  EXPECT_FALSE(ran);
}

TEST_P(Futures, AFutureOutlivesItsLoopAndMayBeUsedAfterIt) {
  Token token;
  auto other = std::make_unique<EventLoop>(make_kernel(GetParam()));
  const Future<int> future(*other);
  const Future<int> done(*other);
  done.set_result(2);
  future.add_done_callback([held = token.held()] {});
  future.set_cancel_hook([held = token.held()] {});
  other.reset();
  EXPECT_FALSE(token.captured());
  EXPECT_FALSE(future.done());
  EXPECT_THROW(future.get_loop(), std::logic_error);
  EXPECT_EQ(done.result(), 2);
  future.add_done_callback([] { ADD_FAILURE() << "there is no loop to call this"; });
  EXPECT_TRUE(future.cancel());
  EXPECT_TRUE(future.cancelled());
}

TEST_P(Futures, TwoFuturesThatHoldEachOtherDieWithTheLoop) {
  Token token;
  auto other = std::make_unique<EventLoop>(make_kernel(GetParam()));
  {
    const Future<int> a(*other);
    const Future<int> b(*other);
    a.add_done_callback([b, held = token.held()] {});
    b.set_cancel_hook([a, held = token.held()] {});
  }
  EXPECT_TRUE(token.captured());
  other.reset();
  EXPECT_FALSE(token.captured());
}

TEST_P(Futures, C0114_TrySetResultOnACancelledFutureIsQuiet) {
  const Future<int> future(loop());
  future.cancel();
  EXPECT_FALSE(future.try_set_result(1));
  EXPECT_TRUE(future.cancelled());
  const Future<int> pending(loop());
  EXPECT_TRUE(pending.try_set_result(1));
}

TEST_P(Futures, AThousandCallbacksRunInOrder) {
  const Future<void> future(loop());
  std::vector<int> ran;
  for (int i = 0; i < 1000; ++i) {
    future.add_done_callback([&, i] { ran.push_back(i); });
  }
  future.set_result();
  run_until([&] { return ran.size() == 1000; });
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(ran[static_cast<std::size_t>(i)], i);
}

TEST_P(Futures, AChainOfFuturesIsFollowedToItsEnd) {
  Future<int> first(loop());
  Future<int> last = first;
  for (int i = 0; i < 1000; ++i) {
    Future<int> next(loop());
    last.add_done_callback([next](const Future<int>& done) { next.set_result(done.result() + 1); });
    last = next;
  }
  first.set_result(0);
  EXPECT_EQ(loop().run_until_complete(last), 1000);
}

}  // namespace
}  // namespace ferry::test
