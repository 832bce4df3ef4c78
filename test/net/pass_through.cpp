#include "wrap_fixture.h"

#include <ferry/pass_through.h>
#include <ferry/wraps.h>

#include <string>
#include <utility>

namespace ferry::test {
namespace {

/// Counts what passes.
class Counting final : public PassThrough {
 public:
  explicit Counting(std::shared_ptr<Protocol> above) : PassThrough(std::move(above)) {}
  std::size_t received = 0;
  std::size_t written = 0;

  void write(BytesView data) override {
    written += data.size();
    PassThrough::write(data);
  }

 private:
  void on_received(BytesView data) override { received += data.size(); }
};

class PassThroughTest : public WrapTest {
 protected:
  std::shared_ptr<Counting> layer_;

  ProtocolWrap counting() {
    return [this](std::shared_ptr<Protocol> protocol) {
      return layer_ = std::make_shared<Counting>(std::move(protocol));
    };
  }
  void TearDown() override {
    layer_.reset();
    WrapTest::TearDown();
  }
};
INSTANTIATE_WORLDS(PassThroughTest);

TEST_P(PassThroughTest, SeesWhatPassesInBothDirections) {
  const auto near = recording();
  const Link link = open_wrapped(near, counting());
  EXPECT_EQ(link.transport, near->transport());
  EXPECT_EQ(link.transport.get(), layer_.get());
  link.peer->send("12345");
  near->write("123");
  run_until([&] { return near->bytes() == 5 && link.peer->read().size() == 3; });
  EXPECT_EQ(layer_->received, 5u);
  EXPECT_EQ(layer_->written, 3u);
  near->close();
  run_until_lost(*near);
}

TEST_P(PassThroughTest, LendsTheBufferOfTheProtocolAbove) {
  const auto near = recording_buffered(64);
  const Link link = open_wrapped(near, counting());
  link.peer->send(pattern(1000));
  run_until([&] { return near->bytes() == 1000; });
  EXPECT_EQ(near->data(), pattern(1000));
  EXPECT_EQ(layer_->received, 1000u);
  EXPECT_FALSE(near->hints().empty()) << "it was not asked for its buffer";
  near->close();
  run_until_lost(*near);
}

TEST_P(PassThroughTest, TellsWhatTheTransportBelowTells) {
  const auto near = recording();
  const Link link = open_wrapped(near, counting());
  Transport& transport = *near->transport();
  EXPECT_EQ(transport.peername(), link.peer->local_address());
  EXPECT_TRUE(transport.sockname().is_ip());
  EXPECT_EQ(transport.native_handle() >= 0, true);
  EXPECT_EQ(&transport.loop(), &loop());
  EXPECT_EQ(transport.get_protocol(), near);
  EXPECT_TRUE(transport.is_reading());
  EXPECT_TRUE(transport.can_write_eof());
  transport.set_write_buffer_limits(1000, 10);
  EXPECT_EQ(transport.get_write_buffer_limits().high, 1000u);
  link.peer->reset();
  run_until_lost(*near);
  EXPECT_EQ(near->error(), std::errc::connection_reset);
  EXPECT_EQ(transport.error().code, std::errc::connection_reset);
  EXPECT_STREQ(transport.error().operation, "recv");
  EXPECT_EQ(transport.get_protocol(), nullptr);
  EXPECT_TRUE(transport.is_closing());
  transport.write("too late");
  transport.pause_reading();
  transport.resume_reading();
  transport.close();
  transport.abort();
  EXPECT_FALSE(transport.is_reading());
}

TEST_P(PassThroughTest, TheProtocolAboveMayBeReplacedInItsCallback) {
  const auto first = recording();
  const auto second = recording_buffered(10);
  const auto third = recording();
  const Link link = open_wrapped(first, counting());
  const auto transport = first->transport();
  second->checker().adopt();
  third->checker().adopt();
  first->on_data = [&](BytesView) { transport->set_protocol(second); };
  link.peer->send("first");
  run_until([&] { return first->bytes() == 5; });
  // A buffer is asked for and its owner replaced by a protocol that has none.
  second->on_get_buffer = [&](std::size_t) {
    transport->set_protocol(third);
    static std::byte unused[8];
    return MutableBytes(unused);
  };
  link.peer->send("third");
  run_until([&] { return third->bytes() == 5; });
  EXPECT_EQ(first->data() + second->data() + third->data(), "firstthird");
  transport->close();
  run_until_lost(*third);
  expect_replaced(*first);
  expect_replaced(*second);
}

TEST_P(PassThroughTest, AnExceptionOutOfGetBufferEndsTheConnectionOnce) {
  const auto near = recording_buffered(10);
  near->on_get_buffer = [](std::size_t) -> MutableBytes { throw std::runtime_error("no room"); };
  const Link link = open_wrapped(near, counting());
  link.peer->send("x");
  run_until_lost(*near);
  EXPECT_EQ(near->error(), errc::protocol_failed);
  EXPECT_EQ(take_exceptions().size(), 1u);
}

TEST_P(PassThroughTest, AbortInACallbackThatThrowsIsAnAbort) {
  const auto near = recording();
  near->on_data = [&](BytesView) {
    near->abort();
    throw std::runtime_error("after all");
  };
  const Link link = open_wrapped(near, counting());
  link.peer->send("x");
  run_until_lost(*near);
  EXPECT_FALSE(near->error());
  EXPECT_EQ(take_exceptions().size(), 1u);
}

TEST_P(PassThroughTest, AServerClosesItsClientsFromTheTop) {
  RecordingFactory<> served;
  ListenOptions options = on_loopback();
  // The flush at its rate shows that it was the upper transport's close.
  options.wrap = stacked({counting(), idle_limit(1h), rate_limit({.write = {100'000, 1'000}})});
  const auto server = serve(served.factory(), options);
  RawPeer peer = raw_dial(server->sockets()[0]);
  run_until([&] { return served.size() == 1 && served.at(0).made(); });
  served.at(0).write(pattern(20'000));
  server->close_clients();
  run_until_eof(peer);
  EXPECT_TRUE(peer.received() == pattern(20'000));
  run_until([&] { return served.at(0).lost(); });
  EXPECT_FALSE(served.at(0).error());
  server->close();
}

TEST_P(PassThroughTest, CloseClientsReachesAConnectionThatWasAcceptedJustNow) {
  RecordingFactory<> served;
  ListenOptions options = on_loopback();
  options.wrap = counting();
  const auto server = serve(served.factory(), options);
  bool closed = false;
  // Runs between the accept and connection_made.
  served.prepare = [&](RecordingProtocol& protocol) {
    loop().call_soon([&] {
      EXPECT_FALSE(protocol.made());
      server->close_clients();
      closed = true;
    });
  };
  RawPeer peer = raw_dial(server->sockets()[0]);
  run_until_eof(peer);
  EXPECT_TRUE(closed);
  run_until([&] { return server->connections() == 0; });
  EXPECT_EQ(served.at(0).summary(), "made lost:ok");
  server->close();
}

TEST_P(PassThroughTest, ADozenLayersAreAsGoodAsNone) {
  ListenOptions options = on_loopback();
  options.wrap = stacked(std::vector<ProtocolWrap>(12, idle_limit(1h)));
  const auto server = serve(echo_factory(), options);
  ConnectOptions connect = to(server->sockets()[0]);
  connect.wrap = stacked({idle_limit(1h), nullptr, rate_limit({}), counting()});
  const auto near = recording();
  const auto made = wait(create_connection(
      loop(), [&]() -> std::shared_ptr<Protocol> { return near; }, connect));
  EXPECT_EQ(made.transport, near->transport());
  near->write(pattern(500'000));
  run_until([&] { return near->bytes() == 500'000; });
  EXPECT_TRUE(near->data() == pattern(500'000));
  near->write_eof();
  run_until_lost(*near);
  EXPECT_FALSE(near->error());
  run_until([&] { return server->connections() == 0; });
  server->close();
}

}  // namespace
}  // namespace ferry::test
