// The exception handler, the log, and debug mode.

#include "loop_suite.h"

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace ferry::test {
namespace {

class Exceptions : public LoopSuite {};
INSTANTIATE_TEST_SUITE_P(Worlds, Exceptions, ::testing::ValuesIn(kWorlds), world_name);

class Debug : public LoopSuite {};
INSTANTIATE_TEST_SUITE_P(Worlds, Debug, ::testing::ValuesIn(kWorlds), world_name);

/// What a loop of its own reported and logged.
struct Journal {
  std::vector<ExceptionContext> reported;
  std::vector<std::pair<LogLevel, std::string>> logged;

  void listen(EventLoop& loop) {
    loop.set_log_sink(
        [this](LogLevel level, std::string_view line) { logged.emplace_back(level, line); });
  }
  void handle(EventLoop& loop) {
    loop.set_exception_handler(
        [this](EventLoop&, const ExceptionContext& context) { reported.push_back(context); });
  }
};

/// Two turns of a loop that the fixture does not know.
void turn(EventLoop& loop) {
  loop.call_soon([&loop] { loop.call_soon([&loop] { loop.stop(); }); });
  loop.run_forever();
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST_P(Exceptions, C0086_AThrowingCallbackIsReportedAndTheLoopGoesOn) {
  EventLoop other(make_kernel(GetParam()));
  Journal journal;
  journal.handle(other);
  bool after = false;
  const unsigned line = __LINE__ + 1;
  other.call_soon([] { throw std::runtime_error("boom"); });
  other.call_soon([&] { after = true; });
  turn(other);
  EXPECT_TRUE(after);
  ASSERT_EQ(journal.reported.size(), 1U);
  const ExceptionContext& context = journal.reported[0];
  EXPECT_TRUE(context.message.starts_with("Exception in callback")) << context.message;
  ASSERT_TRUE(context.exception);
  EXPECT_THROW(std::rethrow_exception(context.exception), std::runtime_error);
  // The place stands for asyncio's handle: it tells which callback it was.
  EXPECT_TRUE(contains(context.where.file_name(), "exceptions_test.cpp"));
  EXPECT_EQ(context.where.line(), line);
  EXPECT_TRUE(contains(context.to_string(), "boom")) << context.to_string();
}

TEST_P(Exceptions, ThrowingTimersAndPostsAreReportedToo) {
  loop().call_later(1ms, [] { throw std::runtime_error("in a timer"); });
  loop().call_soon_threadsafe([] { throw 42; });
  run_for(3ms);
  const auto reported = take_exceptions();
  ASSERT_EQ(reported.size(), 2U);
  EXPECT_TRUE(contains(reported[1].to_string(), "in a timer"));
}

TEST_P(Exceptions, AThrowingCallbacksCapturesAreFreed) {
  Token token;
  loop().call_soon([held = token.held()] { throw std::runtime_error("boom"); });
  tick();
  EXPECT_FALSE(token.captured());
  EXPECT_EQ(take_exceptions().size(), 1U);
}

TEST_P(Exceptions, C0088_ACustomHandlerGetsLoopAndContextAndNullRestoresTheDefault) {
  EventLoop other(make_kernel(GetParam()));
  Journal journal;
  journal.listen(other);
  EventLoop* told = nullptr;
  std::string message;
  EXPECT_FALSE(other.has_exception_handler());
  other.set_exception_handler([&](EventLoop& loop, const ExceptionContext& context) {
    told = &loop;
    message = context.message;
  });
  EXPECT_TRUE(other.has_exception_handler());
  ExceptionContext context;
  context.message = "something odd";
  other.call_exception_handler(context);
  EXPECT_EQ(told, &other);
  EXPECT_EQ(message, "something odd");
  EXPECT_TRUE(journal.logged.empty());

  other.set_exception_handler(nullptr);
  EXPECT_FALSE(other.has_exception_handler());
  message.clear();
  other.call_exception_handler(context);
  EXPECT_EQ(message, "");
  ASSERT_EQ(journal.logged.size(), 1U);
  EXPECT_EQ(journal.logged[0].first, LogLevel::error);
  EXPECT_TRUE(contains(journal.logged[0].second, "something odd"));
}

TEST_P(Exceptions, AHandlerMayReplaceOrRemoveItself) {
  EventLoop other(make_kernel(GetParam()));
  Journal journal;
  other.set_exception_handler(
      [&](EventLoop& loop, const ExceptionContext&) { journal.handle(loop); });
  other.call_soon([] { throw std::runtime_error("first"); });
  turn(other);
  EXPECT_TRUE(journal.reported.empty());
  other.call_soon([] { throw std::runtime_error("second"); });
  turn(other);
  EXPECT_EQ(journal.reported.size(), 1U);

  bool called = false;
  other.set_exception_handler([&](EventLoop& loop, const ExceptionContext&) {
    called = true;
    loop.set_exception_handler(nullptr);
  });
  other.call_soon([] { throw std::runtime_error("third"); });
  turn(other);
  EXPECT_TRUE(called);
  EXPECT_FALSE(other.has_exception_handler());
}

TEST_P(Exceptions, C0089_AHandlerThatThrowsIsReportedToTheDefaultOneWithTheOriginal) {
  EventLoop other(make_kernel(GetParam()));
  Journal journal;
  journal.listen(other);
  int called = 0;
  other.set_exception_handler([&](EventLoop&, const ExceptionContext&) {
    ++called;
    throw std::runtime_error("the handler's own");
  });
  bool after = false;
  other.call_soon([] { throw std::runtime_error("the original"); });
  other.call_soon([&] { after = true; });
  turn(other);
  EXPECT_TRUE(after);
  EXPECT_EQ(called, 1);
  ASSERT_EQ(journal.logged.size(), 1U);
  const std::string& line = journal.logged[0].second;
  EXPECT_TRUE(contains(line, "Unhandled error in exception handler")) << line;
  EXPECT_TRUE(contains(line, "the handler's own")) << line;
  EXPECT_TRUE(contains(line, "the original")) << line;
  EXPECT_TRUE(other.has_exception_handler());
}

TEST_P(Exceptions, C0090_ALogThatThrowsDoesNotStopTheLoop) {
  EventLoop other(make_kernel(GetParam()));
  int lines = 0;
  other.set_log_sink([&](LogLevel, std::string_view) {
    ++lines;
    throw std::runtime_error("the disk is full");
  });
  bool after = false;
  other.call_soon([] { throw std::runtime_error("boom"); });
  other.call_soon([&] { after = true; });
  turn(other);
  EXPECT_EQ(lines, 1);
  EXPECT_TRUE(after);
}

TEST_P(Exceptions, WithoutALogSinkNothingIsWrittenAnywhere) {
  ::testing::internal::CaptureStderr();
  ::testing::internal::CaptureStdout();
  {
    EventLoop other(make_kernel(GetParam()));
    other.call_soon([] { throw std::runtime_error("unheard"); });
    turn(other);
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
}

TEST_P(Exceptions, ALoopExitOutOfTheHandlerEndsTheRun) {
  EventLoop other(make_kernel(GetParam()));
  other.set_exception_handler([](EventLoop&, const ExceptionContext&) { throw LoopExit{5}; });
  other.call_soon([] { throw std::runtime_error("boom"); });
  try {
    other.run_forever();
    FAIL() << "it did not throw";
  } catch (const LoopExit& exit) {
    EXPECT_EQ(exit.code, 5);
  }
  other.set_exception_handler(nullptr);
  turn(other);
}

TEST_P(Exceptions, C0092_AnExceptionOfAFutureThatNobodyRetrievedIsReported) {
  {
    const Future<int> future(loop());
    future.set_exception(std::runtime_error("never looked at"));
  }
  const auto reported = take_exceptions();
  ASSERT_EQ(reported.size(), 1U);
  EXPECT_TRUE(contains(reported[0].message, "exception was never retrieved"));
  EXPECT_TRUE(contains(reported[0].to_string(), "never looked at"));
}

TEST_P(Exceptions, C0092_ARetrievedExceptionIsNotReported) {
  {
    const Future<int> by_result(loop());
    by_result.set_exception(std::runtime_error("x"));
    EXPECT_THROW(by_result.result(), std::runtime_error);
    const Future<int> by_exception(loop());
    by_exception.set_exception(std::runtime_error("x"));
    EXPECT_TRUE(by_exception.exception());
    const Future<int> value(loop());
    value.set_result(1);
    const Future<int> cancelled(loop());
    cancelled.cancel();
    const Future<int> pending(loop());
  }
  EXPECT_TRUE(take_exceptions().empty());
}

TEST_P(Exceptions, C0092_CancellingAFutureThatFailedDoesNotHideItsException) {
  {
    const Future<int> future(loop());
    future.set_exception(std::runtime_error("x"));
    EXPECT_FALSE(future.cancel());
  }
  EXPECT_EQ(take_exceptions().size(), 1U);
}

TEST_P(Debug, C0094_ASlowCallbackIsLoggedWithItsPlaceInDebugOnly) {
  loop().set_debug(true);
  loop().set_slow_callback_duration(20ms);
  const std::string place = "exceptions_test.cpp:" + std::to_string(__LINE__ + 1);
  loop().call_soon([&] { be_busy(25ms); });
  loop().call_soon([] {});
  tick();
  EXPECT_EQ(take_log_about({place}).size(), 1U);

  loop().set_debug(false);
  loop().call_soon([&] { be_busy(25ms); });
  tick();
  EXPECT_TRUE(take_log().empty());
}

TEST_P(Debug, C0094_TheUsualThresholdIsATenthOfASecond) {
  loop().set_debug(true);
  const std::string place = "exceptions_test.cpp:" + std::to_string(__LINE__ + 1);
  loop().call_later(1ms, [&] { be_busy(100ms); });
  run_for(2ms);
  EXPECT_EQ(take_log_about({place}).size(), 1U);
  if (simulated()) {
    loop().call_later(1ms, [&] { be_busy(99ms); });
    run_for(2ms);
    EXPECT_TRUE(take_log().empty());
  }
}

TEST_P(Debug, C0096_TheEnvironmentTurnsDebugOnAndAnOptionOverridesIt) {
  const char* const before = std::getenv("FERRY_DEBUG");
  const std::string saved = before ? before : "";
  const auto debug_of = [](LoopOptions options) {
    return EventLoop(make_kernel(GetParam()), options).debug();
  };
  ::setenv("FERRY_DEBUG", "1", 1);
  EXPECT_TRUE(debug_of({}));
  EXPECT_FALSE(debug_of({.debug = false}));
  ::setenv("FERRY_DEBUG", "0", 1);
  EXPECT_FALSE(debug_of({}));
  ::setenv("FERRY_DEBUG", "", 1);
  EXPECT_FALSE(debug_of({}));
  EXPECT_TRUE(debug_of({.debug = true}));
  ::unsetenv("FERRY_DEBUG");
  EXPECT_FALSE(debug_of({}));
  if (before) ::setenv("FERRY_DEBUG", saved.c_str(), 1);
}

}  // namespace
}  // namespace ferry::test
