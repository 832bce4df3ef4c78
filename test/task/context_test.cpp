// Context and ContextVar: values that go with a task.

#include "task_fixture.h"

#include <ferry/context.h>
#include <ferry/gather.h>
#include <ferry/run.h>
#include <ferry/task_group.h>
#include <ferry/to_thread.h>

#include <thread>

namespace ferry::test {
namespace {

const ContextVar<std::string> user("user", "nobody");
const ContextVar<int> depth("depth");

class ContextVars : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, ContextVars, ::testing::ValuesIn(kWorlds), world_name);

Coro<std::string> get_user() {
  co_return user.get();
}
Coro<std::string> set_user(std::string name) {
  user.set(std::move(name));
  co_await sleep(0s);
  co_return user.get();
}
Coro<> note_user(Log* log) {
  log->push_back(user.get());
  co_return;
}

TEST_P(ContextVars, C0150_WhatATaskSetsIsItsOwnAndItsChildrensFromThenOn) {
  const auto body = [](Log* log) -> Coro<> {
    const Task<> before = create_task(note_user(log));
    user.set("ada");
    const Task<> after = create_task(note_user(log));
    const Task<std::string> changes = create_task(set_user("bob"));
    co_await before;
    co_await after;
    log->push_back(co_await changes);
    log->push_back(user.get());
  };
  Log log;
  run(body(&log));
  EXPECT_EQ(log, (Log{"nobody", "ada", "bob", "ada"}));
  EXPECT_EQ(user.get(), "nobody");
}

TEST_P(ContextVars, C0150_TasksWithTheSameContextShareItsValues) {
  const auto body = [](Log* log) -> Coro<> {
    const Context shared;
    TaskOptions options;
    options.context = &shared;
    const Task<std::string> sets = create_task(set_user("ada"), options);
    log->push_back(co_await sets);
    const Task<std::string> gets = create_task(get_user(), options);
    log->push_back(co_await gets);
    log->push_back(shared.get(user).value());
    log->push_back(user.get());
    EXPECT_EQ(gets.get_context(), shared);
  };
  Log log;
  run(body(&log));
  EXPECT_EQ(log, (Log{"ada", "ada", "ada", "nobody"}));
}

TEST_P(ContextVars, ACoroutineThatIsAwaitedInPlaceSharesItsCallersContext) {
  const auto body = []() -> Coro<std::string> {
    co_await set_user("ada");
    co_return user.get();
  };
  EXPECT_EQ(run(body()), "ada");
}

TEST_P(ContextVars, ATasksContextIsOneThingAndCopiesAreOthers) {
  const auto body = []() -> Coro<> {
    const Context own = current_task()->get_context();
    EXPECT_EQ(own, current_task()->get_context());
    EXPECT_EQ(own.size(), 0U);
    user.set("ada");
    EXPECT_EQ(own.get(user), "ada");
    const Context copy = copy_context();
    EXPECT_NE(copy, own);
    user.set("bob");
    EXPECT_EQ(copy.get(user), "ada");
    EXPECT_EQ(own.get(user), "bob");
    EXPECT_EQ(own.copy().get(user), "bob");
    EXPECT_EQ(own.get(depth), std::nullopt);
    co_return;
  };
  run(body());
}

TEST_P(ContextVars, ResetPutsBackWhatWasThereBeforeOnce) {
  const auto body = []() -> Coro<> {
    EXPECT_THROW(static_cast<void>(depth.get()), std::out_of_range);
    EXPECT_EQ(depth.get(7), 7);
    auto first = depth.set(1);
    auto second = depth.set(2);
    EXPECT_EQ(first.old_value(), std::nullopt);
    EXPECT_EQ(second.old_value(), 1);
    depth.reset(std::move(second));
    EXPECT_EQ(depth.get(), 1);
    EXPECT_THROW(depth.reset(std::move(second)), std::logic_error);
    depth.reset(std::move(first));
    EXPECT_THROW(static_cast<void>(depth.get()), std::out_of_range);
    co_return;
  };
  run(body());
}

TEST_P(ContextVars, ATokenIsGoodForItsVariableAndItsContextOnly) {
  const ContextVar<int> other("other");
  auto token = depth.set(1);  // in this thread's own
  EXPECT_THROW(other.reset(std::move(token)), std::invalid_argument);
  const auto body = [](ContextToken<int>* from_outside) -> Coro<> {
    depth.set(5);
    EXPECT_THROW(depth.reset(std::move(*from_outside)), std::invalid_argument);
    EXPECT_EQ(depth.get(), 5);
    co_return;
  };
  run(body(&token));
  EXPECT_EQ(depth.get(), 1);
  depth.reset(std::move(token));
  EXPECT_EQ(depth.get(0), 0);
}

TEST_P(ContextVars, VariablesThatDieLeaveNothingForThoseThatComeInTheirPlace) {
  const auto body = []() -> Coro<> {
    for (int round = 0; round < 3; ++round) {
      const ContextVar<int> local("local", -1);
      EXPECT_EQ(local.get(), -1);
      local.set(round);
      EXPECT_EQ(local.get(), round);
    }
    co_return;
  };
  run(body());
}

TEST_P(ContextVars, RunCallsInAContextAndComesBackEvenByAnException) {
  const auto body = []() -> Coro<> {
    user.set("ada");
    const Context other;
    EXPECT_EQ(other.run([] {
      user.set("bob");
      return user.get();
    }),
              "bob");
    EXPECT_EQ(user.get(), "ada");
    EXPECT_THROW(other.run([] { throw TestError("inside"); }), TestError);
    EXPECT_EQ(user.get(), "ada");
    // A task created in there begins with a copy of that one.
    const Task<std::string> task = other.run([] { return create_task(get_user()); });
    const std::string seen = co_await task;
    EXPECT_EQ(seen, "bob");
  };
  run(body());
}

TEST_P(ContextVars, AnEagerTaskHasItsOwnAndTheCreatorsIsBackAfterwards) {
  const auto body = []() -> Coro<> {
    user.set("ada");
    const Context other;
    TaskOptions options;
    options.eager = true;
    const Task<std::string> task = other.run([&options] {
      user.set("bob");
      const Task<std::string> made = create_task(set_user("eve"), options);
      EXPECT_EQ(user.get(), "bob");
      return made;
    });
    EXPECT_EQ(user.get(), "ada");
    const std::string seen = co_await task;
    EXPECT_EQ(seen, "eve");
    EXPECT_EQ(user.get(), "ada");
  };
  run(body());
}

TEST_P(ContextVars, GatherAndGroupsPassTheContextOn) {
  const auto in_group = [](TaskGroup& group, Log* log) -> Coro<> {
    group.create_task(note_user(log));
    co_return;
  };
  const auto body = [](auto group_body, Log* log) -> Coro<> {
    user.set("ada");
    const std::tuple<std::string, std::string> both = co_await gather(get_user(), set_user("bob"));
    log->push_back(std::get<0>(both));
    log->push_back(std::get<1>(both));
    co_await task_group(group_body, log);
    log->push_back(user.get());
  };
  Log log;
  run(body(in_group, &log));
  EXPECT_EQ(log, (Log{"ada", "bob", "ada", "ada"}));
}

TEST_P(ContextVars, CallbacksTakeItAlongByInContext) {
  const auto body = [](Log* log) -> Coro<> {
    EventLoop& loop = get_running_loop();
    user.set("ada");
    loop.call_soon([log] { log->push_back("plain " + user.get()); });
    loop.call_soon(in_context([log] { log->push_back("captured " + user.get()); }));
    const Context shared;
    loop.call_later(0s, in_context(shared, [] { user.set("shared"); }));
    const Future<int> future(loop);
    future.add_done_callback(in_context([log] { log->push_back("done " + user.get()); }));
    future.add_done_callback(in_context([log](const Future<int>& done) {
      log->push_back(user.get() + " " + std::to_string(done.result()));
    }));
    user.set("bob");  // too late for them
    future.set_result(3);
    co_await sleep(1ms);
    EXPECT_EQ(shared.get(user), "shared");
  };
  Log log;
  run(body(&log));
  EXPECT_EQ(log, (Log{"plain nobody", "captured ada", "done ada", "ada 3"}));
}

class ContextThreads : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(World, ContextThreads, ::testing::Values(World::asio), world_name);

TEST_P(ContextThreads, C0337_ToThreadTakesACopyAlongAndRunInExecutorDoesNot) {
  const auto body = []() -> Coro<> {
    user.set("ada");
    const auto in_thread = [] {
      std::string seen = user.get();
      user.set("changed there");
      return seen + ", " + user.get();
    };
    const Future<std::string> with_context = to_thread(in_thread);
    const std::string seen = co_await with_context;
    EXPECT_EQ(seen, "ada, changed there");
    EXPECT_EQ(user.get(), "ada");
    const Future<std::string> plain = get_running_loop().run_in_executor(nullptr, in_thread);
    const std::string seen_plain = co_await plain;
    EXPECT_EQ(seen_plain, "nobody, changed there");
    EXPECT_EQ(user.get(), "ada");
  };
  run(body());
}

TEST_P(ContextThreads, ACoroutineFromAnotherThreadTakesThatOnesContextAlong) {
  std::thread thread([this] {
    user.set("the thread");
    EXPECT_EQ(run_coroutine_threadsafe(set_user("changed"), loop()).get(), "changed");
    EXPECT_EQ(run_coroutine_threadsafe(get_user(), loop()).get(), "the thread");
    loop().call_soon_threadsafe([this] { loop().stop(); });
  });
  loop().run_forever();
  thread.join();
  EXPECT_EQ(user.get(), "nobody");
}

TEST(RunnerContext, C0322_ARunnerKeepsItBetweenRuns) {
  auto token = user.set("before");
  Runner runner;
  EXPECT_EQ(runner.run(set_user("ada")), "ada");
  EXPECT_EQ(runner.run(get_user()), "ada");
  EXPECT_EQ(user.get(), "before");
  const Context other;
  EXPECT_EQ(runner.run(get_user(), other), "nobody");
  EXPECT_EQ(runner.run(get_user()), "ada");
  user.reset(std::move(token));
}

TEST(RunnerContext, ItBeginsAsACopyOfTheCurrentOne) {
  auto token = user.set("ada");
  EXPECT_EQ(ferry::run(get_user()), "ada");
  user.reset(std::move(token));
}

}  // namespace
}  // namespace ferry::test
