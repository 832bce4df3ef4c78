// What g++ 12 compiles wrongly, each written the way the library and its users are to write it.

#include "task_fixture.h"

#include <ferry/gather.h>

#include <cstdint>
#include <tuple>

namespace ferry::test {
namespace {

class CompilerRules : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, CompilerRules, ::testing::ValuesIn(kWorlds), world_name);

Coro<std::size_t> length(std::string text, Alive) {
  co_await sleep(0s);
  co_return text.size();
}

TEST_P(CompilerRules, AnArgumentWithADestructorIsNamedBeforeTheAwait) {
  const auto body = [](int* alive) -> Coro<std::size_t> {
    std::string text(100, 'x');
    Coro<std::size_t> call = length(std::move(text), Alive(*alive));
    co_return co_await std::move(call);
  };
  int alive = 0;
  EXPECT_EQ(run(body(&alive)), 100u);
  EXPECT_EQ(alive, 0);
}

TEST_P(CompilerRules, ArgumentsMovedIntoTheCallDieOnce) {
  const auto body = [](int* alive) -> Coro<std::size_t> {
    std::size_t total = 0;
    for (int i = 0; i < 10; ++i) {
      std::string text(40, 'y');
      Alive argument(*alive);
      total += co_await length(std::move(text), std::move(argument));
    }
    co_return total;
  };
  int alive = 0;
  EXPECT_EQ(run(body(&alive)), 400u);
  EXPECT_EQ(alive, 0);
}

TEST_P(CompilerRules, AFunctionObjectWithCapturesIsNamedBeforeTheAwait) {
  // It is no coroutine itself; it is handed to one, which keeps its own copy.
  const auto call_twice = [](Function<int(int)> f) -> Coro<int> {
    const int once = f(1);
    co_await sleep(0s);
    co_return once + f(2);
  };
  const auto body = [](auto twice, int* alive) -> Coro<int> {
    Function<int(int)> f = [held = Alive(*alive), base = std::string("1234567890")](int more) {
      return static_cast<int>(base.size()) + more;
    };
    const int result = co_await twice(std::move(f));
    co_return result;
  };
  int alive = 0;
  EXPECT_EQ(run(body(call_twice, &alive)), 23);
  EXPECT_EQ(alive, 0);
}

Coro<std::tuple<std::string, int>> two_values() {
  co_await sleep(0s);
  co_return std::tuple<std::string, int>(std::string(50, 'z'), 7);
}

TEST_P(CompilerRules, AStructuredBindingTakesANamedResult) {
  const auto body = []() -> Coro<std::size_t> {
    const std::tuple<std::string, int> both = co_await two_values();
    const auto& [text, value] = both;
    co_await sleep(0s);
    co_return text.size() + static_cast<std::size_t>(value);
  };
  EXPECT_EQ(run(body()), 57u);
}

TEST_P(CompilerRules, AChoiceOfTwoAwaitsIsAnIf) {
  const auto body = [](bool first, int* alive) -> Coro<std::size_t> {
    std::size_t result = 0;
    if (first) {
      result = co_await length("first", Alive(*alive));
    } else {
      result = co_await length("the second", Alive(*alive));
    }
    co_return result;
  };
  int alive = 0;
  EXPECT_EQ(run(body(true, &alive)), 5u);
  EXPECT_EQ(run(body(false, &alive)), 10u);
  EXPECT_EQ(alive, 0);
}

TEST_P(CompilerRules, ACoroutineLambdaTakesItsValuesAsParameters) {
  const auto make = [](std::string text, int* alive) {
    // The lambda is gone when the coroutine runs; what it works on lies in the frame.
    return [](std::string t, Alive) -> Coro<std::string> {
      co_await sleep(0s);
      co_return t + "!";
    }(std::move(text), Alive(*alive));
  };
  int alive = 0;
  EXPECT_EQ(run(make("a text too long for the small string buffer", &alive)),
            "a text too long for the small string buffer!");
  EXPECT_EQ(alive, 0);
}

/// An awaiter that must stay where it is, as all of the library do: others hold its address.
class Fixed final : public Suspension {
 public:
  Fixed() noexcept : self_(this) {}
  bool await_ready() const noexcept {
    EXPECT_EQ(self_, this);
    return false;
  }
  void await_suspend(std::coroutine_handle<> coroutine) {
    EXPECT_EQ(self_, this);
    suspend(coroutine);
    wake();
  }
  const Fixed* await_resume() {
    EXPECT_EQ(self_, this);
    resumed();
    return this;
  }

 private:
  bool cancel(std::string_view) override { return false; }

