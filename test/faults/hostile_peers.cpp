// Peers that reset, never read, dribble, or say everything at once.
#include "fault_fixture.h"

#include <ferry/testing/recording_protocol.h>

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace ferry::test {

using namespace std::chrono_literals;
using ferry::testing::RecordingFactory;

class HostilePeers : public FaultTest {};

TEST_F(HostilePeers, C0445_ARealResetIsAnErrorAndNoEof) {
  RecordingFactory<> made;
  auto server = serve(made.factory());
  BlockingClient client(server->port());
  client.send("hello");
  run_until([&] { return made.size() == 1 && made.at(0).bytes() == 5; });
  client.reset();
  run_until_lost(made.at(0));
  EXPECT_EQ(made.at(0).error(), std::errc::connection_reset);
  EXPECT_FALSE(made.at(0).eof());
  EXPECT_EQ(made.violations(), std::vector<std::string>());
  server->close();
}

TEST_F(HostilePeers, C0445_AResetBeforeTheLoopLooksIsOneEnd) {
  RecordingFactory<> made;
  auto server = serve(made.factory());
  for (int i = 0; i < 20; ++i) {
    BlockingClient client(server->port());
    client.send("hello");
    client.reset();
  }
  run_until([&] {
    if (made.size() < 20) return false;
    for (const auto& protocol : made.all()) {
      if (!protocol->lost()) return false;
    }
    return true;
  });
  for (const auto& protocol : made.all()) {
    EXPECT_EQ(protocol->error(), std::errc::connection_reset) << protocol->summary();
  }
  EXPECT_EQ(made.violations(), std::vector<std::string>());
  server->close();
}

TEST_F(HostilePeers, AResetInTheMiddleOfAFlushEndsTheFlush) {
  auto probe = recording();
  Link link = open(probe);
  probe->write(pattern(20'000'000));
  ASSERT_GT(link.transport->get_write_buffer_size(), 0u);
  probe->close();
  link.peer->reset();
  run_until_lost(*probe);
  EXPECT_TRUE(probe->error());
  EXPECT_EQ(link.transport->get_write_buffer_size(), 0u);
}

TEST_F(HostilePeers, WithAHardLimitPeersThatNeverReadCostBoundedMemory) {
  constexpr std::size_t limit = 256 * 1024;
  std::vector<std::shared_ptr<RecordingProtocol>> probes;
  std::vector<Link> links;
  for (int i = 0; i < 20; ++i) {
    probes.push_back(recording());
    links.push_back(open(probes.back(), 8192));
    links.back().transport->set_write_hard_limit(limit);
  }
  std::size_t most = 0;
  std::size_t written = 0;
  // A server that takes no notice of pause_writing.
  run_until(
      [&] {
        bool all_lost = true;
        for (const auto& probe : probes) {
          if (probe->lost()) continue;
          all_lost = false;
          probe->write(pattern(50'000));
          written += 50'000;
          most = std::max(most, probe->transport()->get_write_buffer_size());
        }
        return all_lost;
      },
      60s);
  EXPECT_LE(most, limit);
  EXPECT_GT(written, 20 * limit);
  for (const auto& probe : probes) EXPECT_EQ(probe->error(), errc::write_overflow);
  take_log();
}

TEST_F(HostilePeers, AStreamOfSingleBytesIsEchoedWhole) {
  const std::string bytes = pattern(64 * 1024);
  auto server = serve([] { return std::make_shared<Echo>(); });
  std::string echoed;
  bool done = false;
  std::thread client([&, port = server->port(), mailbox = loop().mailbox()]() mutable {
    BlockingClient socket(port);
    for (std::size_t i = 0; i < bytes.size(); ++i) socket.send(BytesView(bytes).drop(i).first(1));
    socket.shutdown_write();
    std::string got = socket.receive(bytes.size() + 1);
    mailbox.post([&, got = std::move(got)]() mutable {
      echoed = std::move(got);
      done = true;
    });
  });
  run_until([&] { return done; }, 120s);
  client.join();
  EXPECT_TRUE(echoed == bytes);
  server->close();
  run_until([&] { return loop().stats().transports == 0; });
}

/// Both kinds of stream socket.
class Burst : public FaultTest, public ::testing::WithParamInterface<Wire> {
 protected:
  Wire wire() const override { return GetParam(); }
};
INSTANTIATE_TEST_SUITE_P(Wires, Burst, ::testing::Values(Wire::tcp, Wire::unix_socket),
                         [](const auto& wire) {
                           return std::string(wire.param == Wire::tcp ? "Tcp" : "Unix");
                         });

TEST_P(Burst, DataAndFinBeforeTheLoopLooksAreBothSeen) {
  for (const std::size_t size : {1u, 1000u, 60'000u}) {
    auto probe = recording();
    Link link = open(probe);
    link.peer->send(pattern(size));
    ASSERT_EQ(link.peer->unsent(), 0u);
    link.peer->close();
    run_until_lost(*probe);
    EXPECT_TRUE(probe->data() == pattern(size));
    EXPECT_EQ(probe->summary(), "made data:" + std::to_string(size) + " eof lost:ok");
  }
}

TEST_P(Burst, DataAndHalfCloseBeforeTheLoopLooksAreBothSeenAndAnswered) {
  auto probe = recording();
  probe->on_eof = [&] { probe->write("answer"); };
  Link link = open(probe);
  link.peer->send("question");
  link.peer->shutdown_write();
  run_until_ended(*link.peer);
  EXPECT_EQ(link.peer->received(), "answer");
  EXPECT_EQ(link.peer->error(), std::error_code());
  run_until_lost(*probe);
  EXPECT_EQ(probe->summary(), "made data:8 eof lost:ok");
}

TEST_P(Burst, FinRightBehindAnEarlierReadIsSeen) {
  // The FIN arrives while the loop is between its read and its next look.
  auto probe = recording();
  Link link = open(probe);
  probe->on_data = [&](BytesView) { link.peer->close(); };
  link.peer->send("data");
  run_until_lost(*probe);
  EXPECT_EQ(probe->summary(), "made data:4 eof lost:ok");
}

TEST_P(Burst, DataAndFinSentFromInsideTheDataCallbackAreSeen) {
  auto probe = recording();
  Link link = open(probe);
  probe->on_data = [&](BytesView) {
    if (link.peer->fd() < 0) return;
    link.peer->send(" and the rest");
    link.peer->close();
  };
  link.peer->send("data");
  run_until_lost(*probe);
  EXPECT_EQ(probe->data(), "data and the rest");
  EXPECT_TRUE(probe->eof());
}

TEST_P(Burst, ClosingWithUnreadBytesStillDeliversWhatWasWritten) {
  // To close a socket with unread bytes is to reset, which could destroy the answer on its way.
  auto probe = recording();
  const std::string answer = pattern(30'000);
  Link link = open(probe);
  probe->on_data = [&](BytesView) {
    link.peer->send("more that nobody reads");
    probe->write(answer);
    probe->close();
  };
  link.peer->send("question");
  run_until_lost(*probe);
  run_until_ended(*link.peer);
  EXPECT_TRUE(link.peer->received() == answer);
  EXPECT_TRUE(link.peer->eof());
}

}  // namespace ferry::test
