// A loop on an io_context that the application has, run by either of them.

#include "asio_fixture.h"

#include <ferry/net.h>
#include <ferry/testing/fault_kernel.h>

#include <asio/post.hpp>
#include <asio/read.hpp>
#include <asio/write.hpp>

#include <csignal>
#include <thread>

namespace ferry::test {
namespace {

class Context : public AsioTest {};
INSTANTIATE_TEST_SUITE_P(Drives, Context, ::testing::ValuesIn(kDrives), drive_name);

TEST_P(Context, ItIsTheOneThatTheLoopRuns) {
  if (drive() != Drive::own) {
    EXPECT_EQ(&io(), &application());
  }
  bool posted = false;
  asio::post(io(), [&posted] { posted = true; });
  until([&posted] { return posted; });
}

TEST_P(Context, CallbacksAndTimersComeInTheirOrder) {
  Log log;
  loop().call_later(2ms, [&log] { log.push_back("later"); });
  loop().call_soon([this, &log] {
    EXPECT_EQ(running_loop(), &loop());
    EXPECT_TRUE(loop().is_running());
    log.push_back("a");
    loop().call_soon([&log] { log.push_back("c"); });
  });
  loop().call_soon([&log] { log.push_back("b"); });
  TimerHandle never = loop().call_later(1ms, [&log] { log.push_back("never"); });
  never.cancel();
  until([&log] { return log.size() >= 4; });
  EXPECT_EQ(log, (Log{"a", "b", "c", "later"}));
  EXPECT_EQ(running_loop(), nullptr);
  EXPECT_FALSE(loop().is_running());
}

TEST_P(Context, TransportsServeAsiosSockets) {
  struct Echo final : Protocol {
    std::shared_ptr<Transport> transport;
    void connection_made(std::shared_ptr<Transport> made) override { transport = std::move(made); }
    void data_received(BytesView bytes) override { transport->write(bytes); }
  };
  Future<std::shared_ptr<Server>> creating =
      create_server(loop(), [] { return std::make_shared<Echo>(); }, {.hosts = {"127.0.0.1"}});
  finish(creating);
  const std::shared_ptr<Server> server = creating.result();
  const auto ask = [](asio::io_context* io, std::uint16_t port) -> Coro<std::string> {
    tcp::socket socket(*io);
    const tcp::endpoint there(asio::ip::address_v4::loopback(), port);
    co_await socket.async_connect(there, use_coro);
    std::string answer(200000, ' ');
    const std::string question(answer.size(), 'x');
    std::size_t sent = 0;
    for (std::size_t got = 0; got < answer.size();) {
      if (sent < question.size()) {
        sent += co_await socket.async_write_some(asio::buffer(question) + sent, use_coro);
      }
      got += co_await socket.async_read_some(asio::buffer(answer) + got, use_coro);
    }
    co_return answer == question ? "the same" : answer;
  };
  EXPECT_EQ(run(ask(&io(), server->sockets().front().port())), "the same");
  server->close();
  Future<void> closed = server->wait_closed();
  finish(closed);
}

TEST_P(Context, OtherThreadsAreHeard) {
  int calls = 0;
  const std::thread::id here = std::this_thread::get_id();
  std::jthread other([this, &calls, here] {
    for (int i = 0; i < 100; ++i) {
      loop().call_soon_threadsafe([&calls, here] {
        EXPECT_EQ(std::this_thread::get_id(), here);
        ++calls;
      });
    }
  });
  until([&calls] { return calls == 100; });
  Future<int> job = loop().run_in_executor(nullptr, [] { return 7; });
  finish(job);
  EXPECT_EQ(job.result(), 7);
  Future<void> down = loop().shutdown_default_executor();
  finish(down);
}

TEST_P(Context, AnExceptionOutOfACallbackGoesToTheHandler) {
  loop().call_soon([] { throw std::runtime_error("oops"); });
  turns();
  const auto exceptions = take_exceptions();
  ASSERT_EQ(exceptions.size(), 1u);
  EXPECT_NE(exceptions[0].to_string().find("oops"), std::string::npos);
}

class SharedContext : public AsioTest {};
INSTANTIATE_TEST_SUITE_P(Drives, SharedContext, ::testing::ValuesIn(kShared), drive_name);

TEST_P(SharedContext, TheLoopMayGoBeforeWhatItPostedHasComeBack) {
  loop().call_soon([] { ADD_FAILURE() << "called after the loop was destroyed"; });
  loop().call_later(1ms, [] { ADD_FAILURE() << "called after the loop was destroyed"; });
  loop().call_soon_threadsafe([] { ADD_FAILURE() << "called after the loop was destroyed"; });
  close_loop();
  application().restart();
  application().run();
}

TEST_P(SharedContext, ALoopThatIsClosedButThereIsLeftAlone) {
  loop().call_soon([] { ADD_FAILURE() << "called after the loop was closed"; });
  loop().call_later(1ms, [] { ADD_FAILURE() << "called after the loop was closed"; });
  loop().add_signal_handler(SIGUSR2, [] {});
  loop().close();
  application().restart();
  application().run();  // nothing holds it
}

/// The application runs its io_context to its end, and by then the loop has nothing left to do.
class Guest : public AsioFixture {
 protected:
  Drive drive() const override { return Drive::guest; }
  std::size_t run_to_the_end() {
    if (application().stopped()) application().restart();
    return application().run();
  }
};

TEST_F(Guest, RunReturnsWhenTheLoopHasNothingLeft) {
  int calls = 0;
  loop().call_soon([&calls] { ++calls; });
  loop().call_later(2ms, [&calls] { ++calls; });
  run_to_the_end();
  EXPECT_EQ(calls, 2);
  // A timer that is cancelled is not waited for.
  TimerHandle timer = loop().call_later(1h, [] {});
  loop().call_soon([&timer] { timer.cancel(); });
  run_to_the_end();
  // A job on another thread is.
  Future<int> job = loop().run_in_executor(nullptr, [] {
    const auto end = std::chrono::steady_clock::now() + 5ms;
    while (std::chrono::steady_clock::now() < end) std::this_thread::yield();
    return 1;
  });
  run_to_the_end();
  EXPECT_TRUE(job.done());
  // A server is, until it is closed; a signal handler until it is removed.
  Future<std::shared_ptr<Server>> creating =
      create_server(loop(), [] { return std::make_shared<Protocol>(); }, {.hosts = {"127.0.0.1"}});
  loop().add_signal_handler(SIGUSR2, [] {});
  loop().call_later(3ms, [&] { creating.result()->close(); });
  TimePoint removed{};
  loop().call_later(6ms, [&] {
    loop().remove_signal_handler(SIGUSR2);
    removed = std::chrono::steady_clock::now();
  });
  run_to_the_end();
  EXPECT_NE(removed, TimePoint{});
  Future<void> down = loop().shutdown_default_executor();
  run_to_the_end();
  EXPECT_TRUE(down.done());
}

TEST_F(Guest, ATimerThatIsCancelledFromOutsideIsNotWaitedFor) {
  const auto began = std::chrono::steady_clock::now();
  TimerHandle handle = loop().call_later(20s, [] {});
  handle.cancel();
  run_to_the_end();
  Timer timer(loop(), [] {});
  timer.set(20s);
  timer.cancel();
  run_to_the_end();
  {
    Timer gone(loop(), [] {});
    gone.set(20s);
  }
  run_to_the_end();
  // Nor is one that was cancelled while the loop itself ran it.
  timer.set(20s);
  loop().call_soon([&] {
    timer.cancel();
    loop().stop();
  });
  loop().run_forever();
  run_to_the_end();
  EXPECT_LT(std::chrono::steady_clock::now() - began, 10s);
  // Of two, the other is.
  bool called = false;
  timer.set(20s);
  loop().call_later(2ms, [&called] { called = true; });
  timer.cancel();
  run_to_the_end();
  EXPECT_TRUE(called);
}

TEST_F(Guest, AForwardingKernelIsAsSharedAsTheOneBelow) {
  EventLoop other(std::make_unique<testing::FaultKernel>(make_asio_kernel(application())));
  int calls = 0;
  other.call_soon([&calls] { ++calls; });
  other.call_later(1ms, [&calls] { ++calls; });
  run_to_the_end();
  EXPECT_EQ(calls, 2);
  Future<int> job = other.run_in_executor(nullptr, [] { return 1; });
  run_to_the_end();
  EXPECT_TRUE(job.done());
  Future<void> down = other.shutdown_default_executor();
  run_to_the_end();
  EXPECT_TRUE(down.done());
}

TEST_F(Guest, StopEndsTheRunAndTheNextOneGoesOn) {
  Log log;
  loop().call_later(1h, [] {});
  loop().call_soon([&] {
    log.push_back("stopping");
    loop().call_soon([&] { log.push_back("next run"); });
    loop().stop();
  });
  loop().call_soon([&] { log.push_back("same batch"); });
  run_to_the_end();
  EXPECT_TRUE(application().stopped());
  EXPECT_EQ(log, (Log{"stopping", "same batch"}));
  application().restart();
  application().poll();
  EXPECT_EQ(log, (Log{"stopping", "same batch", "next run"}));
  EXPECT_FALSE(application().stopped());
  // One from outside ends a run that is yet to come, after one turn.
  loop().call_soon([&] { log.push_back("one turn"); });
  loop().stop();
  run_to_the_end();
  EXPECT_EQ(log.back(), "one turn");
}

TEST_F(Guest, BothMayRunItInTurns) {
  Log log;
  const auto wait = [](asio::io_context* io) -> Coro<int> {
    asio::steady_timer timer(*io, 1ms);
    co_await timer.async_wait(use_coro);
    co_return 1;
  };
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(run_until_complete(loop(), wait(&io())), 1);
    loop().call_soon([&log] { log.push_back("by the loop"); });
    loop().call_soon([this] { loop().stop(); });
    loop().call_soon([&] { loop().call_soon([&log] { log.push_back("left over"); }); });
    loop().run_forever();
    run_to_the_end();
    EXPECT_EQ(log, (Log{"by the loop", "left over"}));
    log.clear();
    const Task<int> task = start(wait(&io()));
    run_to_the_end();
    EXPECT_EQ(task.result(), 1);
  }
}

TEST_F(Guest, ALoopExitComesOutOfItsRun) {
  loop().call_soon([] { throw LoopExit{3}; });
  loop().call_soon([this] { loop().call_later(1ms, [] {}); });
  int code = 0;
  try {
    application().run();
  } catch (const LoopExit& exit) {
    code = exit.code;
  }
  EXPECT_EQ(code, 3);
  EXPECT_FALSE(loop().is_running());
  EXPECT_EQ(running_loop(), nullptr);
  EXPECT_EQ(loop().stats().ready, 1u);
  run_to_the_end();
  EXPECT_EQ(loop().stats().ready, 0u);
}

TEST_F(Guest, TwoLoopsShareOne) {
  EventLoop other(make_asio_kernel(application()));
  Log log;
  const auto count = [](EventLoop* mine, std::string name, Log* to) -> Coro<> {
    for (int i = 0; i < 3; ++i) {
      co_await sleep(1ms);
      EXPECT_EQ(&get_running_loop(), mine);
      asio::steady_timer timer(io_context(*mine), 1ms);
      co_await timer.async_wait(use_coro);
      EXPECT_EQ(&get_running_loop(), mine);
    }
    to->push_back(name);
  };
  start(count(&loop(), "one", &log));
  create_task(other, count(&other, "other", &log));
  run_to_the_end();
  EXPECT_EQ(log.size(), 2u);
  // And while one of them runs it, the other has its turns, too.
  create_task(other, count(&other, "other", &log));
  run_until_complete(loop(), count(&loop(), "one", &log));
  until([&log] { return log.size() == 4; });
  EXPECT_EQ(running_loop(), nullptr);
}

TEST_F(Guest, AHandlerOfAsiosIsNoCallbackOfTheLoop) {
  bool called = false;
  asio::post(application(), [&] {
    called = true;
    EXPECT_EQ(running_loop(), nullptr);
    EXPECT_THROW(get_running_loop(), std::logic_error);
    const auto body = [](bool* done) -> Coro<> {
      co_await sleep(0s);
      *done = true;
    };
    static bool done = false;
    create_task(loop(), body(&done)).add_done_callback([](Future<void>) { EXPECT_TRUE(done); });
  });
  run_to_the_end();
  EXPECT_TRUE(called);
}

TEST_F(Guest, RunForeverEndsWhenTheApplicationStopsTheContext) {
  loop().call_later(1ms, [this] { application().stop(); });
  loop().run_forever();
  EXPECT_FALSE(loop().is_running());
  const Future<void> never = loop().create_future<void>();
  loop().call_later(1ms, [this] { application().stop(); });
  EXPECT_THROW(loop().run_until_complete(never), std::logic_error);
}

}  // namespace
}  // namespace ferry::test
