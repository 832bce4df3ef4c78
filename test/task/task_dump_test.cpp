// What a person sees of a program's tasks: dumps, and reports of slow steps.

#include "task_fixture.h"

#include <ferry/event.h>
#include <ferry/gather.h>
#include <ferry/lock.h>
#include <ferry/queue.h>
#include <ferry/semaphore.h>
#include <ferry/shield.h>
#include <ferry/stall_watch.h>
#include <ferry/task_dump.h>
#include <ferry/task_group.h>
#include <ferry/timeout.h>

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>

namespace ferry::test {
namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// The lines that name tasks, without those of their coroutines.
std::string tasks_of(const std::string& dump) {
  std::string text;
  for (std::size_t begin = 0; begin < dump.size();) {
    const std::size_t end = dump.find('\n', begin);
    const std::string line = dump.substr(begin, end - begin);
    const std::size_t first = line.find_first_not_of(' ');
    if (first != std::string::npos && line[first] == '*') text += line + "\n";
    begin = end + 1;
  }
  return text;
}

class Dumps : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Dumps, ::testing::ValuesIn(kWorlds), world_name);

Coro<> acquire(Lock* lock) {
  co_await lock->acquire();
}
Coro<> get(Queue<int>* queue) {
  co_await queue->get();
}
Coro<> wait_for_event(Event* event) {
  co_await event->wait();
}

TEST_P(Dumps, ShowWhoWaitsForWhomAndForWhat) {
  const auto members = [](TaskGroup& group, Lock* lock, Queue<int>* queue) -> Coro<> {
    group.create_task(acquire(lock), {.name = "locker"});
    group.create_task(get(queue), {.name = "getter"});
    co_return;
  };
  const auto main = [](auto body, Lock* lock, Queue<int>* queue) -> Coro<> {
    co_await task_group(body, lock, queue);
  };
  Lock lock;
  ASSERT_TRUE(lock.try_acquire());
  Queue<int> queue;
  Event event;
  const Future<int> future(loop());
  const Task<> group = start(main(members, &lock, &queue), {.name = "main"});
  const Task<> sleeper = start(nap(1h), {.name = "sleeper"});
  const Task<int> reader = start(await_future(future), {.name = "reader"});
  const Task<> joiner = start(await_future(Future<void>(sleeper)), {.name = "joiner"});
  const Task<> gatherer = start(await_future(shield(Future<void>(sleeper))), {.name = "shielder"});
  tick(3);
  const Task<> fresh = start(wait_for_event(&event), {.name = "fresh"});
  gatherer.cancel();  // takes effect in a later turn
  const std::string dump = dump_tasks(loop());
  EXPECT_EQ(dump.substr(0, dump.find('\n')), "8 tasks");
  EXPECT_EQ(tasks_of(dump),
            "* main: waiting for task group\n"
            "  * locker: waiting for lock\n"
            "  * getter: waiting for queue.get\n"
            "* reader: waiting for future\n"
            "* joiner: waiting for sleeper\n"
            "  * sleeper: waiting for sleep\n"
            "* shielder: waiting for shield, cancelling\n"
            "* fresh: not begun\n")
      << dump;
  EXPECT_TRUE(contains(dump, "task_dump_test.cpp:")) << dump;
  EXPECT_TRUE(contains(dump, "acquire)")) << dump;
  for (const Task<>& each : {group, sleeper, fresh}) each.cancel();
  reader.cancel();
  for (const Task<>& each : {group, sleeper, joiner, gatherer, fresh}) finish(each);
  finish(reader);
  EXPECT_EQ(dump_tasks(loop()), "0 tasks\n");
}

TEST_P(Dumps, ShowATaskThatManyWaitForOnce) {
  Event event;
  const Task<> child = start(wait_for_event(&event), {.name = "child"});
  const Task<> a = start(await_future(Future<void>(child)), {.name = "a"});
  const Task<> b = start(await_future(Future<void>(child)), {.name = "b"});
  tick(1);
  EXPECT_EQ(tasks_of(dump_tasks(loop())),
            "* a: waiting for child\n"
            "  * child: waiting for event\n"
            "* b: waiting for child\n"
            "  * child (see above)\n");
  event.set();
  finish(a);
  finish(b);
}

TEST_P(Dumps, ShowCircles) {
  const auto body = [](std::vector<Task<>>* tasks, std::size_t next) -> Coro<> {
    co_await sleep(0s);
    co_await (*tasks)[next];
  };
  std::vector<Task<>> tasks;
  tasks.push_back(start(body(&tasks, 1), {.name = "a"}));
  tasks.push_back(start(body(&tasks, 0), {.name = "b"}));
  tick(3);
  const std::string dump = dump_tasks(loop());
  EXPECT_TRUE(contains(dump, "in a circle:\n* a: waiting for b\n")) << dump;
  EXPECT_TRUE(contains(dump, "    * a (see above)\n")) << dump;
  tasks[0].cancel();
  for (const Task<>& each : tasks) finish(each);
}

