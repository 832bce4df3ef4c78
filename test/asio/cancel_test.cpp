// Cancelling a task that awaits an operation of Asio, and closing the loop on it.

#include "asio_fixture.h"

#include <asio/connect.hpp>
#include <asio/read.hpp>
#include <asio/write.hpp>

#include <array>
#include <cstring>

namespace ferry::test {
namespace {

class Cancelling : public AsioTest {
 protected:
  static Coro<> wait_on(asio::steady_timer* timer) { co_await timer->async_wait(use_coro); }
};
INSTANTIATE_TEST_SUITE_P(Drives, Cancelling, ::testing::ValuesIn(kDrives), drive_name);

TEST_P(Cancelling, AWaitEndsAtOnceAndTheTimerGoesOn) {
  asio::steady_timer timer(io(), 1h);
  const Task<> task = start(wait_on(&timer));
  turns();
  EXPECT_TRUE(task.cancel("enough"));
  EXPECT_FALSE(task.done());  // its handler is to be called first
  finish(task);
  EXPECT_TRUE(task.cancelled());
  try {
    task.result();
  } catch (const CancelledError& e) {
    EXPECT_EQ(e.message(), "enough");
  }
  timer.expires_after(1ms);
  run(wait_on(&timer));
}

TEST_P(Cancelling, ItComesBeforeTheFirstStepOrBeforeTheAwait) {
  asio::steady_timer timer(io(), 1h);
  const Task<> never = start(wait_on(&timer));
  never.cancel();
  finish(never);
  EXPECT_TRUE(never.cancelled());

  const auto itself = [](asio::steady_timer* t) -> Coro<> {
    current_task()->cancel();
    co_await t->async_wait(use_coro);
    ADD_FAILURE() << "not reached";
  };
  const Task<> task = start(itself(&timer));
  finish(task);
  EXPECT_TRUE(task.cancelled());
}

TEST_P(Cancelling, ItMayBeCaughtAndTheTaskGoesOn) {
  const auto body = [](asio::steady_timer* timer) -> Coro<int> {
    int caught = 0;
    for (int i = 0; i < 3; ++i) {
      try {
        co_await timer->async_wait(use_coro_tuple);
        ADD_FAILURE() << "not reached";
      } catch (const CancelledError&) {
        ++caught;
      }
    }
    co_return caught;
  };
  asio::steady_timer timer(io(), 1h);
  const Task<int> task = start(body(&timer));
  for (int i = 0; i < 3; ++i) {
    turns();
    EXPECT_TRUE(task.cancel());
    EXPECT_TRUE(task.cancel());  // twice, before the handler was called
  }
  finish(task);
  EXPECT_EQ(task.result(), 3);
}

TEST_P(Cancelling, ATimeLimitEndsARead) {
  const auto read = [](tcp::socket* socket) -> Coro<> {
    std::array<char, 10> bytes;
    co_await asio::async_read(*socket, asio::buffer(bytes), use_coro);
  };
  const auto body = [](Coro<> reading, Coro<> again) -> Coro<int> {
    int late = 0;
    try {
      co_await timeout(2ms, std::move(reading));
    } catch (const TimeoutError&) {
      ++late;
    }
    try {
      co_await wait_for(std::move(again), 2ms);
    } catch (const TimeoutError&) {
      ++late;
    }
    co_return late;
  };
  Pair pair = connected_pair();
  EXPECT_EQ(run(body(read(&pair.near), read(&pair.near))), 2);
}

TEST_P(Cancelling, NoByteIsLost) {
  const auto read = [](tcp::socket* socket, std::string* text) -> Coro<> {
    std::array<char, 16> bytes;
    while (text->size() < 26) {
      const std::size_t n = co_await socket->async_read_some(asio::buffer(bytes), use_coro);
      text->append(bytes.data(), n);
    }
  };
  Pair pair = connected_pair();
  std::string text;
  for (char letter = 'a'; letter <= 'z'; ++letter) {
    const Task<> task = start(read(&pair.near, &text));
    if (letter % 3 != 0) turns(1);
    pair.far.send(asio::buffer(&letter, 1));
    if (letter % 2 != 0) turns(1);
    task.cancel();
    finish(task);
  }
  const Task<> rest = start(read(&pair.near, &text));
  finish(rest);
  EXPECT_EQ(text, "abcdefghijklmnopqrstuvwxyz");
}

TEST_P(Cancelling, AnOperationThatHasSucceededGivesItsResultAndTheNextWaitThrows) {
  const auto body = [](asio::steady_timer* timer, Log* log) -> Coro<> {
    co_await timer->async_wait(use_coro);
    log->push_back("waited");
    try {
      co_await sleep(1h);
    } catch (const CancelledError& e) {
      log->push_back("cancelled: " + e.message());
      throw;
    }
  };
  for (int attempt = 0; attempt < 20; ++attempt) {
    Log log;
    const TimePoint when = std::chrono::steady_clock::now() + 20ms;
    asio::steady_timer first(io(), when);
    asio::steady_timer second(io(), when + 1us);
    const Task<> task = start(body(&second, &log));
    turns();
    first.async_wait([&](const asio::error_code&) { EXPECT_TRUE(task.cancel("too late")); });
    const bool in_time = std::chrono::steady_clock::now() < when;
    // Both are due in the same poll; the first one's handler is called before the second one's.
    while (std::chrono::steady_clock::now() < when + 10us) {
    }
    finish(task);
    EXPECT_TRUE(task.cancelled());
    if (!in_time) continue;
    EXPECT_EQ(log, (Log{"waited", "cancelled: too late"}));
    return;
  }
  ADD_FAILURE() << "this machine is too slow";
}

TEST_P(Cancelling, OneThatKnowsNoCancellationIsWaitedFor) {
  using Handler = Function<void(std::error_code)>;
  const auto body = [](Handler* handler, Log* log) -> Coro<> {
    const auto keep = [handler](auto h) { *handler = std::move(h); };
    co_await asio::async_initiate<const UseCoro, void(asio::error_code)>(keep, use_coro);
    log->push_back("ended");
    co_await sleep(0s);
    log->push_back("and more");
  };
  for (const bool success : {true, false}) {
    Log log;
    Handler handler;
    const Task<> task = start(body(&handler, &log));
    turns();
    EXPECT_TRUE(task.cancel());
    turns();
    EXPECT_FALSE(task.done());
    handler(success ? std::error_code() : std::make_error_code(std::errc::io_error));
    finish(task);
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(log, success ? Log{"ended"} : Log());
  }
}

// Everything that a connection is made of, cancelled wherever it waits.
TEST_P(Cancelling, AtEachPointItLeavesNothingBehind) {
  const auto body = [](asio::io_context* io, tcp::acceptor* acceptor, int* done) -> Coro<> {
    tcp::resolver resolver(*io);
    const auto found = co_await resolver.async_resolve(
        "127.0.0.1", std::to_string(acceptor->local_endpoint().port()), use_coro);
    tcp::socket socket(*io);
    co_await asio::async_connect(socket, found, use_coro);
    tcp::socket peer = co_await acceptor->async_accept(use_coro);
    for (int i = 0; i < 3; ++i) {
      co_await asio::async_write(socket, asio::buffer("12345678", 8), use_coro);
      std::array<char, 8> bytes;
      co_await asio::async_read(peer, asio::buffer(bytes), use_coro);
      asio::steady_timer timer(*io, 1us);
      co_await timer.async_wait(use_coro);
    }
    ++*done;
  };
  tcp::acceptor acceptor(io(), {asio::ip::address_v4::loopback(), 0});
  int cancelled = 0;
  for (int turn = 0;; ++turn) {
    int done = 0;
    const Task<> task = start(body(&io(), &acceptor, &done));
    for (int passed = 0; passed < turn && !task.done(); ++passed) turns(1);
    if (task.done()) {
      EXPECT_EQ(done, 1);
      break;
    }
    EXPECT_TRUE(task.cancel());
    finish(task);
    ++cancelled;
    ASSERT_TRUE(task.cancelled() || done == 1);
    ASSERT_LT(turn, 3000);
    // A connection that nobody accepted is not the next one's.
    acceptor.non_blocking(true);
    asio::error_code error;
    tcp::socket left(io());
    while (!error) {
      acceptor.accept(left, error);
      left.close();
    }
  }
  EXPECT_GE(cancelled, 3);
}

// -- the loop closes meanwhile

class ClosedWhilePending : public AsioTest {};
INSTANTIATE_TEST_SUITE_P(Drives, ClosedWhilePending, ::testing::ValuesIn(kDrives), drive_name);

struct Alive {
  explicit Alive(int& n) : count(n) { ++count; }
  Alive(const Alive&) = delete;
  Alive& operator=(const Alive&) = delete;
  ~Alive() { --count; }
  int& count;
};

TEST_P(ClosedWhilePending, FramesGoAndHandlersFindThemGone) {
  const auto body = [](Pair* pair, int* alive) -> Coro<> {
    const Alive local(*alive);
    asio::steady_timer timer(pair->near.get_executor(), 1h);
    co_await timer.async_wait(use_coro);
  };
  const auto read = [](tcp::socket* socket, int* alive) -> Coro<> {
    const Alive local(*alive);
    std::array<char, 100> bytes;
    co_await asio::async_read(*socket, asio::buffer(bytes), use_coro);
  };
  int alive = 0;
  auto pair = std::make_unique<Pair>(connected_pair());
  start(body(pair.get(), &alive));
  start(read(&pair->near, &alive));
  start(read(&pair->far, &alive));
  turns();
  EXPECT_EQ(alive, 3);
  if (drive() == Drive::own) pair->near.send(asio::buffer("x", 1));
  loop().close();
  EXPECT_EQ(alive, 0);
  take_log();  // of the tasks that were destroyed
  take_exceptions();
  pair.reset();
}

TEST(ClosedBeforeItsContext, NobodyReadsIntoACoroutineThatIsGone) {
  const auto read = [](tcp::socket* socket) -> Coro<> {
    std::array<char, 100> bytes;
    co_await asio::async_read(*socket, asio::buffer(bytes), use_coro);
  };
  asio::io_context io;
  tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  tcp::socket near(io);
  near.connect(acceptor.local_endpoint());
  tcp::socket far = acceptor.accept();
  {
    EventLoop loop(make_asio_kernel(io));
    create_task(loop, read(&near));
    io.poll();
    EXPECT_EQ(loop.stats().tasks, 1u);
  }
  far.send(asio::buffer("data", 4));
  io.restart();
  io.run();  // until nothing is left to do
  std::array<char, 100> bytes;
  EXPECT_EQ(near.read_some(asio::buffer(bytes)), 4u);
}

}  // namespace
}  // namespace ferry::test
