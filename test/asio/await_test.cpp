// co_await of Asio's operations in a Coro: what comes out of them.

#include "asio_fixture.h"

#include <asio/co_spawn.hpp>
#include <asio/connect.hpp>
#include <asio/post.hpp>
#include <asio/read.hpp>
#include <asio/read_until.hpp>
#include <asio/thread_pool.hpp>
#include <asio/write.hpp>

#include <array>
#include <cstring>
#include <thread>

namespace ferry::test {
namespace {

class Awaiting : public AsioTest {};
INSTANTIATE_TEST_SUITE_P(Drives, Awaiting, ::testing::ValuesIn(kDrives), drive_name);

TEST_P(Awaiting, ATimerEndsWhenItsTimeHasCome) {
  const auto body = [](asio::io_context* io) -> Coro<> {
    const TimePoint begin = std::chrono::steady_clock::now();
    asio::steady_timer timer(*io, 5ms);
    co_await timer.async_wait(use_coro);
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 5ms);
    timer.expires_after(1ms);
    co_await timer.async_wait(use_coro);
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 6ms);
  };
  run(body(&io()));
}

TEST_P(Awaiting, ASocketReadsWhatWasWritten) {
  const auto body = [](Pair* pair) -> Coro<std::string> {
    std::size_t sent = co_await asio::async_write(pair->far, asio::buffer("hello", 5), use_coro);
    EXPECT_EQ(sent, 5u);
    std::array<char, 100> bytes;
    const std::size_t n = co_await pair->near.async_read_some(asio::buffer(bytes), use_coro);
    co_return std::string(bytes.data(), n);
  };
  Pair pair = connected_pair();
  EXPECT_EQ(run(body(&pair)), "hello");
}

TEST_P(Awaiting, AComposedOperationEndsWhenAllOfItHas) {
  const auto write = [](tcp::socket* to) -> Coro<> {
    for (const char* part : {"he", "llo\nwo", "rld"}) {
      co_await asio::async_write(*to, asio::buffer(part, std::strlen(part)), use_coro);
      co_await sleep(1ms);
    }
  };
  const auto read = [](tcp::socket* from) -> Coro<std::string> {
    std::string text;
    const std::size_t line =
        co_await asio::async_read_until(*from, asio::dynamic_buffer(text), '\n', use_coro);
    EXPECT_EQ(line, 6u);
    std::array<char, 11> all;
    const auto rest = asio::buffer(all.data(), all.size() - text.size());
    const std::size_t n = co_await asio::async_read(*from, rest, use_coro);
    co_return text + std::string(all.data(), n);
  };
  Pair pair = connected_pair();
  const Task<> writing = start(write(&pair.far));
  EXPECT_EQ(run(read(&pair.near)), "hello\nworld");
  finish(writing);
}

TEST_P(Awaiting, NamesAreResolvedAndConnectionsMadeAndAccepted) {
  const auto serve = [](tcp::acceptor* acceptor) -> Coro<> {
    tcp::socket peer = co_await acceptor->async_accept(use_coro);
    co_await asio::async_write(peer, asio::buffer("welcome", 7), use_coro);
  };
  const auto call = [](asio::io_context* io, std::string port) -> Coro<std::string> {
    tcp::resolver resolver(*io);
    const auto found = co_await resolver.async_resolve("127.0.0.1", port, use_coro);
    tcp::socket socket(*io);
    const tcp::endpoint there = co_await asio::async_connect(socket, found, use_coro);
    EXPECT_EQ(there, found.begin()->endpoint());
    std::string text;
    const std::tuple<asio::error_code, std::size_t> end =
        co_await asio::async_read(socket, asio::dynamic_buffer(text), use_coro_tuple);
    EXPECT_EQ(std::get<0>(end), asio::error::eof);
    EXPECT_EQ(std::get<1>(end), 7u);
    co_return text;
  };
  tcp::acceptor acceptor(io(), {asio::ip::address_v4::loopback(), 0});
  const Task<> serving = start(serve(&acceptor));
  EXPECT_EQ(run(call(&io(), std::to_string(acceptor.local_endpoint().port()))), "welcome");
  finish(serving);
}

