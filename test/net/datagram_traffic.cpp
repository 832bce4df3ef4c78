// Datagrams that come and go, and what becomes of a socket in the meantime.

#include "datagram_fixture.h"

#include <sys/socket.h>

#include <array>
#include <stdexcept>

namespace ferry::test {
namespace {

using namespace std::chrono_literals;
using Strings = std::vector<std::string>;

class DatagramTraffic : public DatagramTest {
 protected:
  /// `server` sends back what it gets.
  static void echo(const Endpoint& server) {
    server.protocol->keep_data = false;
    server.protocol->on_data = [transport = server.transport.get()](BytesView data,
                                                                    const DatagramInfo& info) {
      transport->sendto(data, info.peer);
    };
  }
};
INSTANTIATE_TEST_SUITE_P(Worlds, DatagramTraffic, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(DatagramTraffic, DatagramsArriveWholeInOrderAndWithTheirSender) {
  Endpoint a = open();
  Endpoint b = open();
  a.transport->sendto("one", b.transport->sockname());
  a.transport->sendto("three", b.transport->sockname());
  run_until_received(b, 2);
  EXPECT_EQ(b.protocol->data, (Strings{"one", "three"}));
  EXPECT_EQ(b.protocol->infos[0].peer, a.transport->sockname());
  EXPECT_EQ(b.protocol->infos[0].tos, -1);
  EXPECT_TRUE(b.protocol->infos[0].local.empty());
}

TEST_P(DatagramTraffic, ConnectionMadeComesBeforeTheFutureIsDone) {
  bool done = false;
  auto protocol = std::make_shared<RecordingDatagrams>();
  auto future =
      create_datagram_endpoint(loop(), [&] { return protocol; }, {.local_host = "127.0.0.1"});
  future.add_done_callback([&] {
    done = true;
    EXPECT_EQ(protocol->events, Strings{"made"});
  });
  EXPECT_FALSE(future.done());
  run_until([&] { return done; });
  EXPECT_EQ(future.result().protocol, protocol);
  EXPECT_EQ(future.result().transport, protocol->transport);
}

TEST_P(DatagramTraffic, EchoOverIpv6) {
  Endpoint server = open({.local_host = "::1"});
  Endpoint client = open_to(server.transport->sockname());
  echo(server);
  client.transport->sendto("ping");
  run_until_received(client, 1);
  EXPECT_EQ(client.protocol->data, Strings{"ping"});
  EXPECT_EQ(client.protocol->infos[0].peer, server.transport->sockname());
}

TEST_P(DatagramTraffic, C0466_EmptyDatagramsAreDatagrams) {
  Endpoint a = open();
  Endpoint b = open();
  for (const char* text : {"", "x", "", ""}) a.transport->sendto(text, b.transport->sockname());
  run_until_received(b, 4);
  EXPECT_EQ(b.protocol->data, (Strings{"", "x", "", ""}));
}

TEST_P(DatagramTraffic, SendsInsideCallbacksAreGatheredIntoFewCalls) {
  Endpoint server = open();
  Endpoint client = open_to(server.transport->sockname());
  echo(server);
  const std::vector<BytesView> datagrams(24, BytesView("0123456789"));
  client.transport->send_each(datagrams);
  const std::size_t before = kernel().send_calls();
  run_until_received(client, 24);
  // As many as it took reads to get them, and no call for each.
  EXPECT_LE(kernel().send_calls() - before, 6u);
  for (const std::string& data : client.protocol->data) EXPECT_EQ(data, "0123456789");
}

TEST_P(DatagramTraffic, SendEachKeepsSizesAndOrder) {
  Endpoint a = open();
  Endpoint b = open();
  // Runs of equal sizes, broken by shorter, longer and empty ones.
  Strings texts;
  for (int i = 0; i < 200; ++i) {
    const std::size_t sizes[] = {100, 100, 100, 40, 100, 0, 1452, 1452, 1453, 3000, 3000};
    std::string text = std::to_string(i);
    text.resize(std::max(text.size(), sizes[static_cast<std::size_t>(i) % std::size(sizes)]), '.');
    if (i % 13 == 5) text.clear();
    texts.push_back(std::move(text));
    if (texts.size() == 40) {
      const std::vector<BytesView> views(texts.begin(), texts.end());
      const std::size_t before = b.protocol->data.size();
      a.transport->send_each(views, b.transport->sockname());
      run_until_received(b, before + 40);
      EXPECT_EQ(Strings(b.protocol->data.end() - 40, b.protocol->data.end()), texts);
      texts.clear();
    }
  }
}

TEST_P(DatagramTraffic, TheLargestDatagramsPass) {
  Endpoint server = open();
  Endpoint client = open_to(server.transport->sockname());
  echo(server);
  const std::string large = pattern(65507);
  for (std::size_t i = 1; i <= 20; ++i) {
    client.transport->sendto(large);
    run_until_received(client, i);
    EXPECT_TRUE(client.protocol->data.back() == large);
  }
}

TEST_P(DatagramTraffic, AMillionDatagramsAreCounted) {
  // A window keeps what is under way below the socket's buffer: so nothing may be missing.
  const std::size_t total = kSanitized ? 100'000 : 1'000'000;
  const std::size_t window = 64;
  Endpoint server = open();
  echo(server);
  Endpoint client = open_to(server.transport->sockname());
  client.protocol->keep_data = false;
  std::uint64_t sent = 0;
  std::uint64_t expected = 0;
  const auto send = [&] {
    std::array<std::uint64_t, 8> words;
    words.fill(sent++);
    client.transport->sendto(std::as_bytes(std::span(words)));
  };
  client.protocol->on_data = [&](BytesView data, const DatagramInfo&) {
    std::array<std::uint64_t, 8> words{};
    ASSERT_EQ(data.size(), sizeof words);
    std::memcpy(words.data(), data.data(), sizeof words);
    EXPECT_EQ(words[0], expected);
    EXPECT_EQ(words[7], expected);
    ++expected;
    if (sent < total) send();
    if (expected == total) loop().stop();
  };
  for (std::size_t i = 0; i < window; ++i) send();
  TimerHandle limit = loop().call_later(120s, [&] { loop().stop(); });
  loop().run_forever();
  limit.cancel();
  EXPECT_EQ(expected, total);
  EXPECT_EQ(server.protocol->received, total);
}

TEST_P(DatagramTraffic, C0476_AProtocolThatThrowsKeepsItsSocket) {
  Endpoint a = open();
  Endpoint b = open();
  b.protocol->on_data = [&](BytesView data, const DatagramInfo&) {
    if (data == "bad") throw std::runtime_error("bad datagram");
  };
  a.transport->sendto("bad", b.transport->sockname());
  a.transport->sendto("good", b.transport->sockname());
  run_until_received(b, 2);
  EXPECT_EQ(b.protocol->data, (Strings{"bad", "good"}));
  EXPECT_FALSE(b.transport->is_closing());
  const auto exceptions = take_exceptions();
  ASSERT_EQ(exceptions.size(), 1u);
  EXPECT_EQ(what(exceptions[0].exception), "bad datagram");
}

TEST_P(DatagramTraffic, C0477_NothingArrivesWhilePausedAndAllOfItLater) {
  Endpoint a = open();
  Endpoint b = open();
  b.transport->pause_reading();
  EXPECT_FALSE(b.transport->is_reading());
  for (const char* text : {"1", "2", "3"}) a.transport->sendto(text, b.transport->sockname());
  run_for(50ms);
  EXPECT_EQ(b.protocol->received, 0u);
  b.transport->resume_reading();
  run_until_received(b, 3);
  EXPECT_EQ(b.protocol->data, (Strings{"1", "2", "3"}));
}

TEST_P(DatagramTraffic, PausingInTheMiddleOfABatchHoldsTheRestBack) {
  Endpoint a = open();
  Endpoint b = open();
  b.protocol->on_data = [&](BytesView, const DatagramInfo&) { b.transport->pause_reading(); };
  const std::vector<BytesView> datagrams{"1", "2", "3", "4"};
  a.transport->send_each(datagrams, b.transport->sockname());
  for (std::size_t i = 1; i <= 4; ++i) {
    run_until_received(b, i);
    settle();
    EXPECT_EQ(b.protocol->received, i);
    b.transport->resume_reading();
  }
  a.transport->sendto("5", b.transport->sockname());
  run_until_received(b, 5);
  EXPECT_EQ(b.protocol->data, (Strings{"1", "2", "3", "4", "5"}));
}

TEST_P(DatagramTraffic, ClosingInTheMiddleOfABatchEndsIt) {
  Endpoint a = open();
  Endpoint b = open();
  b.protocol->on_data = [&](BytesView, const DatagramInfo&) { b.transport->close(); };
  const std::vector<BytesView> datagrams{"1", "2", "3"};
  a.transport->send_each(datagrams, b.transport->sockname());
  run_until([&] { return b.protocol->lost; });
  EXPECT_EQ(b.protocol->events, (Strings{"made", "data:1", "lost:ok"}));
}

TEST_P(DatagramTraffic, AnotherProtocolTakesOverInTheMiddleOfABatch) {
  Endpoint a = open();
  Endpoint b = open();
  auto second = std::make_shared<RecordingDatagrams>();
  second->connection_made(b.transport);
  std::weak_ptr<RecordingDatagrams> first = b.protocol;
  b.protocol->on_data = [&](BytesView, const DatagramInfo&) { b.transport->set_protocol(second); };
  b.protocol.reset();
  const std::vector<BytesView> datagrams{"1", "2"};
  a.transport->send_each(datagrams, b.transport->sockname());
  run_until([&] { return second->received == 1; });
  EXPECT_EQ(second->data, Strings{"2"});
  EXPECT_TRUE(first.expired());
}

TEST_P(DatagramTraffic, AFirehoseDoesNotKeepOthersWaiting) {
  Endpoint a = open();
  Endpoint b = open();
  // Each datagram answers itself twice over; the timer must be heard all the same.
  b.protocol->keep_data = false;
  const std::string text = pattern(64);
  const auto feed = [&](BytesView, const DatagramInfo&) {
    b.transport->sendto(text, b.transport->sockname());
  };
  b.protocol->on_data = feed;
  const std::vector<BytesView> datagrams(40, BytesView(text));
  a.transport->send_each(datagrams, b.transport->sockname());
  int turns = 0;
  bool done = false;
  Function<void()> count;
  const auto again = [&] {
    if (++turns == 100) done = true;
    if (!done) count();
  };
  count = [&] { loop().call_soon(again); };
  count();
  run_until([&] { return done && b.protocol->received > 200; });
  b.transport->abort();
  settle();
}

TEST_P(DatagramTraffic, C0470_CloseSendsWhatIsQueuedAndAbortDropsIt) {
  for (const bool abort : {false, true}) {
    Endpoint a = open();
    Endpoint b = open();
    kernel().block_sends();
    a.transport->sendto("queued", b.transport->sockname());
    a.transport->sendto("as well", b.transport->sockname());
    abort ? a.transport->abort() : a.transport->close();
    a.transport->sendto("too late", b.transport->sockname());
    EXPECT_TRUE(a.transport->is_closing());
    EXPECT_FALSE(a.protocol->lost);
    settle();
    EXPECT_EQ(a.protocol->lost, abort);
    kernel().release_sends();
    run_until([&] { return a.protocol->lost; });
    settle();
    EXPECT_EQ(a.protocol->events, (Strings{"made", "lost:ok"}));
    EXPECT_EQ(b.protocol->data, abort ? Strings{} : (Strings{"queued", "as well"}));
  }
}

TEST_P(DatagramTraffic, AfterTheLossEverythingIsSafeAndDoesNothing) {
  Endpoint a = open();
  const Address name = a.transport->sockname();
  a.transport->close();
  a.transport->close();
  run_until([&] { return a.protocol->lost; });
  DatagramTransport& t = *a.transport;
  t.sendto("x", name);
  t.sendto("x");
  t.send_each(std::vector<BytesView>{"x"}, name);
  t.pause_reading();
  t.resume_reading();
  t.set_write_buffer_limits(10, 5);
  t.join_group(*Address::ip("239.1.2.3", 0));
  t.set_protocol(std::make_shared<RecordingDatagrams>());
  t.abort();
  EXPECT_EQ(t.sockname(), name);
  EXPECT_EQ(t.native_handle(), -1);
  EXPECT_EQ(t.get_protocol(), nullptr);
  EXPECT_TRUE(t.is_closing());
  EXPECT_FALSE(t.is_reading());
}

TEST_P(DatagramTraffic, ClosingTheLoopEndsTheSocket) {
  Endpoint a = open();
  Endpoint b = open();
  b.transport->close();
  close_loop();
  EXPECT_EQ(a.protocol->loss, errc::loop_closed);
  EXPECT_EQ(b.protocol->events.back(), "lost:ok");
  a.transport->sendto("x");
}

TEST_P(DatagramTraffic, CancellingAtAnyMomentLeavesNoSocket) {
  for (int turns = 0; turns < 6; ++turns) {
    auto future = create_datagram_endpoint(
        loop(), [] { return std::make_shared<RecordingDatagrams>(); }, {.local_host = "127.0.0.1"});
    // One callback at a time: also between the socket's being ready and the future's being done.
    int left = turns;
    Function<void()> count;
    const auto next = [&] { count(); };
    count = [&] {
      if (left-- > 0) {
        loop().call_soon(next);
      } else {
        future.cancel();
      }
    };
    count();
    run_until([&] { return future.done(); });
    if (!future.cancelled()) future.result().transport->close();
    settle();
    EXPECT_EQ(loop().stats().transports, 0u) << turns;
  }
}

TEST_P(DatagramTraffic, CancellingTheFutureClosesTheSocket) {
  auto protocol = std::make_shared<RecordingDatagrams>();
  auto future =
      create_datagram_endpoint(loop(), [&] { return protocol; }, {.local_host = "127.0.0.1"});
  future.cancel();
  settle();
  EXPECT_TRUE(future.cancelled());
  EXPECT_TRUE(protocol->events.empty() || protocol->lost);
  EXPECT_EQ(loop().stats().transports, 0u);
}

TEST_P(DatagramTraffic, RunsOfOneSizeKeepTheirBordersAndTheirOrder) {
  // Runs longer than one piece and than one call; ended by a shorter one, a longer one, an empty
  // one, a big one, another peer.
  std::vector<std::size_t> sizes(75, 10);
  constexpr std::size_t kSizes[] = {4, 10, 10, 11, 11, 0, 0, 11, 1452, 1452, 7, 1453, 1453, 10};
  for (const std::size_t size : kSizes) {
    sizes.push_back(size);
  }
  for (const bool segmentation : {true, false}) {
    Endpoint a = open({.local_host = "127.0.0.1", .segmentation = segmentation});
    const Endpoint ends[] = {open({.local_host = "127.0.0.1", .segmentation = segmentation}),
                             open({.local_host = "127.0.0.1", .segmentation = segmentation})};
    std::vector<std::string> expected[2];
    const auto send = [&](std::size_t to, std::size_t size) {
      std::string& text = expected[to].emplace_back(std::to_string(expected[to].size()));
      text.resize(size, 'x');
      a.transport->sendto(text, ends[to].transport->sockname());
    };
    a.protocol->on_data = [&](BytesView, const DatagramInfo&) {
      for (const std::size_t size : sizes) send(0, size);
      for (const std::size_t to : {1u, 0u, 1u, 1u}) send(to, 10);
    };
    ends[0].transport->sendto("go", a.transport->sockname());
    run_until_received(a, 1);
    for (std::size_t to : {0u, 1u}) {
      run_until_received(ends[to], expected[to].size());
      EXPECT_EQ(ends[to].protocol->data, expected[to]);
    }
    EXPECT_TRUE(a.protocol->errors.empty());
    EXPECT_EQ(a.transport->get_write_buffer_size(), 0u);
  }
}

}  // namespace
}  // namespace ferry::test
