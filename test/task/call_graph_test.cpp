// Who awaits whom, and where each coroutine stands.

#include "task_fixture.h"

#include <ferry/as_completed.h>
#include <ferry/async_generator.h>
#include <ferry/call_graph.h>
#include <ferry/event.h>
#include <ferry/gather.h>
#include <ferry/queue.h>
#include <ferry/shield.h>
#include <ferry/task_group.h>
#include <ferry/timeout.h>
#include <ferry/wait.h>

#include <algorithm>
#include <cstdio>

namespace ferry::test {
namespace {

class CallGraphs : public TaskTest {
 protected:
  /// Captured while the loop is at rest.
  template <class T>
  static FutureCallGraph graph_of(const Future<T>& future) {
    return capture_call_graph(future);
  }
};
INSTANTIATE_TEST_SUITE_P(Worlds, CallGraphs, ::testing::ValuesIn(kWorlds), world_name);

/// The functions of a call stack, without their namespaces, the innermost first: "inner outer".
std::string functions(const FutureCallGraph& graph) {
  std::string text;
  for (const CallGraphEntry& entry : graph.call_stack) {
    std::string name = entry.function();
    if (const std::size_t colons = name.rfind("::"); colons != std::string::npos) {
      name = name.substr(colons + 2);
    }
    if (!text.empty()) text += ' ';
    text += name;
  }
  return text;
}

/// "child(parent(grandparent) other)"
std::string shape(const FutureCallGraph& graph) {
  std::string text = graph.name.empty() ? "future" : graph.name;
  if (graph.cut) text += "!";
  if (graph.awaited_by.empty()) return text;
  text += '(';
  for (const FutureCallGraph& waiter : graph.awaited_by) {
    if (text.back() != '(') text += ' ';
    text += shape(waiter);
  }
  return text + ')';
}

struct Captured {
  FutureCallGraph graph;
  std::uint_least32_t line = 0;  // of the call
};

Coro<> innermost(Captured* captured) {
  captured->line = SourceLocation::current().line() + 1;
  captured->graph = *capture_call_graph();
  co_return;
}
Coro<> middle(Captured* captured) {
  co_await sleep(0s);
  co_await innermost(captured);
}
Coro<> outermost(Captured* captured) {
  co_await middle(captured);
}

TEST_P(CallGraphs, C0636_OfTheRunningTaskEndsWhereItWasAskedFor) {
  Captured captured;
  const Task<> task = start(outermost(&captured), {.name = "main"});
  finish(task);
  EXPECT_EQ(captured.graph.name, "main");
  EXPECT_TRUE(captured.graph.future == AnyFuture(task));
  EXPECT_EQ(functions(captured.graph), "innermost middle outermost");
  ASSERT_EQ(captured.graph.call_stack.size(), 3u);
  const std::vector<CallGraphEntry>& stack = captured.graph.call_stack;
  EXPECT_EQ(stack[0].where.line(), captured.line);
  EXPECT_EQ(stack[1].where.line(), captured.line + 5);
  EXPECT_EQ(stack[2].where.line(), captured.line + 8);
  EXPECT_TRUE(std::string(stack[2].where.file_name()).ends_with("call_graph_test.cpp"));
  EXPECT_TRUE(captured.graph.awaited_by.empty());
}

Coro<> wait_for_event(Event* event) {
  co_await event->wait();
}
Coro<> outer_wait(Event* event) {
  co_await wait_for_event(event);
}

TEST_P(CallGraphs, C0636_OfATaskThatWaitsEndsWhereItWaits) {
  Event event;
  const Task<> task = start(outer_wait(&event), {.name = "waiter"});
  const FutureCallGraph before = graph_of(task);
  EXPECT_EQ(before.call_stack.size(), 1u);  // it has not begun
  EXPECT_GT(before.call_stack.at(0).where.line(), 0u);
  tick(1);
  EXPECT_EQ(functions(graph_of(task)), "wait_for_event outer_wait");
  event.set();
  EXPECT_EQ(functions(graph_of(task)), "wait_for_event outer_wait");  // woken, and not yet running
  finish(task);
  const FutureCallGraph after = graph_of(task);
  EXPECT_EQ(after.name, "waiter");
  EXPECT_TRUE(after.call_stack.empty());
}

TEST_P(CallGraphs, C0636_ChildrenOfGatherTaskGroupAndShieldAreAwaitedByTheirParents) {
  const auto by_gather = [](Future<int> a, Task<> b) -> Coro<> { co_await gather(a, b); };
  const auto by_group = [](TaskGroup& group, Event* event, std::vector<Task<>>* made) -> Coro<> {
    made->push_back(group.create_task(wait_for_event(event), {.name = "member"}));
    co_await event->wait();
  };
  const auto in_group = [](auto body, Event* event, std::vector<Task<>>* made) -> Coro<> {
    co_await task_group(body, event, made);
  };
  const auto by_shield = [](Task<> inner) -> Coro<> { co_await shield(inner); };
  Event event;
  const Future<int> future(loop());
  std::vector<Task<>> made;
  const Task<> child = start(wait_for_event(&event), {.name = "child"});
  const Task<> first = start(by_gather(future, child), {.name = "gatherer"});
  const Task<> second = start(in_group(by_group, &event, &made), {.name = "parent"});
  const Task<> third = start(by_shield(child), {.name = "shielder"});
  tick(2);
  EXPECT_EQ(shape(graph_of(child)), "child(gatherer shielder)");
  EXPECT_EQ(shape(graph_of(future)), "future(gatherer)");
  ASSERT_EQ(made.size(), 1u);
  // The parent is still in the body: it waits for the event, and all the same for its tasks.
  const FutureCallGraph member = graph_of(made[0]);
  EXPECT_EQ(shape(member), "member(parent)");
  EXPECT_EQ(functions(member), "wait_for_event");
  ASSERT_EQ(member.awaited_by.size(), 1u);
  EXPECT_GE(member.awaited_by[0].call_stack.size(), 3u);  // body, run, task_group and the lambda
  event.set();
  future.set_result(1);
  for (const Task<>& each : {first, second, third}) finish(each);
  EXPECT_EQ(shape(graph_of(child)), "child");
  EXPECT_EQ(shape(graph_of(made[0])), "member");
}

TEST_P(CallGraphs, C0636_SoAreThoseOfWaitWaitForAsCompletedAndAwait) {
  const auto by_wait = [](std::vector<Task<>> tasks) -> Coro<> {
    co_await wait(tasks, {.timeout = 1h});
  };
  const auto by_wait_for = [](Task<> task) -> Coro<> { co_await wait_for(task, 1h); };
  const auto by_completion = [](std::vector<Task<>> tasks) -> Coro<> {
    auto completed = as_completed(tasks);
    co_await completed.next();
  };
  const auto by_await = [](Task<> task) -> Coro<> { co_await task; };
  Event event;
  const Task<> child = start(wait_for_event(&event), {.name = "child"});
  std::vector<Task<>> list{child};
  const Task<> a = start(by_wait(list), {.name = "a"});
  const Task<> b = start(by_wait_for(child), {.name = "b"});
  const Task<> c = start(by_completion(list), {.name = "c"});
  const Task<> d = start(by_await(child), {.name = "d"});
  const Task<> e = start(by_await(d), {.name = "e"});
  tick(2);
  EXPECT_EQ(shape(graph_of(child)), "child(a b c d(e))");
  event.set();
  for (const Task<>& each : {a, b, c, e}) finish(each);
  EXPECT_EQ(shape(graph_of(child)), "child");
}

TEST_P(CallGraphs, AGatheringOfGatheringsIsLookedThrough) {
  const auto body = [](Task<> a, Task<> b) -> Coro<> { co_await gather(gather(a, b), b); };
  Event event;
  const Task<> a = start(wait_for_event(&event), {.name = "a"});
  const Task<> b = start(wait_for_event(&event), {.name = "b"});
  const Task<> main = start(body(a, b), {.name = "main"});
  tick(2);
  EXPECT_EQ(shape(graph_of(a)), "a(main)");
  EXPECT_EQ(shape(graph_of(b)), "b(main)");
  event.set();
  finish(main);
}

TEST_P(CallGraphs, C0637_OfAPendingFutureShowsWhoAwaitsIt) {
  const Future<int> future(loop());
  const Task<int> a = start(await_future(future), {.name = "a"});
  const Task<int> b = start(await_future(future), {.name = "b"});
  tick(1);
  const FutureCallGraph graph = graph_of(future);
  EXPECT_TRUE(graph.call_stack.empty());
  EXPECT_EQ(shape(graph), "future(a b)");
  EXPECT_EQ(functions(graph.awaited_by.at(0)), "await_future");
  future.set_result(1);
  finish(b);
  EXPECT_EQ(shape(graph_of(future)), "future");
}

TEST_P(CallGraphs, C0637_WithoutALoopItThrowsAndWithoutATaskThereIsNone) {
  EXPECT_THROW(static_cast<void>(capture_call_graph()), std::logic_error);
  EXPECT_THROW(static_cast<void>(capture_call_graph(AnyFuture())), std::invalid_argument);
  bool none = false;
  loop().call_soon([&] {
    none = !capture_call_graph().has_value();
    EXPECT_EQ(format_call_graph(capture_call_graph()), "");
  });
  tick(1);
  EXPECT_TRUE(none);
}

/// Calls itself until `depth` coroutines stand on each other.
Coro<> nested(int depth, std::vector<FutureCallGraph>* graphs) {
  if (depth > 1) {
    co_await nested(depth - 1, graphs);
    co_return;
  }
  using Limit = std::optional<std::ptrdiff_t>;
  for (const Limit limit : {Limit(), Limit(2), Limit(-2), Limit(0), Limit(9), Limit(-9)}) {
    CallGraphOptions options;
    options.limit = limit;
    graphs->push_back(*capture_call_graph(options));
  }
  for (const std::size_t skipped : {2u, 5u, 6u, 100u}) {
    CallGraphOptions options;
    options.depth = skipped;
    graphs->push_back(*capture_call_graph(options));
  }
}

TEST_P(CallGraphs, C0638_ALimitKeepsTheInnermostOrTheOutermostAndADepthSkips) {
  std::vector<FutureCallGraph> graphs;
  const Task<> task = start(nested(5, &graphs));
  const Task<> waiter = start(await_future(Future<void>(task)), {.name = "waiter"});
  loop().call_soon([] {});
  finish(waiter);
  ASSERT_EQ(graphs.size(), 10u);
  const auto lines = [&](std::size_t index) {
    std::vector<std::uint_least32_t> result;
    for (const CallGraphEntry& entry : graphs[index].call_stack) {
      result.push_back(entry.where.line());
    }
    return result;
  };
  const std::vector<std::uint_least32_t> all = lines(0);
  ASSERT_EQ(all.size(), 5u);
  EXPECT_NE(all[0], all[1]);
  EXPECT_EQ(all[1], all[4]);
  EXPECT_EQ(lines(1), (std::vector(all.begin(), all.begin() + 2)));
  EXPECT_EQ(lines(2), (std::vector(all.begin() + 3, all.end())));
  EXPECT_TRUE(lines(3).empty());
  EXPECT_EQ(lines(4), all);
  EXPECT_EQ(lines(5), all);
  EXPECT_EQ(lines(6).size(), 4u);
  EXPECT_EQ(lines(6), (std::vector(all.begin() + 1, all.end())));
  EXPECT_EQ(lines(7).size(), 1u);
  EXPECT_EQ(lines(8).size(), 0u);
  EXPECT_EQ(lines(9).size(), 0u);
}

TEST_P(CallGraphs, C0638_WithoutCallStacksItStillShowsWhoAwaits) {
  Event event;
  const Task<> child = start(wait_for_event(&event), {.name = "child"});
  const Task<> parent = start(await_future(Future<void>(child)), {.name = "parent"});
  tick(1);
  CallGraphOptions options;
  options.limit = 0;
  const FutureCallGraph graph = capture_call_graph(child, options);
  EXPECT_TRUE(graph.call_stack.empty());
  EXPECT_EQ(shape(graph), "child(parent)");
  EXPECT_TRUE(graph.awaited_by.at(0).call_stack.empty());
  event.set();
  finish(parent);
}

TEST_P(CallGraphs, TasksThatAwaitEachOtherInACircleAreCaptured) {
  const auto body = [](std::vector<Task<>>* tasks, std::size_t next) -> Coro<> {
    co_await sleep(0s);
    co_await (*tasks)[next];
  };
  std::vector<Task<>> tasks;
  for (std::size_t i = 0; i < 3; ++i) {
    tasks.push_back(start(body(&tasks, (i + 1) % 3), {.name = std::string(1, char('a' + i))}));
  }
  tick(3);
  EXPECT_EQ(shape(graph_of(tasks[0])), "a(c(b(a!)))");
  tasks[0].cancel();
  for (const Task<>& each : tasks) finish(each);
}

TEST_P(CallGraphs, WhatIsReachedByManyWaysIsSpelledOutOnce) {
  const auto both = [](Task<> a, Task<> b) -> Coro<> { co_await gather(a, b); };
  Event event;
  // Each layer of two awaits both of the layer before: 2^20 ways from the first to the last.
  std::vector<Task<>> tasks{start(wait_for_event(&event)), start(wait_for_event(&event))};
  for (int layer = 0; layer < 20; ++layer) {
    const Task<> a = tasks[tasks.size() - 2];
    const Task<> b = tasks[tasks.size() - 1];
    tasks.push_back(start(both(a, b)));
    tasks.push_back(start(both(a, b)));
  }
  tick(2);
  const std::string text = format_call_graph(graph_of(tasks[0]));
  EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 20 * 4 * 6);
  EXPECT_NE(text.find("(not shown here)"), std::string::npos);
  event.set();
  for (const Task<>& each : tasks) finish(each);
}

TEST_P(CallGraphs, AChainOfThousandsOfTasksIsCutAndNotFatal) {
  Event event;
  std::vector<Task<>> tasks{start(wait_for_event(&event))};
  while (tasks.size() < 5000) tasks.push_back(start(await_future(Future<void>(tasks.back()))));
  // As many steps come out of one turn as callbacks are allowed in it.
  run_until([&] { return all_tasks(loop()).back()->waiting_for() != nullptr; });
  FutureCallGraph graph = graph_of(tasks[0]);
  const FutureCallGraph* each = &graph;
  int steps = 0;
  for (; !each->awaited_by.empty(); ++steps) each = &each->awaited_by[0];
  EXPECT_EQ(steps, 500);
  EXPECT_TRUE(each->cut);
  event.set();
  finish(tasks.back());
}

TEST_P(CallGraphs, AGeneratorIsPartOfTheStackOfWhoAsksIt) {
  const auto generate = [](Event* event) -> AsyncGenerator<int> {
    co_yield 1;
    co_await wait_for_event(event);
    co_yield 2;
  };
  const auto consume = [](AsyncGenerator<int> numbers, std::vector<int>* got) -> Coro<> {
    while (std::optional<int> number = co_await numbers.next()) got->push_back(*number);
  };
  Event event;
  std::vector<int> got;
  const Task<> task = start(consume(generate(&event), &got));
  tick(1);
  EXPECT_EQ(graph_of(task).call_stack.size(), 3u);
  EXPECT_EQ(functions(graph_of(task)).find("wait_for_event"), 0u);
  event.set();
  finish(task);
  EXPECT_EQ(got, (std::vector<int>{1, 2}));
}

TEST_P(CallGraphs, WhatOthersSaidCountsUntilItIsTakenBackOrDone) {
  Event event;
  const Future<int> future(loop());
  const Task<> task = start(wait_for_event(&event), {.name = "task"});
  tick(1);
  future_add_to_awaited_by(future, task);
  future_add_to_awaited_by(future, task);
  EXPECT_EQ(shape(graph_of(future)), "future(task)");
  future_discard_from_awaited_by(future, task);
  future_discard_from_awaited_by(future, task);
  EXPECT_EQ(shape(graph_of(future)), "future");
  future_add_to_awaited_by(future, task);
  future.set_result(1);
  tick(1);
  EXPECT_EQ(shape(graph_of(future)), "future");
  future_add_to_awaited_by(future, task);  // done: of no use
  EXPECT_EQ(shape(graph_of(future)), "future");
  future_add_to_awaited_by(AnyFuture(), task);
  event.set();
  finish(task);
}

TEST_P(CallGraphs, HaveTheLayoutOfAsyncio) {
  Event event;
  const Task<> child = start(outer_wait(&event), {.name = "child"});
  const Task<> parent = start(await_future(Future<void>(child)), {.name = "parent"});
  tick(1);
  const std::string text = format_call_graph(graph_of(child));
  std::vector<std::string> expected{"* Task(name='child', id=0x",
                                    "  + Call stack:\n  |   File '",
                                    "in async ",
                                    "wait_for_event()\n  |   File '",
                                    "outer_wait()\n  + Awaited by:\n    * Task(name='parent', id=",
                                    ")\n      + Call stack:\n      |   File '",
                                    "await_future()\n"};
  std::size_t position = 0;
  for (const std::string& part : expected) {
    const std::size_t found = text.find(part, position);
    ASSERT_NE(found, std::string::npos) << part << "\nin\n" << text;
    position = found + part.size();
  }
  EXPECT_EQ(position, text.size()) << text;
  event.set();
  finish(parent);
}

TEST_P(CallGraphs, ArePrintedIntoAFileThatIsGiven) {
  const auto body = [](std::FILE* file) -> Coro<> {
    print_call_graph(file);
    co_await sleep(0s);
  };
  std::FILE* const file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  const Task<> task = start(body(file), {.name = "printer"});
  tick(1);
  print_call_graph(file, task);
  finish(task);
  std::rewind(file);
  std::string text(1000, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  const std::string name = "* Task(name='printer'";
  EXPECT_EQ(text.find(name), 0u);
  EXPECT_NE(text.find(name, 1), std::string::npos) << text;
}

TEST_P(CallGraphs, AGroupInAGeneratorThatOutlivesItsLoopForgetsItsTask) {
  const auto inside = [](TaskGroup* group, Event* event) -> Coro<> {
    group->create_task(wait_for_event(event));
    co_await event->wait();
  };
  const auto generate = [](auto body, Event* event) -> AsyncGenerator<int> {
    TaskGroup group;
    co_await group.run(body(&group, event));
    co_yield 1;
  };
  const auto ask = [](AsyncGenerator<int>* numbers) -> Coro<> { co_await numbers->next(); };
  Event event;
  AsyncGenerator<int> numbers = generate(inside, &event);
  start(ask(&numbers));
  tick(2);
  EXPECT_EQ(all_tasks(loop()).size(), 2u);
  close_loop();
  EXPECT_EQ(take_exceptions().size(), 2u);
  numbers = {};  // and with it the group
}

TEST_P(CallGraphs, AGroupThatDiesWithItsLoopLeavesNoTrace) {
  const auto body = [](TaskGroup& group, Event* event) -> Coro<> {
    group.create_task(wait_for_event(event));
    co_await event->wait();
  };
  Event event;
  start(task_group(body, &event));
  tick(2);
  EXPECT_EQ(all_tasks(loop()).size(), 2u);
  close_loop();
  EXPECT_EQ(take_exceptions().size(), 2u);  // both were pending
}

}  // namespace
}  // namespace ferry::test