TEST_P(Dumps, OfAChainOfThousandsAreMade) {
  Event event;
  std::vector<Task<>> tasks{start(wait_for_event(&event))};
  while (tasks.size() < 5000) tasks.push_back(start(await_future(Future<void>(tasks.back()))));
  run_until([&] { return all_tasks(loop()).back()->waiting_for() != nullptr; });
  const std::string dump = dump_tasks(loop());
  EXPECT_EQ(dump.substr(0, dump.find('\n')), "5000 tasks");
  EXPECT_LT(dump.size(), 5000u * 400);
  event.set();
  finish(tasks.back());
}

TEST_P(Dumps, TheTableHasALineForEachTask) {
  Event event;
  const Task<> child = start(wait_for_event(&event), {.name = "child"});
  const Task<> parent = start(await_future(Future<void>(child)), {.name = "parent"});
  tick(1);
  const std::string table = dump_task_table(loop());
  const std::size_t first = table.find('\n') + 1;
  const std::size_t second = table.find('\n', first) + 1;
  const std::string head = table.substr(0, first);
  const std::string child_line = table.substr(first, second - first);
  EXPECT_EQ(head, "TASK    STATE    WAITS FOR  AWAITED BY  COROUTINES\n");
  EXPECT_EQ(child_line.find("child   waiting  event      parent      "), 0u) << child_line;
  EXPECT_TRUE(contains(child_line, "task_dump_test.cpp:")) << child_line;
  EXPECT_EQ(table.find("parent  waiting  child                  ", second), second) << table;
  event.set();
  finish(parent);
}

TEST_P(Dumps, TheRunningTaskIsMarked) {
  const auto body = [](EventLoop* loop, std::string* dump) -> Coro<> {
    *dump = dump_tasks(*loop);
    co_return;
  };
  std::string dump;
  finish(start(body(&loop(), &dump), {.name = "me"}));
  EXPECT_EQ(tasks_of(dump), "* me: running\n");
}

