// What outlives what: the loop, the transport, the protocol.
#include "stream_fixture.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace ferry::test {

class LifetimeLoop : public StreamTest {
 protected:
  /// Every method of a transport that was lost.
  static void expect_inert(Transport& transport) {
    const Address sockname = transport.sockname();
    const Address peername = transport.peername();
    const std::error_code error = transport.error().code;
    EXPECT_NO_THROW(transport.write("x"));
    EXPECT_NO_THROW(transport.writelines({"x", "y"}));
    EXPECT_NO_THROW(transport.write_eof());
    EXPECT_NO_THROW(transport.write("after write_eof"));
    EXPECT_NO_THROW(transport.close());
    EXPECT_NO_THROW(transport.abort());
    EXPECT_NO_THROW(transport.pause_reading());
    EXPECT_NO_THROW(transport.resume_reading());
    EXPECT_NO_THROW(transport.set_write_buffer_limits(0));
    EXPECT_NO_THROW(transport.set_write_buffer_limits(10, 5));
    EXPECT_NO_THROW(transport.set_write_hard_limit(1));
    EXPECT_NO_THROW(transport.set_protocol(std::make_shared<Protocol>()));
    EXPECT_NO_THROW(transport.get_protocol());
    EXPECT_NO_THROW(transport.can_write_eof());
    EXPECT_TRUE(transport.is_closing());
    EXPECT_FALSE(transport.is_reading());
    EXPECT_EQ(transport.get_write_buffer_size(), 0u);
    EXPECT_EQ(transport.native_handle(), -1);
    EXPECT_EQ(transport.sockname(), sockname);
    EXPECT_EQ(transport.peername(), peername);
    EXPECT_EQ(transport.error().code, error);
  }
};
INSTANTIATE_TEST_SUITE_P(Worlds, LifetimeLoop, ::testing::ValuesIn(kStreamWorlds),
                         stream_world_name);

TEST_P(LifetimeLoop, ClosingTheLoopDeliversConnectionLostToAllThatIsOpen) {
  std::vector<std::shared_ptr<RecordingProtocol>> probes;
  std::vector<Link> links;
  for (int i = 0; i < 5; ++i) {
    probes.push_back(recording());
    links.push_back(open(probes.back()));
  }
  kernel().block_sends();
  probes[1]->write(pattern(200'000));  // with a backlog, and paused
  probes[2]->pause_reading();
  links[2].peer->send("never read");
  probes[3]->write_eof();
  probes[4]->write("in a flush");
  probes[4]->close();
  loop().close();
  for (const auto& probe : probes) {
    EXPECT_TRUE(probe->lost());
    EXPECT_EQ(probe->checker().final_violations(), std::vector<std::string>());
  }
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(probes[i]->error(), errc::loop_closed) << i;
  EXPECT_EQ(loop().stats().transports, 0u);
}

TEST_P(LifetimeLoop, DestroyingTheLoopDoesTheSame) {
  auto probe = recording();
  {
    Link link = open(probe);
    link.peer->close();
  }
  close_loop();
  EXPECT_TRUE(probe->lost());
}

TEST_P(LifetimeLoop, AConnectionThatWasNotMadeYetHearsNothingOrBoth) {
  auto probe = recording();
  ConnectedSockets sockets = connect_sockets();
  {
    auto connected = connect_accepted_socket(
        loop(), [probe] { return probe; }, sockets.near);
    sockets.far->close();
  }
  close_loop();
  EXPECT_EQ(probe->made(), probe->lost()) << probe->summary();
}

TEST_P(LifetimeLoop, ConnectionLostDuringTheCloseMayTouchOtherConnections) {
  auto one = recording();
  auto two = recording();
  Link first = open(one);
  Link second = open(two);
  one->on_lost = [&](std::error_code) {
    two->write("goodbye");
    two->abort();
    one->close();
  };
  two->on_lost = [&](std::error_code) {
    one->write("goodbye");
    one->abort();
    two->close();
  };
  loop().close();
  EXPECT_TRUE(one->lost());
  EXPECT_TRUE(two->lost());
}

TEST_P(LifetimeLoop, AThrowingConnectionLostDoesNotStopTheCloseOfTheLoop) {
  std::vector<std::shared_ptr<RecordingProtocol>> probes;
  std::vector<Link> links;
  for (int i = 0; i < 3; ++i) {
    probes.push_back(recording());
    probes.back()->on_lost = [](std::error_code) { throw std::runtime_error("no"); };
    links.push_back(open(probes.back()));
  }
  loop().close();
  for (const auto& probe : probes) EXPECT_TRUE(probe->lost());
  EXPECT_EQ(take_exceptions().size(), 3u);
}

TEST_P(LifetimeLoop, AKeptTransportIsInertAfterTheLoss) {
  auto probe = recording();
  Link link = open(probe);
  link.peer->close();
  run_until_lost(*probe);
  tick();
  expect_inert(*link.transport);
  tick();
  EXPECT_EQ(probe->summary(), "made eof lost:ok");
  take_log();
}

TEST_P(LifetimeLoop, AKeptTransportIsInertAfterItsLoopIsGone) {
  auto probe = recording();
  std::shared_ptr<Transport> kept;
  {
    Link link = open(probe);
    kept = link.transport;
  }
  close_loop();
  expect_inert(*kept);
}

TEST_P(LifetimeLoop, TheTransportLetsGoOfItsProtocolAfterTheLoss) {
  std::weak_ptr<Protocol> protocol;
  std::shared_ptr<Transport> kept;
  {
    auto made = std::make_shared<Protocol>();
    protocol = made;
    Link link = open(std::move(made));
    kept = link.transport;
    EXPECT_FALSE(protocol.expired());
  }
  kept->close();
  tick();
  EXPECT_TRUE(protocol.expired());
  EXPECT_EQ(kept->get_protocol(), nullptr);
}

TEST_P(LifetimeLoop, TheLoopAloneKeepsAConnectionAlive) {
  struct Counting final : Protocol {
    explicit Counting(std::size_t& counter) : bytes(counter) {}
    void data_received(BytesView data) override { bytes += data.size(); }
    std::size_t& bytes;  // the test's
  };
  std::size_t bytes = 0;
  std::weak_ptr<Transport> transport;
  std::shared_ptr<FarEnd> peer;
  {
    Link link = open(std::make_shared<Counting>(bytes));
    transport = link.transport;
    peer = link.peer;
  }
  EXPECT_FALSE(transport.expired());
  peer->send("12345");
  run_until([&] { return bytes == 5; });
  peer->close();
  run_until([&] { return transport.expired(); });
}

TEST_P(LifetimeLoop, AProtocolKeptByTheCallerSurvives) {
  auto probe = recording();
  {
    Link link = open(probe);
    link.peer->send("kept");
    run_until([&] { return probe->bytes() == 4; });
    link.peer->close();
    run_until_lost(*probe);
  }
  tick();
  EXPECT_EQ(probe->data(), "kept");
  EXPECT_EQ(probe.use_count(), 2) << "this test and its fixture";
}

TEST_P(LifetimeLoop, OneProtocolMayServeTwoConnectionsInTurn) {
  struct Reused final : Protocol {
    void connection_made(std::shared_ptr<Transport>) override { ++made; }
    void connection_lost(std::error_code) override { ++lost; }
    int made = 0;
    int lost = 0;
  };
  auto reused = std::make_shared<Reused>();
  for (int i = 1; i <= 2; ++i) {
    Link link = open(reused);
    EXPECT_EQ(reused->made, i);
    link.peer->close();
    run_until([&] { return reused->lost == i; });
  }
}

}  // namespace ferry::test
