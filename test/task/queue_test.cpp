// Queue, LifoQueue, PriorityQueue.

#include "task_fixture.h"

#include <ferry/queue.h>
#include <ferry/timeout.h>

namespace ferry::test {
namespace {

class Queues : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Queues, ::testing::ValuesIn(kWorlds), world_name);

Coro<> get_into(Queue<int>* queue, Log* log, std::string name = "") {
  const int item = co_await queue->get();
  log->push_back(name + std::to_string(item));
}
template <class Q>
std::string all_of(Q& queue) {
  std::string result;
  while (auto item = queue.try_get()) result += std::to_string(*item);
  return result;
}

TEST_P(Queues, C0298_TheOrdersOfTheThreeKinds) {
  Queue<int> fifo;
  LifoQueue<int> lifo;
  PriorityQueue<int> priority;
  for (int item : {1, 3, 2}) {
    fifo.put_nowait(item);
    lifo.put_nowait(item);
    priority.put_nowait(item);
  }
  EXPECT_EQ(all_of(fifo), "132");
  EXPECT_EQ(all_of(lifo), "231");
  EXPECT_EQ(all_of(priority), "123");
}

struct ByLessOnly {
  int value = 0;
  friend bool operator<(const ByLessOnly& a, const ByLessOnly& b) { return a.value < b.value; }
};

TEST_P(Queues, C0298_APriorityQueueNeedsNothingButLess) {
  PriorityQueue<ByLessOnly> queue;
  for (const int value : {5, 1, 4}) queue.put_nowait(ByLessOnly{value});
  EXPECT_EQ(queue.get_nowait().value, 1);
  EXPECT_EQ(queue.get_nowait().value, 4);
  EXPECT_EQ(queue.get_nowait().value, 5);
}

TEST_P(Queues, C0300_WithoutWaiting) {
  Queue<int> queue(1);
  int item = 1;
  EXPECT_EQ(queue.try_get(), std::nullopt);
  EXPECT_THROW(queue.get_nowait(), QueueEmpty);
  EXPECT_TRUE(queue.try_put(item));
  EXPECT_TRUE(queue.full());
  item = 2;
  EXPECT_FALSE(queue.try_put(item));
  EXPECT_EQ(item, 2);
  EXPECT_THROW(queue.put_nowait(3), QueueFull);
  EXPECT_EQ(queue.qsize(), 1u);
  EXPECT_EQ(queue.get_nowait(), 1);
  EXPECT_TRUE(queue.empty());
}

TEST_P(Queues, C0301_WithoutALimit) {
  Queue<int> queue(0);
  for (int i = 0; i < 1000; ++i) queue.put_nowait(i);
  EXPECT_FALSE(queue.full());
  EXPECT_EQ(queue.qsize(), 1000u);
  EXPECT_EQ(queue.maxsize(), 0u);
}

TEST_P(Queues, WhatIsThereAndRoomThatIsFreeTakeNoTurn) {
  const auto body = [](EventLoop* loop) -> Coro<> {
    Queue<int> queue(2);
    bool other = false;
    loop->call_soon([&other] { other = true; });
    co_await queue.put(1);
    co_await queue.put(2);
    EXPECT_EQ(co_await queue.get(), 1);
    EXPECT_EQ(co_await queue.get(), 2);
    EXPECT_FALSE(other);
    co_await sleep(0s);
  };
  run(body(&loop()));
}

TEST_P(Queues, ProducersAndConsumersOfASmallQueue) {
  const auto produce = [](Queue<int>* queue, int from) -> Coro<> {
    for (int i = 0; i < 100; ++i) co_await queue->put(from + i);
  };
  const auto consume = [](Queue<int>* queue, std::vector<int>* got) -> Coro<> {
    for (int i = 0; i < 100; ++i) got->push_back(co_await queue->get());
  };
  Queue<int> queue(3);
  std::vector<int> got;
  std::vector<Task<>> tasks;
  for (int i = 0; i < 3; ++i) {
    tasks.push_back(start(produce(&queue, i * 1000)));
    tasks.push_back(start(consume(&queue, &got)));
  }
  for (const Task<>& each : tasks) finish(each);
  ASSERT_EQ(got.size(), 300u);
  // Nothing is lost or doubled, and the items of one producer keep their order.
  std::vector<int> next{0, 0, 0};
  for (const int item : got) EXPECT_EQ(item % 1000, next[static_cast<std::size_t>(item / 1000)]++);
  EXPECT_TRUE(queue.empty());
}

TEST_P(Queues, GettersAreServedInTheirOrder) {
  Queue<int> queue;
  Log log;
  std::vector<Task<>> tasks;
  for (int i = 0; i < 3; ++i) tasks.push_back(start(get_into(&queue, &log, std::to_string(i))));
  tick(2);
  for (int i = 7; i < 10; ++i) queue.put_nowait(i);
  for (const Task<>& each : tasks) finish(each);
  EXPECT_EQ(log, (Log{"07", "18", "29"}));
}

TEST_P(Queues, C0302_ACancelledGetterLosesNoItem) {
  Queue<int> queue;
  Log log;
  const Task<> first = start(get_into(&queue, &log));
  const Task<> second = start(get_into(&queue, &log));
  tick(2);
  queue.put_nowait(1);  // wakes the first
  first.cancel();
  finish(first);
  finish(second);
  EXPECT_TRUE(first.cancelled());
  EXPECT_EQ(log, (Log{"1"}));
  const Task<> third = start(get_into(&queue, &log));
  tick(2);
  queue.put_nowait(2);
  third.cancel();
  finish(third);
  EXPECT_EQ(queue.get_nowait(), 2);
}

TEST_P(Queues, C0304_ACancelledPutterPassesItsPlaceOn) {
  const auto put = [](Queue<int>* queue, int item) -> Coro<> { co_await queue->put(item); };
  Queue<int> queue(1);
  queue.put_nowait(1);
  const Task<> a = start(put(&queue, 2));
  const Task<> b = start(put(&queue, 3));
  tick(2);
  EXPECT_EQ(queue.get_nowait(), 1);  // wakes a
  a.cancel();
  finish(a);
  finish(b);
  EXPECT_TRUE(a.cancelled());
  EXPECT_EQ(all_of(queue), "3");
}

TEST_P(Queues, C0305_ThoseWhoGaveUpAreGone) {
  const auto give_up = [](Queue<int>* queue, Log* log) -> Coro<> {
    for (int i = 0; i < 3; ++i) {
      try {
        co_await timeout(1ms, get_into(queue, log));
      } catch (const TimeoutError&) {
        log->push_back("gave up");
      }
    }
  };
  Queue<int> queue;
  Log log;
  run(give_up(&queue, &log));
  EXPECT_EQ(log, Log(3, "gave up"));
  queue.put_nowait(5);
  tick(3);
  EXPECT_EQ(queue.get_nowait(), 5);
}

TEST_P(Queues, C0306_ManyPlacesThatBecomeFreeInOneTurnAreAllFilled) {
  const auto put = [](Queue<int>* queue, int item) -> Coro<> { co_await queue->put(item); };
  Queue<int> queue(3);
  for (int i = 0; i < 3; ++i) queue.put_nowait(i);
  std::vector<Task<>> putters;
  for (int i = 3; i < 8; ++i) putters.push_back(start(put(&queue, i)));
  tick(2);
  EXPECT_EQ(all_of(queue), "012");
  tick(5);
  EXPECT_EQ(queue.qsize(), 3u);
  EXPECT_EQ(all_of(queue), "345");
  tick(5);
  EXPECT_EQ(all_of(queue), "67");
  for (const Task<>& each : putters) finish(each);
}

TEST_P(Queues, C0308_JoinWaitsUntilAllIsDealtWith) {
  const auto work = [](Queue<int>* queue, int* done) -> Coro<> {
    for (;;) {
      const int item = co_await queue->get();
      co_await turns(item % 3);
      ++*done;
      queue->task_done();
    }
  };
  const auto body = [](Queue<int>* queue, int* done, Log* log) -> Coro<> {
    co_await queue->join();
    log->push_back("empty");
    for (int i = 0; i < 20; ++i) queue->put_nowait(i);
    co_await queue->join();
    EXPECT_EQ(*done, 20);
  };
  Queue<int> queue;
  EXPECT_THROW(queue.task_done(), std::invalid_argument);
  int done = 0;
  Log log;
  const Task<> a = start(work(&queue, &done));
  const Task<> b = start(work(&queue, &done));
  run(body(&queue, &done, &log));
  EXPECT_EQ(log, (Log{"empty"}));
  EXPECT_THROW(queue.task_done(), std::invalid_argument);
  a.cancel();
  b.cancel();
  finish(a);
  finish(b);
}

Coro<std::string> ending(Coro<> work) {
  try {
    co_await std::move(work);
  } catch (const QueueShutDown&) {
    co_return "shut down";
  }
  co_return "ended";
}
Coro<> put(Queue<int>* queue, int item) {
  co_await queue->put(item);
}
Coro<> join(Queue<int>* queue) {
  co_await queue->join();
}

TEST_P(Queues, C0309_ShutDownWhenEmpty) {
  Queue<int> queue(1);
  Log log;
  const Task<std::string> getter = start(ending(get_into(&queue, &log)));
  tick(2);
  queue.shutdown();
  finish(getter);
  EXPECT_EQ(getter.result(), "shut down");
  EXPECT_EQ(run(ending(get_into(&queue, &log))), "shut down");
  EXPECT_EQ(run(ending(put(&queue, 1))), "shut down");
  EXPECT_THROW(queue.get_nowait(), QueueShutDown);
  EXPECT_THROW(queue.put_nowait(1), QueueShutDown);
  EXPECT_EQ(queue.try_get(), std::nullopt);
  int item = 1;
  EXPECT_FALSE(queue.try_put(item));
  run(join(&queue));
}

TEST_P(Queues, C0310_ShutDownWithItems) {
  Queue<int> queue(2);
  Log log;
  queue.put_nowait(1);
  queue.put_nowait(2);
  const Task<std::string> putter = start(ending(put(&queue, 3)));
  const Task<> joiner = start(join(&queue));
  tick(2);
  queue.shutdown();
  finish(putter);
  EXPECT_EQ(putter.result(), "shut down");
  EXPECT_EQ(queue.qsize(), 2u);
  EXPECT_EQ(queue.get_nowait(), 1);
  run(get_into(&queue, &log));
  EXPECT_EQ(log, (Log{"2"}));
  EXPECT_EQ(run(ending(get_into(&queue, &log))), "shut down");
  EXPECT_FALSE(joiner.done());
  queue.task_done();
  queue.task_done();
  finish(joiner);
}

TEST_P(Queues, ShutDownImmediatelyDropsWhatIsThere) {
  Queue<std::unique_ptr<int>> queue(2);
  queue.put_nowait(std::make_unique<int>(1));
  queue.put_nowait(std::make_unique<int>(2));
  const auto wait_for_end = [](Queue<std::unique_ptr<int>>* q) -> Coro<> { co_await q->join(); };
  const Task<> joiner = start(wait_for_end(&queue));
  tick(2);
  queue.shutdown(true);
  EXPECT_TRUE(queue.empty());
  finish(joiner);
  EXPECT_THROW(queue.get_nowait(), QueueShutDown);
  queue.shutdown();
}

TEST_P(Queues, C0312_ItemsNeedOnlyBeMovable) {
  struct Item {
    explicit Item(int v) : value(std::make_unique<int>(v)) {}
    std::unique_ptr<int> value;
    bool operator<(const Item& other) const { return *value < *other.value; }
    bool operator>(const Item& other) const { return other < *this; }
  };
  const auto body = []() -> Coro<int> {
    Queue<Item> fifo(1);
    const auto fill = [](Queue<Item>* queue) -> Coro<> {
      for (int i = 1; i <= 3; ++i) {
        Item item(i);
        co_await queue->put(std::move(item));
      }
    };
    const Task<> filling = create_task(fill(&fifo));
    int sum = 0;
    for (int i = 0; i < 3; ++i) {
      const Item item = co_await fifo.get();
      sum = sum * 10 + *item.value;
    }
    co_await filling;
    PriorityQueue<Item> priority;
    priority.put_nowait(Item(5));
    priority.put_nowait(Item(4));
    const Item least = co_await priority.get();
    co_return sum * 10 + *least.value;
  };
  EXPECT_EQ(run(body()), 1234);
}

}  // namespace
}  // namespace ferry::test
