// Signal handlers.

#include "loop_suite.h"
#include "socket_pair.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace ferry::test {
namespace {

class Signals : public LoopSuite {
 protected:
  /// The process gets the signal; in a simulation its kernel says so.
  void raise_signal(int signal_number) {
    if (simulated()) {
      EXPECT_TRUE(sim().raise_signal(signal_number));
    } else {
      EXPECT_EQ(::kill(::getpid(), signal_number), 0);
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Worlds, Signals, ::testing::ValuesIn(kWorlds), world_name);

class SignalsReal : public Signals {};
INSTANTIATE_TEST_SUITE_P(World, SignalsReal, ::testing::Values(World::asio), world_name);

bool has_default_disposition(int signal_number) {
  struct sigaction action {};
  EXPECT_EQ(::sigaction(signal_number, nullptr, &action), 0);
  return action.sa_handler == SIG_DFL;
}

TEST_P(Signals, C0074_AHandlerRunsInTheLoop) {
  bool in_loop = false;
  loop().add_signal_handler(SIGUSR1, [&] {
    in_loop = running_loop() == &loop();
    loop().call_soon([&] { loop().stop(); });
  });
  EXPECT_EQ(loop().stats().signal_handlers, 1U);
  loop().call_soon([&] { raise_signal(SIGUSR1); });
  loop().run_forever();
  EXPECT_TRUE(in_loop);
  EXPECT_TRUE(loop().remove_signal_handler(SIGUSR1));
}

TEST_P(Signals, ASignalThatComesWhileTheLoopDoesNotRunIsHandledWhenItDoes) {
  int handled = 0;
  loop().add_signal_handler(SIGUSR1, [&] { ++handled; });
  raise_signal(SIGUSR1);
  EXPECT_EQ(handled, 0);
  run_until([&] { return handled == 1; });
  loop().remove_signal_handler(SIGUSR1);
}

TEST_P(Signals, AHandlerRunsForEachOfManySignals) {
  int handled = 0;
  loop().add_signal_handler(SIGUSR1, [&] { ++handled; });
  for (int i = 1; i <= 50; ++i) {
    raise_signal(SIGUSR1);
    run_until([&] { return handled == i; });
  }
  loop().remove_signal_handler(SIGUSR1);
}

TEST_P(Signals, C0076_InvalidSignalsAreRefused) {
  for (const int number : {0, -1, NSIG + 1, 100000}) {
    EXPECT_THROW(loop().add_signal_handler(number, [] {}), std::invalid_argument) << number;
    EXPECT_FALSE(loop().remove_signal_handler(number)) << number;
  }
  for (const int number : {SIGKILL, SIGSTOP}) {
    try {
      loop().add_signal_handler(number, [] {});
      FAIL() << "it did not throw";
    } catch (const std::logic_error& e) {
      EXPECT_NE(std::string(e.what()).find("cannot be caught"), std::string::npos) << e.what();
    }
    EXPECT_FALSE(loop().remove_signal_handler(number));
  }
  EXPECT_THROW(loop().add_signal_handler(SIGUSR1, {}), std::invalid_argument);
  EXPECT_EQ(loop().stats().signal_handlers, 0U);
  EXPECT_FALSE(loop().remove_signal_handler(SIGUSR1));
}

TEST_P(Signals, C0077_AddingAgainReplaces) {
  Token token;
  int first = 0;
  int second = 0;
  loop().add_signal_handler(SIGUSR1, [&, held = token.held()] { ++first; });
  loop().add_signal_handler(SIGUSR1, [&] { ++second; });
  EXPECT_FALSE(token.captured());
  EXPECT_EQ(loop().stats().signal_handlers, 1U);
  raise_signal(SIGUSR1);
  run_until([&] { return second == 1; });
  EXPECT_EQ(first, 0);
  EXPECT_TRUE(loop().remove_signal_handler(SIGUSR1));
  EXPECT_FALSE(loop().remove_signal_handler(SIGUSR1));
}

TEST_P(Signals, AHandlerMayRemoveOrReplaceItself) {
  Token token;
  std::string ran;
  loop().add_signal_handler(SIGUSR1, [&, held = token.held()] {
    loop().add_signal_handler(SIGUSR1, [&] {
      ran += 'b';
      EXPECT_TRUE(loop().remove_signal_handler(SIGUSR1));
    });
    EXPECT_TRUE(token.captured());
    ran += 'a';
  });
  raise_signal(SIGUSR1);
  run_until([&] { return ran == "a"; });
  tick();
  EXPECT_FALSE(token.captured());
  raise_signal(SIGUSR1);
  run_until([&] { return ran == "ab"; });
  EXPECT_EQ(loop().stats().signal_handlers, 0U);
}

TEST_P(Signals, AThrowingHandlerIsReportedAndStays) {
  int handled = 0;
  loop().add_signal_handler(SIGUSR2, [&] {
    if (++handled == 1) throw std::runtime_error("in a handler");
  });
  raise_signal(SIGUSR2);
  run_until([&] { return handled == 1; });
  tick();
  ASSERT_EQ(take_exceptions().size(), 1U);
  raise_signal(SIGUSR2);
  run_until([&] { return handled == 2; });
  loop().remove_signal_handler(SIGUSR2);
}

TEST_P(SignalsReal, C0078_RemovalRestoresTheDefaultDisposition) {
  loop().add_signal_handler(SIGUSR1, [] {});
  EXPECT_FALSE(has_default_disposition(SIGUSR1));
  EXPECT_TRUE(loop().remove_signal_handler(SIGUSR1));
  EXPECT_TRUE(has_default_disposition(SIGUSR1));
  EXPECT_FALSE(loop().remove_signal_handler(SIGUSR1));
}

TEST_P(SignalsReal, C0080_RemovingOneLeavesTheOtherAndTheRemovedOneKills) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        EventLoop inner;
        int handled = 0;
        inner.add_signal_handler(SIGUSR1,
                                 [&] { ::kill(::getpid(), ++handled == 1 ? SIGUSR1 : SIGUSR2); });
        inner.add_signal_handler(SIGUSR2, [&] {
          if (handled != 2 || !inner.remove_signal_handler(SIGUSR1)) ::_exit(1);
          ::kill(::getpid(), SIGUSR1);
          ::_exit(2);
        });
        ::kill(::getpid(), SIGUSR1);
        inner.run_forever();
      },
      ::testing::KilledBySignal(SIGUSR1), "");
}

