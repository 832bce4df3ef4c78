// What the loop does while there is no memory, beside what out_of_memory.cpp has.

#include "counting_new.h"
#include "stream_fixture.h"

#include <ferry/async.h>
#include <ferry/executor.h>
#include <ferry/future.h>
#include <ferry/sendfile.h>
#include <ferry/timer.h>

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <new>
#include <optional>
#include <string>
#include <vector>

namespace ferry::test {

using namespace std::chrono_literals;

namespace {

/// While one exists, no allocation, or not the n-th, succeeds.
struct NoMemory {
  explicit NoMemory(std::size_t n = 0, std::size_t times = 1000) { fail_allocation(n, times); }
  NoMemory(const NoMemory&) = delete;
  NoMemory& operator=(const NoMemory&) = delete;
  ~NoMemory() { fail_no_allocation(); }
};

}  // namespace

class LoopMemory : public LoopTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, LoopMemory, ::testing::ValuesIn(kWorlds), world_name);

// Two of the queue's arrays were copied for each chunk of 256 timers.
TEST_P(LoopMemory, TheTimerQueueGrowsByDoubling) {
  constexpr std::size_t chunks = 400;
  const std::size_t before = allocations();
  for (std::size_t i = 0; i < chunks * 256; ++i) loop().call_later(1h, [] {});
  EXPECT_LT(allocations() - before, chunks + 100);
}

// The wait that is replaced had its memory still, the next one asked for more and failed; then
// nothing was set any more.
TEST_P(LoopMemory, AnEarlierTimerNeedsNoMemory) {
  int fired = 0;
  Timer late(loop(), [] {});
  Timer early(loop(), [&fired] { ++fired; });
  late.set(1h);
  early.set(30min);
  early.cancel();
  tick();
  const std::size_t before = allocations();
  for (int minutes = 20; minutes > 0; --minutes) early.set(std::chrono::minutes(minutes));
  early.set(1ms);
  EXPECT_EQ(allocations(), before);
  run_until([&] { return fired == 1; });
}

// What was overdue was called until nothing was, and a task that had no memory to be scheduled is
// overdue again and again.
namespace {

Coro<> yields_until(const bool* others_ran, int* steps) {
  while (!*others_ran && *steps < 10'000) {
    ++*steps;
    co_await sleep(0ms);
  }
}

}  // namespace

TEST_P(LoopMemory, WhatIsOverdueLeavesOthersTheirTurn) {
  tick();
  bool others_ran = false;
  int steps = 0;
  std::optional<Task<>> task;
  Event event;
  loop().call_soon([&] {
    task = create_task(loop(), yields_until(&others_ran, &steps));
    fail_allocation(0, 1'000'000);
    for (bool full = false; !full;) {
      try {
        loop().call_soon([] {});
      } catch (const std::bad_alloc&) {
        full = true;
      }
    }
  });
  for (int i = 0; i < 200; ++i) loop().call_soon([] {});
  loop().call_soon([&] {
    others_ran = true;
    fail_no_allocation();
  });
  run_until([&] { return task && task->done(); });
  fail_no_allocation();
  EXPECT_LT(steps, 1000);
}

// The simulated kernel needs memory of its own.
class LoopMemoryReal : public LoopTest {};
INSTANTIATE_TEST_SUITE_P(World, LoopMemoryReal, ::testing::Values(World::asio), world_name);

TEST_P(LoopMemoryReal, MailIsCollectedHoweverOftenThereWasNoRoomForIt) {
  for (std::size_t times = 1; times <= 3; ++times) {
    for (int filled = 0; filled < 200; ++filled) {
      bool told = false;
      loop().call_soon([&] {
        loop().call_soon_threadsafe([&] { told = true; });
        fail_allocation(0, times);
      });
      for (int i = 0; i < filled; ++i) loop().call_soon([] {});
      run_until([&] {
        if (told) fail_no_allocation();
        return told;
      });
      fail_no_allocation();
      ASSERT_TRUE(told) << filled;
    }
  }
}

// The worker had to make room in the mailbox for the outcome, where nobody can be told that there
// is none: std::terminate.
TEST_P(LoopMemory, AJobEndsWithoutMemory) {
  ThreadPool pool({.threads = 1});
  const Future<void> job = loop().run_in_executor(&pool, [] { fail_allocation(0, 1000); });
  run_until([&] { return job.done(); });
  const Future<void> next = loop().run_in_executor(&pool, [] { fail_no_allocation(); });
  run_until([&] { return next.done(); });
  EXPECT_NO_THROW(job.result());
}

// What a job posts comes before its outcome, also when there is no room for all of it at once.
TEST_P(LoopMemory, TheOutcomeOfAJobKeepsItsPlaceAmongTheMail) {
  ThreadPool pool({.threads = 1});
  std::vector<int> order;
  order.reserve(1000);
  std::vector<Future<void>> jobs;
  for (int job = 0; job < 3; ++job) {
    jobs.push_back(loop().run_in_executor(&pool, [this, &order, job] {
      for (int i = 0; i < 100; ++i) {
        loop().call_soon_threadsafe([&order, n = 101 * job + i] { order.push_back(n); });
      }
    }));
    jobs.back().add_done_callback(
        [&order, job](const Future<void>&) { order.push_back(101 * job + 100); });
  }
  pool.shutdown();
  try {
    const NoMemory none;
    loop().call_soon([] {});
  } catch (const std::bad_alloc&) {
    // The mail had come, and there was not room for all of it.
  }
  run_until([&] { return order.size() == 303; });
  std::vector<int> letters = order;
  // The future's callback is a step further than the letter: it may come behind the next job's.
  for (int job = 0; job < 3; ++job) {
    const auto place = [&](int n) { return std::find(order.begin(), order.end(), n); };
    EXPECT_LT(place(101 * job + 99), place(101 * job + 100));
  }
  std::erase_if(letters, [](int n) { return n % 101 == 100; });
  EXPECT_TRUE(std::is_sorted(letters.begin(), letters.end()));
}

