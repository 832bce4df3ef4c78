// Datagrams in coroutines: receiving and sending, waiting, cancelling, the inbox and its limits.

#include "datagram_stream_fixture.h"

#include <ferry/gather.h>
#include <ferry/timeout.h>

namespace ferry::test {
namespace {

INSTANTIATE_TEST_SUITE_P(Worlds, DatagramStreamTest, ::testing::ValuesIn(kWorlds), world_name);

using Strings = std::vector<std::string>;

TEST_P(DatagramStreamTest, WhatIsSentComesWholeAndFromItsSender) {
  const DatagramStream a = open();
  const DatagramStream b = open();
  a.sendto("hello", b.sockname());
  const Datagram datagram = run(recvfrom(b));
  EXPECT_EQ(datagram.data, "hello");
  EXPECT_EQ(datagram.info.peer, a.sockname());
  b.sendto("answer", datagram.info);
  EXPECT_EQ(run(recv(a)), "answer");
}

TEST_P(DatagramStreamTest, WithARemoteAddressSendNeedsNone) {
  const DatagramStream server = open();
  const DatagramStream client = open(remote(server.sockname()));
  EXPECT_EQ(client.peername(), server.sockname());
  client.send("one");
  const std::vector<BytesView> more = {"two", "", "three"};
  client.send_each(more);
  EXPECT_EQ(run(recv_each(server, 4)), (Strings{"one", "two", "", "three"}));
}

TEST_P(DatagramStreamTest, C0466_AnEmptyDatagramIsADatagram) {
  const DatagramStream a = open();
  a.sendto("", a.sockname());
  a.sendto("x", a.sockname());
  EXPECT_EQ(run(recv_each(a, 2)), (Strings{"", "x"}));
}

TEST_P(DatagramStreamTest, WhatIsThereIsGivenWithoutATurn) {
  const DatagramStream a = open();
  for (const char* text : {"1", "2", "3"}) a.sendto(text, a.sockname());
  run_until_queued(a, 3);
  const auto task = start(recv_each(a, 3));
  tick(1);
  ASSERT_TRUE(task.done());
  EXPECT_EQ(task.result(), (Strings{"1", "2", "3"}));
}

TEST_P(DatagramStreamTest, AViewIsGoodUntilTheNextReceiveWhateverComes) {
  const auto body = [](DatagramStream stream) -> Coro<> {
    const std::string big(50'000, 'b');
    stream.sendto("the first one", stream.sockname());
    const DatagramView view = co_await stream.recvfrom_view();
    for (int i = 0; i < 20; ++i) {
      stream.sendto(big, stream.sockname());
      if (i % 2 == 0) co_await sleep(1ms);
    }
    while (stream.queued() < 4) co_await sleep(1ms);
    EXPECT_EQ(view.data.text(), "the first one");
    EXPECT_EQ(view.info.peer, stream.sockname());
    const BytesView second = co_await stream.recv_view();
    EXPECT_EQ(second.text(), big);
  };
  run(body(open()));
}

TEST_P(DatagramStreamTest, AnswersOfATaskThatWaitsLeaveTogether) {
  const auto echo = [](DatagramStream stream) -> Coro<> {
    while (const auto datagram = co_await stream.next_view()) {
      stream.sendto(datagram->data, datagram->info.peer);
    }
  };
  const DatagramStream server = open();
  const DatagramStream client = open();
  const auto task = start(echo(server));
  tick(2);
  constexpr std::size_t count = 16;
  const std::vector<BytesView> burst(count, "ping");
  client.send_each(burst, server.sockname());
  const std::size_t before = kernel().send_calls();
  run_until_queued(client, count);
  EXPECT_EQ(run(recv_each(client, count)), Strings(count, "ping"));
  EXPECT_LE(kernel().send_calls() - before, 4u);  // and not one each
  server.close();
  finish(task);
  EXPECT_EQ(failure_text(task), "");
}

TEST_P(DatagramStreamTest, ASecondReceiverIsAMisuseAndTheFirstGoesOn) {
  const DatagramStream a = open();
  const auto first = start(recv(a));
  tick(2);
  EXPECT_THROW(run(recv(a)), std::logic_error);
  a.sendto("for the first", a.sockname());
  finish(first);
  EXPECT_EQ(first.result(), "for the first");
}

TEST_P(DatagramStreamTest, ACancelledReceiveTakesNothing) {
  const auto body = [](DatagramStream a) -> Coro<Strings> {
    Strings got;
    got.push_back(co_await a.recv());
    co_await sleep(1ms);
    got.push_back(co_await a.recv());
    got.push_back(co_await a.recv());
    co_return got;
  };
  const DatagramStream a = open();
  const DatagramStream sender = open();
  Strings sent;
  int number = 0;
  const int points = cancel_at_each_turn(
      [&] {
        sent.clear();
        for (int i = 0; i < 3; ++i) {
          sent.push_back(std::to_string(++number));
          sender.sendto(sent.back(), a.sockname());
        }
        return start(body(a));
      },
      [&](const Task<Strings>& task) {
        if (task.cancelled()) {
          // What the task had taken went with it; all the rest is there, in order.
          Strings rest;
          while (rest.empty() || rest.back() != sent.back()) rest.push_back(run(recv(a)));
          ASSERT_LE(rest.size(), sent.size());
          EXPECT_EQ(rest,
                    Strings(sent.end() - static_cast<std::ptrdiff_t>(rest.size()), sent.end()));
        } else {
          EXPECT_EQ(task.result(), sent);
        }
        EXPECT_EQ(a.queued(), 0u);
      });
  EXPECT_GE(points, 2);
}

TEST_P(DatagramStreamTest, ACancellationInTheTurnOfTheArrivalLosesNothing) {
  const DatagramStream a = open();
  const auto task = start(recv(a));
  tick(2);
  // Woken from inside another task it goes on a turn later; in between it is cancelled.
  const auto other = [](DatagramStream stream, Task<std::string> waiting) -> Coro<> {
    stream.shared_state()->receive("precious", DatagramInfo());
    EXPECT_FALSE(waiting.done());
    waiting.cancel("stop");
    co_return;
  };
  run(other(a, task));
  finish(task);
  EXPECT_EQ(cancel_message(task), "stop");
  EXPECT_EQ(a.queued(), 1u);
  EXPECT_EQ(run(recv(a)), "precious");
}

TEST_P(DatagramStreamTest, WaitForTakesNothingWhenTimeIsUp) {
  const auto body = [](DatagramStream a) -> Coro<std::string> {
    EXPECT_THROW(co_await wait_for(a.recv(), 5ms), TimeoutError);
    a.sendto("late", a.sockname());
    co_return co_await a.recv();
  };
  EXPECT_EQ(run(body(open())), "late");
}

TEST_P(DatagramStreamTest, AFullInboxPausesTheSocketAndHalfOfItResumesIt) {
  ReceiveLimits limits;
  limits.count = 4;
  const DatagramStream a = open(local(), limits);
  const DatagramStream b = open();
  Strings sent;
  for (int i = 0; i < 5; ++i) {
    sent.push_back(std::to_string(i));
    b.sendto(sent.back(), a.sockname());
  }
  run_until_queued(a, 5);
  EXPECT_FALSE(a.transport()->is_reading());
  for (int i = 5; i < 20; ++i) {
    sent.push_back(std::to_string(i));
    b.sendto(sent.back(), a.sockname());
  }
  run_for(5ms);
  EXPECT_EQ(a.queued(), 5u);
  const auto take_three = [](DatagramStream stream) -> Coro<> {
    for (const char* text : {"0", "1", "2"}) {
      EXPECT_FALSE(stream.transport()->is_reading());
      EXPECT_EQ(co_await stream.recv(), text);
    }
    EXPECT_TRUE(stream.transport()->is_reading());
  };
  run(take_three(a));
  // The kernel kept the rest, as it was not too much.
  EXPECT_EQ(run(recv_each(a, 17)), Strings(sent.begin() + 3, sent.end()));
}

TEST_P(DatagramStreamTest, TheLimitOfBytesCountsBytes) {
  ReceiveLimits limits;
  limits.bytes = 10'000;
  const DatagramStream a = open(local(), limits);
  const std::string part(4'000, 'x');
  for (int i = 0; i < 6; ++i) a.sendto(part, a.sockname());
  run_until([&] { return !a.transport()->is_reading(); });
  EXPECT_EQ(a.queued(), 3u);
  EXPECT_EQ(run(recv_each(a, 6)), Strings(6, part));
  EXPECT_TRUE(a.transport()->is_reading());
}

TEST_P(DatagramStreamTest, ABurstThatNobodyReadsIsDroppedByTheKernelAndTheRestIsInOrder) {
  ReceiveLimits limits;
  limits.count = 8;
  const DatagramStream a = open(local(), limits);
  const DatagramStream b = open();
  const std::string filler(1'000, '.');
  for (int i = 0; i < 3'000; ++i) {
    b.sendto(std::to_string(10'000 + i) + filler, a.sockname());
    if (i % 100 == 0) tick(1);
  }
  run_for(5ms);
  EXPECT_FALSE(a.transport()->is_reading());
  EXPECT_LE(a.queued(), 9u);
  const auto body = [](DatagramStream stream) -> Coro<Strings> {
    Strings got;
    while (true) {
      try {
        got.push_back(co_await wait_for(stream.recv(), 50ms));
      } catch (const TimeoutError&) {
        co_return got;
      }
    }
  };
  const Strings got = run(body(a));
  EXPECT_GT(got.size(), 9u);
  if (!simulated()) {
    EXPECT_LT(got.size(), 3'000u);  // the simulated kernel has room for any number
  }
  EXPECT_TRUE(std::is_sorted(got.begin(), got.end()));
}

}  // namespace
}  // namespace ferry::test