TEST_P(SignalsReal, C0081_ALoopOfAnyThreadMayHandleSignals) {
  // asyncio allows this in the main thread only; here the handler runs where its loop runs.
  std::thread::id handled_in{};
  std::thread thread([&] {
    EventLoop there;
    there.add_signal_handler(SIGUSR2, [&] {
      handled_in = std::this_thread::get_id();
      there.stop();
    });
    there.call_soon([] { ::kill(::getpid(), SIGUSR2); });
    there.run_forever();
  });
  const std::thread::id expected = thread.get_id();
  thread.join();
  EXPECT_EQ(handled_in, expected);
  EXPECT_TRUE(has_default_disposition(SIGUSR2));
}

TEST_P(SignalsReal, C0082_CloseRemovesAllHandlers) {
  Token token;
  loop().add_signal_handler(SIGUSR1, [held = token.held()] {});
  loop().add_signal_handler(SIGUSR2, [held = token.held()] {});
  loop().close();
  EXPECT_TRUE(has_default_disposition(SIGUSR1));
  EXPECT_TRUE(has_default_disposition(SIGUSR2));
  EXPECT_FALSE(token.captured());
  EXPECT_FALSE(loop().remove_signal_handler(SIGUSR1));
  EXPECT_THROW(loop().add_signal_handler(SIGUSR1, [] {}), std::logic_error);
}

TEST_P(Signals, C0084_AWriteToADeadPeerIsAnErrorAndNoSignal) {
  auto [ours, theirs] = stream_pair(loop().kernel());
  theirs.reset();
  IoResult result;
  run_until([&, fd = ours.get()] {
    result = loop().kernel().send(fd, "x");
    return !result.ok() && !result.would_block();
  });
  EXPECT_TRUE(result.error == EPIPE || result.error == ECONNRESET) << result.error;
  result = loop().kernel().send(ours.get(), "x");
  EXPECT_EQ(result.error, EPIPE);
  EXPECT_TRUE(has_default_disposition(SIGPIPE));
}

volatile sig_atomic_t children_ended = 0;

TEST_P(SignalsReal, C0084_TheUsersSigchldHandlerKeepsWorking) {
  struct sigaction mine {};
  struct sigaction before {};
  mine.sa_handler = [](int) { children_ended = children_ended + 1; };
  ASSERT_EQ(::sigaction(SIGCHLD, &mine, &before), 0);
  children_ended = 0;
  {
    EventLoop other;
    other.call_soon([&] {
      const pid_t child = ::fork();
      if (child == 0) ::_exit(0);
      int status = 0;
      while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
      }
      other.stop();
    });
    other.run_forever();
  }
  struct sigaction after {};
  ASSERT_EQ(::sigaction(SIGCHLD, &before, &after), 0);
  EXPECT_EQ(after.sa_handler, mine.sa_handler);
  EXPECT_EQ(children_ended, 1);
}

TEST_P(SignalsReal, C0085_ASignalInAForkedChildDoesNotReachTheParentsLoop) {
  int handled = 0;
  loop().add_signal_handler(SIGUSR1, [&] { ++handled; });
  int status = 0;
  loop().call_soon([&] {
    const pid_t child = ::fork();
    if (child == 0) {
      ::kill(::getpid(), SIGUSR1);  // caught by what the parent installed, or fatal: either is fine
      ::_exit(0);
    }
    ASSERT_EQ(::waitpid(child, &status, 0), child);
  });
  run_for(20ms);
  EXPECT_EQ(handled, 0);
  raise_signal(SIGUSR1);
  run_until([&] { return handled == 1; });
  loop().remove_signal_handler(SIGUSR1);
}

}  // namespace
}  // namespace ferry::test