// What failed left the signal marked as watched, so that the next try did nothing.
TEST_P(LoopMemoryReal, ASignalHandlerThatFailedCanBeAddedAgain) {
  for (std::size_t n = 0; n < 12; ++n) {
    int handled = 0;
    bool failed = false;
    try {
      const NoMemory none(n, 1);
      loop().add_signal_handler(SIGUSR1, [&handled] { ++handled; });
    } catch (const std::bad_alloc&) {
      failed = true;
    }
    if (failed) {
      EXPECT_EQ(loop().stats().signal_handlers, 0u) << n;
      loop().add_signal_handler(SIGUSR1, [&handled] { ++handled; });
    }
    ::kill(::getpid(), SIGUSR1);
    run_until([&] { return handled == 1; });
    EXPECT_TRUE(loop().remove_signal_handler(SIGUSR1));
  }
}

// The name of a Unix client needs memory; its connection was lost and the descriptor leaked.
TEST_P(LoopMemoryReal, AClientWhoseNameCannotBeKeptIsClosed) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("ferry-loop-memory-" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  const auto address_of = [&](const char* name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (folder / name).string().copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
  };
  const auto named = [](const sockaddr_un& address) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  };
  const sockaddr_un server = address_of("server-of-the-test");
  const int listening = named(server);
  ASSERT_EQ(::listen(listening, 1), 0);
  const int client = named(address_of("client-of-the-test"));
  ASSERT_EQ(::connect(client, reinterpret_cast<const sockaddr*>(&server), sizeof server), 0);
  const std::size_t open = open_descriptors();
  {
    Address peer;
    bool failed = false;
    try {
      const NoMemory none;
      loop().kernel().accept(listening, peer);
    } catch (const std::bad_alloc&) {
      failed = true;
    }
    EXPECT_TRUE(failed);
  }
  EXPECT_EQ(open_descriptors(), open);
  char byte = 0;
  EXPECT_EQ(::recv(client, &byte, 1, MSG_DONTWAIT), 0);
  ::close(client);
  ::close(listening);
  std::filesystem::remove_all(folder);
}

namespace {

Coro<> cancels_itself(std::optional<Task<>>* self, Future<int> future, Event* never, bool* failed) {
  (*self)->cancel();
  try {
    const NoMemory none;
    co_await future;
  } catch (const std::bad_alloc&) {
    *failed = true;
  }
  co_await never->wait();
}

}  // namespace

// The request had been handed to the wait that then could not begin.
TEST_P(LoopMemory, ACancellationOutlivesAWaitThatCouldNotBegin) {
  const Future<int> future(loop());
  future.add_done_callback([](const Future<int>&) {});  // the second one needs memory
  Event never;
  bool failed = false;
  std::optional<Task<>> task;
  task = create_task(loop(), cancels_itself(&task, future, &never, &failed));
  run_until([&] { return task->done(); }, 1s);
  EXPECT_TRUE(failed);
  EXPECT_TRUE(task->cancelled());
}

namespace {

Coro<> says_when_woken(Event* event, bool* woken) {
  co_await event->wait();
  fail_no_allocation();
  *woken = true;
}

}  // namespace

// The words for the report of a slow step came first, and the step was not made at all.
TEST_P(LoopMemory, AStepIsMadeInDebugModeToo) {
  loop().set_debug(true);
  Event event;
  bool woken = false;
  const Task<> task = create_task(loop(), says_when_woken(&event, &woken));
  tick();
  loop().call_soon([&] {
    event.set();
    fail_allocation(0, 1000);
  });
  run_until([&] { return task.done(); }, 1s);
  fail_no_allocation();
  EXPECT_TRUE(woken);
}

// In the simulation it would be the kernel's memory as well: there test/sim does this.
class StreamMemory : public StreamTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, StreamMemory,
                         ::testing::Values(StreamWorld{World::asio, Wire::tcp},
                                           StreamWorld{World::asio, Wire::unix_socket}),
                         stream_world_name);

// The transport took no writes any more, or nobody heard of the end.
TEST_P(StreamMemory, ASendfileThatFailsGivesTheConnectionBack) {
  const int file = ::memfd_create("file", MFD_CLOEXEC);
  ASSERT_EQ(::write(file, "0123456789", 10), 10);
  for (std::size_t n = 0; n < 24; ++n) {
    SCOPED_TRACE(n);
    auto probe = recording();
    Link link = open(probe);
    std::optional<Future<std::uint64_t>> sent;
    bool failed = false;
    try {
      const NoMemory none(n, 1);
      sent = sendfile(link.transport, file, 0);
    } catch (const std::bad_alloc&) {
      failed = true;
    }
    EXPECT_NE(failed, sent.has_value());
    if (sent) {
      run_until([&] { return sent->done() || probe->lost(); });
      EXPECT_TRUE(sent->done());
    }
    if (!probe->lost() && !link.transport->is_closing()) {
      EXPECT_NO_THROW(link.transport->write("behind it"));
      link.peer->send("hello");
      run_until([&] { return probe->data() == "hello"; });
    }
    link.transport->abort();
    run_until_lost(*probe);
    if (sent && !sent->done()) sent->cancel();
    if (sent && !sent->cancelled()) static_cast<void>(sent->exception());  // taken
  }
  ::close(file);
}

}  // namespace ferry::test