  const Fixed* self_;
};

TEST_P(CompilerRules, AnAwaiterIsNeverMoved) {
  const auto body = []() -> Coro<> {
    Fixed named;
    const Fixed* const seen = co_await named;
    EXPECT_EQ(seen, &named);
    EXPECT_NE(co_await Fixed(), nullptr);
  };
  run(body());
}

TEST_P(CompilerRules, AwaitsInAConditionAndInArgumentsOfACallAreMadeInOrder) {
  const auto body = [](Log* log) -> Coro<int> {
    const auto step = [](Log* l, int n) -> Coro<int> {
      co_await sleep(0s);
      l->push_back(std::to_string(n));
      co_return n;
    };
    int total = 0;
    if (co_await step(log, 1) == 1) total += 1;
    while (co_await step(log, 2) + total < 5) ++total;
    const int a = co_await step(log, 3);
    const int b = co_await step(log, 4);
    co_return total * 100 + a * 10 + b;
  };
  Log log;
  EXPECT_EQ(run(body(&log)), 334);
  EXPECT_EQ(log, (Log{"1", "2", "2", "2", "3", "4"}));
}

TEST_P(CompilerRules, AnAwaitInATryBlockAndARethrowAfterItKeepTheException) {
  const auto body = [](int* alive) -> Coro<int> {
    // No co_await in a handler: what it would do is done after it.
    std::exception_ptr failure;
    try {
      const Alive local(*alive);
      co_await fail_after(0s, "inner");
    } catch (...) {
      failure = std::current_exception();
    }
    co_await sleep(0s);
    EXPECT_EQ(*alive, 0);
    std::rethrow_exception(failure);
  };
  int alive = 0;
  EXPECT_THROW(run(body(&alive)), TestError);
  EXPECT_EQ(alive, 0);
}

/// Options as those of connections: an aggregate that needs a destructor.
struct Options {
  std::shared_ptr<Alive> alive{};
  int number = 0;
};
Future<int> number_of(EventLoop& loop, const Options& options = Options()) {
  Future<int> future(loop);
  loop.call_soon([future, number = options.number] { future.set_result(number); });
  return future;
}

TEST_P(CompilerRules, OptionsInBracesAreNamedBeforeTheAwait) {
  const auto body = [](EventLoop* loop, int* alive) -> Coro<int> {
    const Options options{.alive = std::make_shared<Alive>(*alive), .number = 4};
    const int four = co_await number_of(*loop, options);
    EXPECT_EQ(options.alive.use_count(), 1);
    // By default: made with parentheses, not with braces.
    const int none = co_await number_of(*loop);
    co_return four + none;
  };
  int alive = 0;
  EXPECT_EQ(run(body(&loop(), &alive)), 4);
  EXPECT_EQ(alive, 0);
}

TEST_P(CompilerRules, AListInBracesIsNamedBeforeTheAwait) {
  const auto body = []() -> Coro<int> {
    std::vector<Task<int>> tasks{create_task(value_after(0s, 1)), create_task(value_after(0s, 2))};
    const std::vector<int> values = co_await gather(std::move(tasks));
    co_return values[0] * 10 + values[1];
  };
  EXPECT_EQ(run(body()), 12);
}

TEST_P(CompilerRules, CreateTaskMayStandInTheAwait) {
  // An aggregate with a destructor among the arguments would be destroyed twice, even a default
  // one: so TaskOptions has none.
  static_assert(std::is_trivially_destructible_v<TaskOptions>);
  const auto body = [](int* alive) -> Coro<std::size_t> {
    const std::size_t a = co_await create_task(length("one", Alive(*alive)));
    const std::size_t b = co_await create_task(length("three", Alive(*alive)),
                                               {.name = "a name that is not short at all"});
    const std::unique_ptr<int> box =
        co_await create_task(value_after(0s, std::make_unique<int>(3)));
    co_return a * 100 + b * 10 + static_cast<std::size_t>(*box);
  };
  int alive = 0;
  EXPECT_EQ(run(body(&alive)), 353u);
  EXPECT_EQ(alive, 0);
}

TEST_P(CompilerRules, GatheredTupleIsNamedBeforeItIsTakenApart) {
  const auto body = []() -> Coro<std::string> {
    auto gathering = gather(value_after(1ms, std::string("one")), value_after(0ms, 2));
    const std::tuple<std::string, int> both = co_await gathering;
    const auto& [text, value] = both;
    co_return text + std::to_string(value);
  };
  EXPECT_EQ(run(body()), "one2");
}

// With -O2 and its SLP vectorizer g++ 12 moves the members of such a vector as they were before it
// last grew, whatever it is moved to: hence -fno-tree-slp-vectorize (lib/meson.build).

Coro<std::vector<std::string>> grown(std::size_t count) {
  std::vector<std::string> all;
  while (all.size() < count) all.push_back(co_await value_after(0s, std::string("one")));
  co_return all;
}
Coro<> grow_into(std::vector<std::string>* into, std::size_t count) {
  std::vector<std::string> all;
  while (all.size() < count) all.push_back(co_await value_after(0s, std::string("one")));
  *into = std::move(all);
}
Coro<> grow_and_swap(std::vector<std::string>* into, std::size_t count) {
  std::vector<std::string> all;
  while (all.size() < count) {
    std::string one = co_await value_after(0s, std::string("one"));
    all.push_back(std::move(one));
  }
  std::swap(*into, all);
}

TEST_P(CompilerRules, WhatGrewRoundAnAwaitIsMovedWhole) {
  for (const std::size_t count : {1u, 3u, 5u, 12u}) {
    const std::vector<std::string> expected(count, "one");
    EXPECT_EQ(run(grown(count)), expected);
    std::vector<std::string> into;
    run(grow_into(&into, count));
    EXPECT_EQ(into, expected);
    std::vector<std::string> other;
    run(grow_and_swap(&other, count));
    EXPECT_EQ(other, expected);
  }
}

}  // namespace
}  // namespace ferry::test