class SignalDumps : public Dumps {
 protected:
  void raise_signal(int signal_number) {
    if (simulated()) {
      EXPECT_TRUE(sim_kernel().raise_signal(signal_number));
    } else {
      EXPECT_EQ(::kill(::getpid(), signal_number), 0);
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Worlds, SignalDumps, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(SignalDumps, ComeThroughTheLogOrTheSinkThatIsGiven) {
  Event event;
  const Task<> task = start(wait_for_event(&event), {.name = "waiter"});
  tick(1);
  dump_tasks_on_signal(loop(), SIGUSR1);
  raise_signal(SIGUSR1);
  std::vector<std::string> log;
  run_until([&] { return !(log = take_log()).empty(); });
  ASSERT_EQ(log.size(), 3u);
  EXPECT_EQ(log[0], "warning: 1 task");
  EXPECT_EQ(log[1], "warning: * waiter: waiting for event");
  EXPECT_TRUE(contains(log[2], "task_dump_test.cpp:")) << log[2];

  std::string dump;
  dump_tasks_on_signal(loop(), SIGUSR1, [&](std::string_view text) { dump = text; });
  raise_signal(SIGUSR1);
  run_until([&] { return !dump.empty(); });
  EXPECT_EQ(dump, dump_tasks(loop()));
  EXPECT_TRUE(take_log().empty());
  EXPECT_TRUE(loop().remove_signal_handler(SIGUSR1));
  event.set();
  finish(task);
}

class SlowSteps : public TaskTest {
 protected:
  static void be_busy(EventLoop& loop, testing::SimKernel* sim, Duration time) {
    if (sim) return sim->advance(time);
    const TimePoint end = loop.time() + time;
    while (loop.time() < end) {
    }
  }
  testing::SimKernel* sim() { return simulated() ? &sim_kernel() : nullptr; }
};
INSTANTIATE_TEST_SUITE_P(Worlds, SlowSteps, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(SlowSteps, C0094_AreLoggedInDebugModeWithTheTaskAndItsPlaces) {
  const auto inner = [](EventLoop* loop, testing::SimKernel* sim, std::vector<unsigned>* lines,
                        auto busy) -> Coro<> {
    lines->push_back(SourceLocation::current().line() + 1);
    co_await sleep(1ms);
    busy(*loop, sim, 25ms);
    lines->push_back(SourceLocation::current().line() + 1);
    co_await sleep(1ms);
    busy(*loop, sim, 25ms);
  };
  const auto outer = [](Coro<> work) -> Coro<> { co_await std::move(work); };
  loop().set_debug(true);
  loop().set_slow_callback_duration(20ms);
  std::vector<unsigned> lines;
  Coro<> work = inner(&loop(), sim(), &lines, be_busy);
  finish(start(outer(std::move(work)), {.name = "cruncher"}));
  ASSERT_EQ(lines.size(), 2u);
  const std::string file = "task_dump_test.cpp:";
  // Both slow steps have the second place in common, and no other step has it.
  const std::vector<std::string> log = take_log_about({file + std::to_string(lines[1])});
  ASSERT_EQ(log.size(), 2u);
  EXPECT_EQ(log[0].find("warning: the step of task 'cruncher' from "), 0u) << log[0];
  EXPECT_TRUE(contains(log[0], file + std::to_string(lines[0]))) << log[0];
  EXPECT_TRUE(contains(log[0], file + std::to_string(lines[1]))) << log[0];
  EXPECT_TRUE(contains(log[1], file + std::to_string(lines[1]))) << log[1];
  const std::string took = " to its end took ";
  const std::size_t found = log[1].find(took);
  ASSERT_NE(found, std::string::npos) << log[1];
  EXPECT_GE(std::stod(log[1].substr(found + took.size())), 0.025) << log[1];
  if (simulated()) {
    EXPECT_TRUE(contains(log[1], took + "0.0")) << log[1];
  }
}

TEST_P(SlowSteps, C0094_TheFirstOneNamesThePlaceOfTheCreation) {
  const auto body = [](EventLoop* loop, testing::SimKernel* sim, auto busy) -> Coro<> {
    busy(*loop, sim, 110ms);
    co_return;
  };
  loop().set_debug(true);
  const unsigned line = SourceLocation::current().line() + 1;
  finish(create_task(loop(), body(&loop(), sim(), be_busy)));
  const std::string place = "task_dump_test.cpp:" + std::to_string(line);
  EXPECT_EQ(take_log_about({place}).size(), 1u);

  loop().set_debug(false);
  finish(create_task(loop(), body(&loop(), sim(), be_busy)));
  EXPECT_TRUE(take_log().empty());
}

TEST_P(SlowSteps, APlainCallbackAfterASlowStepIsNamedByItself) {
  const auto body = [](EventLoop* loop, testing::SimKernel* sim, auto busy) -> Coro<> {
    busy(*loop, sim, 25ms);
    co_return;
  };
  loop().set_debug(true);
  loop().set_slow_callback_duration(20ms);
  const Task<> task = start(body(&loop(), sim(), be_busy));
  const unsigned line = SourceLocation::current().line() + 1;
  loop().call_soon([this] { be_busy(loop(), sim(), 25ms); });
  loop().call_soon([] {});
  finish(task);
  tick();
  const std::string step = "the step of task";
  const std::string place = "task_dump_test.cpp:" + std::to_string(line);
  const std::vector<std::string> log = take_log_about({step, place});
  ASSERT_EQ(log.size(), 2u);
  EXPECT_TRUE(contains(log[0], step)) << log[0];
  EXPECT_TRUE(contains(log[1], "the callback scheduled at")) << log[1];
}

Coro<> block_until(std::atomic<bool>* released) {
  co_await sleep(Duration::zero());
  while (!*released) std::this_thread::yield();
}

TEST(Stalls, AreReportedWhileTheyLastWithTheTaskThatCausesThem) {
  EventLoop loop({.debug = true});
  loop.set_log_sink([](LogLevel, std::string_view) {});  // that the step was slow
  std::atomic<bool> released = false;
  std::mutex mutex;
  std::vector<std::string> reports;
  std::optional<StallWatch> watch;
  watch.emplace(loop, 10ms, [&](std::string_view report) {
    const std::lock_guard lock(mutex);
    reports.emplace_back(report);
    if (contains(reports.back(), "blocker")) released = true;
  });
  const Task<> task = create_task(loop, block_until(&released), {.name = "blocker"});
  loop.run_until_complete(task);
  watch.reset();
  const auto named = std::find_if(reports.begin(), reports.end(), [](const std::string& report) {
    return contains(report, "task 'blocker' from ") && contains(report, "block_until");
  });
  ASSERT_NE(named, reports.end());
  EXPECT_TRUE(contains(*named, "the loop has not come round for 10 ms")) << *named;
}

TEST(Stalls, OfALoopThatComesRoundAreNotReported) {
  EventLoop loop;
  int reports = 0;
  StallWatch watch(loop, 10min, [&reports](std::string_view) { ++reports; });
  run_until_complete(loop, sleep(1ms));
  EXPECT_EQ(reports, 0);
}

TEST(Stalls, AWatchMayOutliveItsLoop) {
  std::optional<EventLoop> loop(std::in_place);
  StallWatch watch(*loop, 1ms, [](std::string_view) {});
  loop.reset();
  EXPECT_THROW(StallWatch(loop.emplace(), Duration::zero()), std::invalid_argument);
}

}  // namespace
}  // namespace ferry::test