TEST_P(Awaiting, AnErrorIsThrownOrGivenAsTheTokenSays) {
  const auto body = [](Pair* pair) -> Coro<> {
    co_await asio::async_write(pair->far, asio::buffer("abc", 3), use_coro);
    pair->far.close();
    std::array<char, 10> bytes;
    std::tuple<asio::error_code, std::size_t> result =
        co_await asio::async_read(pair->near, asio::buffer(bytes), use_coro_tuple);
    EXPECT_EQ(std::get<0>(result), asio::error::eof);
    EXPECT_EQ(std::get<1>(result), 3u);
    std::error_code thrown;
    try {
      co_await pair->near.async_read_some(asio::buffer(bytes), use_coro);
    } catch (const std::system_error& e) {
      thrown = e.code();
    }
    EXPECT_EQ(thrown, asio::error::eof);
  };
  Pair pair = connected_pair();
  run(body(&pair));
}

TEST_P(Awaiting, OneThatOthersCancelFailsWithOperationAborted) {
  const auto body = [](asio::steady_timer* timer) -> Coro<> {
    co_await timer->async_wait(use_coro);
  };
  asio::steady_timer timer(io(), 1h);
  const Task<> task = start(body(&timer));
  turns();
  timer.cancel();
  finish(task);
  EXPECT_FALSE(task.cancelled());
  try {
    task.result();
    ADD_FAILURE() << "it did not throw";
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code(), asio::error::operation_aborted);
  }
}

TEST_P(Awaiting, ItIsBegunWhenItIsAwaitedAndNotBefore) {
  const auto body = [](asio::steady_timer* timer) -> Coro<> {
    {
      const auto dropped = timer->async_wait(use_coro);
      static_cast<void>(dropped);
    }
    auto operation = timer->async_wait(use_coro);
    auto moved = std::move(operation);
    EXPECT_EQ(timer->cancel(), 0u);  // nobody waits
    timer->expires_after(1ms);
    co_await std::move(moved);
  };
  asio::steady_timer timer(io(), 1h);
  run(body(&timer));
}

TEST_P(Awaiting, WhateverTheHandlerTakesComesOut) {
  const auto body = [](asio::io_context* io) -> Coro<> {
    co_await asio::post(*io, use_coro);  // nothing
    const auto two = []<class Handler>(Handler handler, std::string text) {
      std::move(handler)(42, std::make_unique<std::string>(std::move(text)));
    };
    std::tuple<int, std::unique_ptr<std::string>> both =
        co_await asio::async_initiate<const UseCoro, void(int, std::unique_ptr<std::string>)>(
            two, use_coro, std::string("text"));
    EXPECT_EQ(std::get<0>(both), 42);
    EXPECT_EQ(*std::get<1>(both), "text");
    const auto fails = [](auto handler) {
      std::move(handler)(std::make_exception_ptr(std::range_error("out of range")), 1);
    };
    bool thrown = false;
    try {
      co_await asio::async_initiate<const UseCoro, void(std::exception_ptr, int)>(fails, use_coro);
    } catch (const std::range_error&) {
      thrown = true;
    }
    EXPECT_TRUE(thrown);
  };
  run(body(&io()));
}

#if defined(ASIO_HAS_CO_AWAIT)  // not with clang 14
TEST_P(Awaiting, ACoroutineOfAsioIsAwaitedAsWell) {
  const auto spawned = [](int value) -> asio::awaitable<int> {
    asio::steady_timer timer(co_await asio::this_coro::executor, 1ms);
    co_await timer.async_wait(asio::use_awaitable);
    if (value < 0) throw std::domain_error("negative");
    co_return 2 * value;
  };
  const auto body = [](asio::io_context* io, auto coroutine) -> Coro<> {
    const int twice = co_await asio::co_spawn(*io, coroutine(21), use_coro);
    EXPECT_EQ(twice, 42);
    bool thrown = false;
    try {
      co_await asio::co_spawn(*io, coroutine(-1), use_coro);
    } catch (const std::domain_error&) {
      thrown = true;
    }
    EXPECT_TRUE(thrown);
  };
  run(body(&io(), spawned));
}
#endif

TEST_P(Awaiting, AHandlerThatIsCalledAtOnceDoesNotNest) {
  const auto body = []() -> Coro<int> {
    const auto at_once = [](auto handler) { std::move(handler)(1); };
    int sum = 0;
    for (int i = 0; i < 20000; ++i) {
      sum += co_await asio::async_initiate<const UseCoro, void(int)>(at_once, use_coro);
    }
    co_return sum;
  };
  EXPECT_EQ(run(body()), 20000);
}

