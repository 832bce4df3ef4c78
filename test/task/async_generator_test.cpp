// AsyncGenerator, and the contexts that are made with it.

#include "task_fixture.h"

#include <ferry/async_context.h>
#include <ferry/async_generator.h>

#include <cstdint>

namespace ferry::test {
namespace {

class Generators : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Generators, ::testing::ValuesIn(kWorlds), world_name);

AsyncGenerator<int> count_to(int end, bool wait, Log* log) {
  struct Leaving {
    Log* log;
    ~Leaving() { log->push_back("left"); }
  } leaving{log};
  for (int i = 1; i <= end; ++i) {
    if (wait) co_await sleep(0s);
    co_yield i;
  }
}

TEST_P(Generators, ItGivesItsValuesOneByOneAndThenNone) {
  const auto body = [](bool wait, Log* log) -> Coro<int> {
    auto numbers = count_to(4, wait, log);
    int sum = 0;
    while (const std::optional<int> number = co_await numbers.next()) sum = sum * 10 + *number;
    const std::optional<int> more = co_await numbers.next();
    EXPECT_FALSE(more.has_value());
    co_return sum;
  };
  for (const bool wait : {false, true}) {
    Log log;
    EXPECT_EQ(run(body(wait, &log)), 1234);
    EXPECT_EQ(log, (Log{"left"}));
  }
}

TEST_P(Generators, ItBeginsWhenItIsFirstAskedAndDroppedBeforeItNeverRuns) {
  const auto body = [](Log* log) -> Coro<> {
    { const auto unused = count_to(1, true, log); }
    EXPECT_TRUE(log->empty());
    AsyncGenerator<int> none;
    const std::optional<int> nothing = co_await none.next();
    EXPECT_FALSE(nothing.has_value());
  };
  Log log;
  run(body(&log));
}

TEST_P(Generators, DroppedHalfWayItsDestructorsRunAtOnce) {
  const auto body = [](Log* log) -> Coro<> {
    {
      auto numbers = count_to(10, true, log);
      EXPECT_EQ(co_await numbers.next(), 1);
      EXPECT_EQ(co_await numbers.next(), 2);
      log->push_back("dropped");
    }
    EXPECT_EQ(*log, (Log{"dropped", "left"}));
  };
  Log log;
  run(body(&log));
}

TEST_P(Generators, ItsExceptionComesOutOnceAndThenItIsAtItsEnd) {
  const auto failing = [](bool wait) -> AsyncGenerator<std::string> {
    co_yield "one";
    if (wait) co_await sleep(1ms);
    throw TestError("two");
  };
  const auto body = [](auto make, bool wait, Log* log) -> Coro<> {
    auto texts = make(wait);
    for (int i = 0; i < 3; ++i) {
      try {
        const std::optional<std::string> text = co_await texts.next();
        log->push_back(text.value_or("none"));
      } catch (const TestError& e) {
        log->push_back(e.what());
      }
    }
  };
  for (const bool wait : {false, true}) {
    Log log;
    run(body(failing, wait, &log));
    EXPECT_EQ(log, (Log{"one", "two", "none"}));
  }
}

TEST_P(Generators, MoveOnlyValuesAndGeneratorsOfGenerators) {
  struct Bodies {
    static AsyncGenerator<std::unique_ptr<int>> boxes(int end) {
      for (int i = 0; i < end; ++i) {
        std::unique_ptr<int> box = std::make_unique<int>(i);
        co_yield std::move(box);
      }
    }
    static AsyncGenerator<int> doubled(AsyncGenerator<std::unique_ptr<int>> inner) {
      while (std::optional<std::unique_ptr<int>> box = co_await inner.next()) {
        co_await sleep(0s);
        co_yield **box * 2;
      }
    }
    static Coro<int> sum() {
      auto numbers = doubled(boxes(5));
      int total = 0;
      while (const std::optional<int> number = co_await numbers.next()) total += *number;
      co_return total;
    }
  };
  EXPECT_EQ(run(Bodies::sum()), 20);
}

[[gnu::noinline]] std::uintptr_t stack_position() {
  return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
}

TEST_P(Generators, AHundredThousandValuesDoNotGrowTheStack) {
  const auto positions = []() -> AsyncGenerator<std::uintptr_t> {
    for (;;) co_yield stack_position();
  };
  const auto body = [](auto make) -> Coro<std::uintptr_t> {
    auto numbers = make();
    const std::optional<std::uintptr_t> first = co_await numbers.next();
    std::uintptr_t lowest = *first;
    for (int i = 0; i < 100'000; ++i) {
      const std::optional<std::uintptr_t> here = co_await numbers.next();
      if (*here < lowest) lowest = *here;
    }
    co_return *first - lowest;
  };
  EXPECT_LT(run(body(positions)), 4096u);
}

TEST_P(Generators, ACancellationReachesWhatTheGeneratorWaitsFor) {
  const auto waiting = [](Log* log) -> AsyncGenerator<int> {
    co_yield 1;
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      log->push_back("in the generator");
      throw;
    }
    co_yield 2;
  };
  const auto body = [](auto make, Log* log) -> Coro<> {
    auto numbers = make(log);
    EXPECT_EQ(co_await numbers.next(), 1);
    co_await numbers.next();
  };
  Log log;
  const Task<> task = start(body(waiting, &log));
  tick(2);
  task.cancel();
  finish(task);
  EXPECT_TRUE(task.cancelled());
  EXPECT_EQ(log, (Log{"in the generator"}));
}

