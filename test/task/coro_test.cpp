// Coro: a call that has not begun.

#include "task_fixture.h"

#include <cstdint>

namespace ferry::test {
namespace {

class Coros : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Coros, ::testing::ValuesIn(kWorlds), world_name);

Coro<int> number(int value) {
  co_return value;
}
Coro<> mark(bool* ran) {
  *ran = true;
  co_return;
}

TEST_P(Coros, TheBodyDoesNotBeginBeforeItIsAwaited) {
  bool ran = false;
  Coro<> call = mark(&ran);
  EXPECT_TRUE(call.valid());
  EXPECT_FALSE(ran);
  run(std::move(call));
  EXPECT_TRUE(ran);
  EXPECT_FALSE(call.valid());  // NOLINT: a moved-from Coro is none
}

TEST_P(Coros, OneThatIsDroppedNeverRunsAndItsArgumentsDie) {
  bool ran = false;
  int alive = 0;
  const auto body = [](bool* r, Alive) -> Coro<> {
    *r = true;
    co_return;
  };
  {
    const Coro<> call = body(&ran, Alive(alive));
    EXPECT_EQ(alive, 1);
  }
  EXPECT_FALSE(ran);
  EXPECT_EQ(alive, 0);
}

TEST_P(Coros, AwaitingOneDoesNotGoThroughTheLoop) {
  const auto body = [](EventLoop* loop, bool* other) -> Coro<int> {
    loop->call_soon([other] { *other = true; });
    int sum = 0;
    for (int i = 1; i <= 10; ++i) sum += co_await number(i);
    EXPECT_FALSE(*other);
    co_return sum;
  };
  bool other = false;
  EXPECT_EQ(run(body(&loop(), &other)), 55);
  tick();
  EXPECT_TRUE(other);
}

TEST_P(Coros, ValuesReferencesAndMoveOnlyValuesComeBack) {
  static int place = 0;
  struct Bodies {
    static Coro<std::unique_ptr<int>> box(std::unique_ptr<int> box) {
      co_await sleep(0s);
      co_return box;
    }
    static Coro<int&> reference(int& at) {
      co_await sleep(0s);
      co_return at;
    }
    static Coro<const char*> converted() { co_return "text"; }
    static Coro<std::string> all(int& at) {
      std::unique_ptr<int> made = std::make_unique<int>(4);
      const int* const address = made.get();
      std::unique_ptr<int> back = co_await box(std::move(made));
      EXPECT_EQ(back.get(), address);
      int& same = co_await reference(at);
      EXPECT_EQ(&same, &at);
      same = 9;
      const char* const text = co_await converted();
      co_return text;
    }
  };
  EXPECT_EQ(run(Bodies::all(place)), "text");
  EXPECT_EQ(place, 9);
}

Coro<int> throw_at_depth(int depth, bool wait, Log* log) {
  struct Leaving {
    Log* log;
    int depth;
    ~Leaving() { log->push_back(std::to_string(depth)); }
  } leaving{log, depth};
  if (depth == 0) {
    if (wait) co_await sleep(1ms);
    throw TestError("from the depth");
  }
  const int below = co_await throw_at_depth(depth - 1, wait, log);
  co_return below + 1;
}

TEST_P(Coros, AnExceptionPassesThroughAChainAndUnwindsItFromWithin) {
  for (const bool wait : {false, true}) {
    Log log;
    EXPECT_THROW(run(throw_at_depth(3, wait, &log)), TestError);
    EXPECT_EQ(log, (Log{"0", "1", "2", "3"}));
  }
}

TEST_P(Coros, AnExceptionCaughtHalfWayIsOver) {
  const auto body = [](Log* log) -> Coro<int> {
    int result = 0;
    try {
      result = co_await throw_at_depth(2, true, log);
    } catch (const TestError&) {
      result = -1;
    }
    co_await sleep(0s);
    const int more = co_await number(5);
    co_return result + more;
  };
  Log log;
  EXPECT_EQ(run(body(&log)), 4);
}

/// Where the stack of the caller stands, roughly.
[[gnu::noinline]] std::uintptr_t stack_position() {
  return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
}

Coro<std::uintptr_t> position() {
  co_return stack_position();
}

TEST_P(Coros, AMillionAwaitsThatDoNotWaitDoNotGrowTheStack) {
  const auto body = []() -> Coro<std::uintptr_t> {
    const std::uintptr_t first = co_await position();
    std::uintptr_t lowest = first;
    for (int i = 0; i < 1'000'000; ++i) {
      const std::uintptr_t here = co_await position();
      if (here < lowest) lowest = here;
    }
    co_return first - lowest;
  };
  EXPECT_LT(run(body()), 4096u);
}

TEST_P(Coros, NorDoThoseThatComeAfterAWait) {
  const auto body = []() -> Coro<std::uintptr_t> {
    co_await sleep(0s);
    const std::uintptr_t first = co_await position();
    std::uintptr_t lowest = first;
    for (int i = 0; i < 100'000; ++i) {
      if (i % 100 == 0) co_await turns(1);
      const std::uintptr_t here = co_await position();
      if (here < lowest) lowest = here;
    }
    co_return first - lowest;
  };
  EXPECT_LT(run(body()), 16384u);
}

TEST_P(Coros, NorDoReadyFutures) {
  const auto body = [](Future<int> ready) -> Coro<long> {
    long sum = 0;
    for (int i = 0; i < 100'000; ++i) sum += co_await ready;
    co_return sum;
  };
  const Future<int> ready(loop());
  ready.set_result(2);
  EXPECT_EQ(run(body(ready)), 200'000);
}

Coro<int> depth_of(int depth, bool wait) {
  if (depth == 0) {
    if (wait) co_await sleep(0s);
    co_return 0;
  }
  const int below = co_await depth_of(depth - 1, wait);
  co_return below + 1;
}

TEST_P(Coros, AChainOfAThousandCallsComesBackFromAWaitAtItsEnd) {
  EXPECT_EQ(run(depth_of(1000, false)), 1000);
  EXPECT_EQ(run(depth_of(1000, true)), 1000);
}

TEST_P(Coros, LocalsDieWhenTheBodyEndsAndArgumentsWithTheCall) {
  const auto body = [](int* alive, Alive) -> Coro<int> {
    const Alive local(*alive);
    co_await sleep(0s);
    co_return *alive;
  };
  const auto outer = [](int* alive, auto inner) -> Coro<> {
    const int inside = co_await inner(alive, Alive(*alive));
    EXPECT_GE(inside, 2);
    EXPECT_EQ(*alive, 0);
  };
  int alive = 0;
  run(outer(&alive, body));
  EXPECT_EQ(alive, 0);
}

TEST_P(Coros, AMovedOneIsStillTheSameCall) {
  const auto body = []() -> Coro<int> {
    std::vector<Coro<int>> calls;
    for (int i = 0; i < 20; ++i) calls.push_back(number(i));
    Coro<int> swapped = std::move(calls[0]);
    swapped = std::move(calls[19]);
    int sum = co_await std::move(swapped);
    for (int i = 1; i < 19; ++i) sum += co_await std::move(calls[static_cast<std::size_t>(i)]);
    co_return sum;
  };
  EXPECT_EQ(run(body()), 190);
}

static_assert(is_coro_v<Coro<int>> && is_coro_v<Coro<>> && !is_coro_v<Task<int>>);
using CoroFunction = Coro<int>(const std::string&);
static_assert(is_coroutine_function_v<CoroFunction, std::string> &&
              is_coroutine_function_v<Coro<> (*)()> &&
              !is_coroutine_function_v<CoroFunction, int> && !is_coroutine_function_v<int()> &&
              !is_coroutine_function_v<Coro<int>>);
static_assert(is_future_v<Task<int>> && is_future_v<Future<void>> && !is_future_v<Coro<int>>);
static_assert(!std::is_copy_constructible_v<Coro<int>>);

}  // namespace
}  // namespace ferry::test