TEST_P(Awaiting, AHandlerThatIsDroppedFailsTheAwait) {
  const auto body = [](std::shared_ptr<Function<void()>>* kept) -> Coro<std::error_code> {
    const auto keep = [kept](auto handler) {
      *kept = std::make_shared<Function<void()>>(
          [h = std::move(handler)]() mutable { std::move(h)(); });
    };
    try {
      co_await asio::async_initiate<const UseCoro, void()>(keep, use_coro);
    } catch (const std::system_error& e) {
      co_return e.code();
    }
    co_return std::error_code();
  };
  std::shared_ptr<Function<void()>> kept;
  const Task<std::error_code> task = start(body(&kept));
  turns();
  EXPECT_FALSE(task.done());
  kept.reset();
  finish(task);
  EXPECT_EQ(task.result(), asio::error::operation_aborted);
}

TEST_P(Awaiting, AnOperationThatCannotBeginThrowsOutOfTheAwait) {
  const auto body = []() -> Coro<int> {
    const auto refuses = [](auto) { throw std::length_error("too long"); };
    int refused = 0;
    try {
      co_await asio::async_initiate<const UseCoro, void()>(refuses, use_coro);
    } catch (const std::length_error&) {
      ++refused;
    }
    co_await sleep(1ms);  // the task can wait for other things
    co_return refused;
  };
  EXPECT_EQ(run(body()), 1);
}

TEST_P(Awaiting, TheTaskGoesOnOnItsOwnThreadWhoseverTheObjectIs) {
  const auto body = [](asio::thread_pool* pool) -> Coro<> {
    const auto here = std::this_thread::get_id();
    for (int i = 0; i < 20; ++i) {
      asio::steady_timer timer(*pool, 100us);
      co_await timer.async_wait(use_coro);
      EXPECT_EQ(std::this_thread::get_id(), here);
      EXPECT_NE(running_loop(), nullptr);
      co_await asio::post(*pool, use_coro);
      EXPECT_EQ(std::this_thread::get_id(), here);
    }
  };
  asio::thread_pool pool(2);
  run(body(&pool));
  pool.join();
}

TEST_P(Awaiting, ManyTasksWaitSideBySide) {
  const auto echo = [](tcp::socket* socket) -> Coro<> {
    std::array<char, 64> bytes;
    for (;;) {
      const std::tuple<asio::error_code, std::size_t> got =
          co_await socket->async_read_some(asio::buffer(bytes), use_coro_tuple);
      if (std::get<0>(got)) co_return;
      const auto answer = asio::buffer(bytes.data(), std::get<1>(got));
      co_await asio::async_write(*socket, answer, use_coro);
    }
  };
  const auto ask = [](tcp::socket* socket, int number) -> Coro<> {
    for (int round = 0; round < 50; ++round) {
      const std::string text = std::to_string(number) + "-" + std::to_string(round);
      co_await asio::async_write(*socket, asio::buffer(text), use_coro);
      std::string answer(text.size(), ' ');
      co_await asio::async_read(*socket, asio::buffer(answer), use_coro);
      EXPECT_EQ(answer, text);
    }
    socket->close();
  };
  std::vector<Pair> pairs;
  for (int i = 0; i < 10; ++i) pairs.push_back(connected_pair());
  std::vector<Task<>> tasks;
  for (int i = 0; i < 10; ++i) {
    tasks.push_back(start(echo(&pairs[static_cast<std::size_t>(i)].far)));
    tasks.push_back(start(ask(&pairs[static_cast<std::size_t>(i)].near, i)));
  }
  for (const Task<>& task : tasks) finish(task);
  for (const Task<>& task : tasks) task.result();
}

class WithoutAsio : public LoopFixture {
 protected:
  World world() const override { return World::sim; }
};

TEST_F(WithoutAsio, ALoopOnAnotherKernelHasNoContextAndAwaitsNoOperation) {
  EXPECT_THROW(io_context(loop()), std::logic_error);
  const auto body = [](asio::steady_timer* timer) -> Coro<> {
    co_await timer->async_wait(use_coro);
  };
  asio::io_context elsewhere;
  asio::steady_timer timer(elsewhere, 1h);
  EXPECT_THROW(run_until_complete(loop(), body(&timer)), std::logic_error);
  timer.cancel();
  elsewhere.run();
}

}  // namespace
}  // namespace ferry::test