TEST_P(Generators, AnExceptionCanBeThrownIn) {
  const auto catching = [](Log* log) -> AsyncGenerator<int> {
    try {
      co_yield 1;
    } catch (const TestError& e) {
      log->push_back(e.what());
    }
    co_yield 2;
  };
  const auto body = [](auto make, Log* log) -> Coro<> {
    auto numbers = make(log);
    EXPECT_EQ(co_await numbers.next(), 1);
    std::exception_ptr error = std::make_exception_ptr(TestError("thrown in"));
    EXPECT_EQ(co_await numbers.next_with(error), 2);
  };
  Log log;
  run(body(catching, &log));
  EXPECT_EQ(log, (Log{"thrown in"}));
}

TEST_P(Generators, OneCallAtATime) {
  const auto take = [](AsyncGenerator<int>* numbers, Log* log) -> Coro<> {
    try {
      const std::optional<int> number = co_await numbers->next();
      log->push_back(std::to_string(number.value_or(0)));
    } catch (const std::logic_error&) {
      log->push_back("refused");
    }
  };
  Log log;
  auto numbers = count_to(2, true, &log);
  const Task<> first = start(take(&numbers, &log));
  const Task<> second = start(take(&numbers, &log));
  finish(first);
  finish(second);
  EXPECT_EQ(log, (Log{"refused", "1"}));
  run(take(&numbers, &log));
  EXPECT_EQ(log, (Log{"refused", "1", "2"}));
}

TEST_P(Generators, DestroyedWithItsTaskWhenTheLoopCloses) {
  const auto body = [](Log* log) -> Coro<> {
    auto numbers = count_to(3, true, log);
    EXPECT_EQ(co_await numbers.next(), 1);
    co_await sleep(1h);
  };
  Log log;
  static_cast<void>(start(body(&log)));
  tick(5);
  EXPECT_TRUE(log.empty());
  close_loop();
  EXPECT_EQ(log, (Log{"left"}));
  EXPECT_EQ(take_exceptions().size(), 1u);
}

class Contexts : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Contexts, ::testing::ValuesIn(kWorlds), world_name);

AsyncGenerator<int> resource(Log* log, bool swallow) {
  log->push_back("enter");
  co_await sleep(0s);
  std::exception_ptr failure;
  try {
    co_yield 7;
  } catch (...) {
    failure = std::current_exception();
  }
  co_await sleep(0s);
  log->push_back(failure ? "leave after a failure" : "leave");
  if (failure && !swallow) std::rethrow_exception(failure);
}

TEST_P(Contexts, AGeneratorThatYieldsOnceIsAContext) {
  const auto body = [](Log* log) -> Coro<int> {
    const auto work = [](int value, Log* l) -> Coro<int> {
      l->push_back("work");
      co_await sleep(0s);
      co_return value + 1;
    };
    co_return co_await with(async_context_manager(resource(log, false)), work, log);
  };
  Log log;
  EXPECT_EQ(run(body(&log)), 8);
  EXPECT_EQ(log, (Log{"enter", "work", "leave"}));
}

TEST_P(Contexts, AFailureOfTheBodyGoesThroughItAndCanBeSwallowed) {
  const auto body = [](Log* log, bool swallow) -> Coro<> {
    const auto work = [](int) -> Coro<> {
      co_await sleep(0s);
      throw TestError("work");
    };
    try {
      co_await with(async_context_manager(resource(log, swallow)), work);
    } catch (const TestError& e) {
      log->push_back(e.what());
    }
  };
  Log log;
  run(body(&log, false));
  EXPECT_EQ(log, (Log{"enter", "leave after a failure", "work"}));
  log.clear();
  run(body(&log, true));
  EXPECT_EQ(log, (Log{"enter", "leave after a failure"}));
}

TEST_P(Contexts, ACancelledBodyIsLeftToo) {
  const auto body = [](Log* log) -> Coro<> {
    const auto work = [](int) -> Coro<> { co_await sleep(1h); };
    co_await with(async_context_manager(resource(log, false)), work);
  };
  Log log;
  const Task<> task = start(body(&log));
  tick(3);
  task.cancel();
  finish(task);
  EXPECT_TRUE(task.cancelled());
  EXPECT_EQ(log, (Log{"enter", "leave after a failure"}));
}

TEST_P(Generators, OneThatOutlivesItsLoopIsDestroyedWhereItWaited) {
  const auto generate = [](Future<int> future, int* alive) -> AsyncGenerator<int> {
    const Alive local(*alive);
    const int value = co_await future;
    co_yield int{value};
  };
  const auto ask = [](AsyncGenerator<int>* numbers) -> Coro<> { co_await numbers->next(); };
  int alive = 0;
  const Future<int> future(loop());
  AsyncGenerator<int> numbers = generate(future, &alive);
  create_task(loop(), ask(&numbers));
  tick(2);
  EXPECT_EQ(alive, 1);
  close_loop();  // the task is gone, which the generator waited in
  EXPECT_EQ(take_exceptions().size(), 1u);
  numbers = {};
  EXPECT_EQ(alive, 0);
}

}  // namespace
}  // namespace ferry::test
