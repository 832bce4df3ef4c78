#include "wrap_fixture.h"

#include <ferry/traffic_log.h>

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace ferry::test {
namespace {

std::uint16_t u16(const std::string& text, std::size_t at) {
  std::uint16_t value = 0;
  std::memcpy(&value, text.data() + at, 2);
  return value;
}
std::uint32_t u32(const std::string& text, std::size_t at) {
  std::uint32_t value = 0;
  std::memcpy(&value, text.data() + at, 4);
  return value;
}
/// In network order.
std::uint32_t big(const std::string& text, std::size_t at, int bytes) {
  std::uint32_t value = 0;
  for (int i = 0; i < bytes; ++i) {
    value = value << 8 | static_cast<unsigned char>(text[at + static_cast<std::size_t>(i)]);
  }
  return value;
}

struct LoggedPacket {
  std::uint64_t time;
  std::uint16_t from;  // port
  unsigned flags;
  std::uint32_t sequence;
  std::uint32_t acknowledged;
  std::string payload;
  std::string comment;
};

/// A traffic log, read back; every number of its frame is checked.
struct ReadLog {
  std::vector<LoggedPacket> packets;
  std::uint64_t dropped = 0;
  bool statistics = false;

  explicit ReadLog(const std::string& path) { read_file(path); }

  void read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    std::size_t at = 0;
    for (int number = 0; at < text.size(); ++number) {
      ASSERT_GE(text.size() - at, 12u);
      const std::uint32_t type = u32(text, at);
      const std::uint32_t size = u32(text, at + 4);
      ASSERT_EQ(size % 4, 0u);
      ASSERT_LE(size, text.size() - at);
      ASSERT_EQ(u32(text, at + size - 4), size);
      const std::string body = text.substr(at + 8, size - 12);
      if (number == 0) {
        ASSERT_EQ(type, 0x0A0D0D0Au);
        ASSERT_EQ(u32(body, 0), 0x1A2B3C4Du);
      } else if (number == 1) {
        ASSERT_EQ(type, 1u);
        ASSERT_EQ(u16(body, 0), 101u);
      } else if (type == 5) {
        statistics = true;
        std::memcpy(&dropped, body.data() + 12 + 12 + 4, 8);
      } else {
        ASSERT_EQ(type, 6u);
        read_packet(body);
      }
      at += size;
    }
  }

  void read_packet(const std::string& body) {
    LoggedPacket packet;
    packet.time = std::uint64_t{u32(body, 4)} << 32 | u32(body, 8);
    const std::uint32_t length = u32(body, 12);
    ASSERT_EQ(u32(body, 16), length);
    const std::string ip = body.substr(20, length);
    const bool v6 = static_cast<unsigned char>(ip[0]) >> 4 == 6;
    const std::size_t tcp = v6 ? 40 : 20;
    if (v6) {
      ASSERT_EQ(big(ip, 4, 2) + 40, length);
    } else {
      ASSERT_EQ(big(ip, 2, 2), length);
    }
    packet.from = static_cast<std::uint16_t>(big(ip, tcp, 2));
    packet.sequence = big(ip, tcp + 4, 4);
    packet.acknowledged = big(ip, tcp + 8, 4);
    packet.flags = static_cast<unsigned char>(ip[tcp + 13]);
    packet.payload = ip.substr(tcp + (static_cast<unsigned char>(ip[tcp + 12]) >> 4) * 4u);
    const std::size_t options = 20 + (length + 3) / 4 * 4;
    if (u16(body, options) == 1) packet.comment = body.substr(options + 4, u16(body, options + 2));
    packets.push_back(std::move(packet));
  }

  /// What the port sent.
  std::string sent_by(std::uint16_t port) const {
    std::string all;
    for (const LoggedPacket& packet : packets) {
      if (packet.from == port) all += packet.payload;
    }
    return all;
  }
  /// The flags of all packets, as letters, those with bytes as D: "S SA A D F A".
  std::string story() const {
    std::string told;
    for (const LoggedPacket& packet : packets) {
      if (!told.empty()) told += ' ';
      const auto add = [&](unsigned flag, char letter) {
        if (packet.flags & flag) told += letter;
      };
      if (!packet.payload.empty()) {
        told += 'D';
        continue;
      }
      add(2, 'S');
      add(1, 'F');
      add(4, 'R');
      if (told.empty() || told.back() == ' ' || told.back() == 'S') add(16, 'A');
    }
    return told;
  }
};

class TrafficLogTest : public WrapTest {
 protected:
  const std::string path_ = (std::filesystem::temp_directory_path() /
                             ("ferry-traffic-" + std::to_string(::getpid()) + ".pcapng"))
                                .string();

  void TearDown() override {
    WrapTest::TearDown();
    std::filesystem::remove(path_);
  }
  std::shared_ptr<TrafficLog> open_log(TrafficLogOptions options = {}) {
    if (options.path.empty()) options.path = path_;
    return TrafficLog::open(loop(), std::move(options));
  }
};
INSTANTIATE_WORLDS(TrafficLogTest);

TEST_P(TrafficLogTest, AConversationIsWrittenFromHandshakeToFin) {
  const auto log = open_log();
  const auto near = recording();
  const Link link = open_wrapped(near, log->server());
  const std::uint16_t far_port = near->transport()->peername().port();
  const std::uint16_t near_port = near->transport()->sockname().port();
  link.peer->send("question");
  run_until([&] { return near->bytes() == 8; });
  near->write("answer");
  near->writelines(std::vector<BytesView>{" and", " more"});
  run_until([&] { return link.peer->read().size() == 15; });
  link.peer->shutdown_write();
  run_until_lost(*near);
  wait(log->close());
  EXPECT_FALSE(log->is_open());
  EXPECT_FALSE(log->error());

  const ReadLog read(path_);
  EXPECT_EQ(read.story(), "S SA A D D D D F A F A");
  EXPECT_EQ(read.sent_by(far_port), "question");
  EXPECT_EQ(read.sent_by(near_port), "answer and more");
  EXPECT_EQ(read.packets[0].from, far_port);  // it had connected
  EXPECT_EQ(read.packets[1].acknowledged, read.packets[0].sequence + 1);
  EXPECT_EQ(read.packets[4].acknowledged, read.packets[3].sequence + 8);
  for (std::size_t i = 1; i < read.packets.size(); ++i) {
    EXPECT_GE(read.packets[i].time, read.packets[i - 1].time);
  }
  EXPECT_TRUE(read.statistics);
  EXPECT_EQ(read.dropped, 0u);
  EXPECT_EQ(log->stats().packets, read.packets.size());
  EXPECT_EQ(log->stats().bytes, std::filesystem::file_size(path_));
  EXPECT_EQ(log->stats().connections, 1u);
  using std::filesystem::perms;
  EXPECT_EQ(std::filesystem::status(path_).permissions(), perms::owner_read | perms::owner_write);
}

TEST_P(TrafficLogTest, TimesAreThoseOfTheDay) {
  const auto before = kernel().wall_clock().time_since_epoch();
  const auto log = open_log();
  const auto near = recording();
  const Link link = open_wrapped(near, log->client());
  near->close();
  run_until_lost(*near);
  const auto after = kernel().wall_clock().time_since_epoch();
  wait(log->close());
  const ReadLog read(path_);
  ASSERT_FALSE(read.packets.empty());
  const std::chrono::nanoseconds time(read.packets[0].time);
  EXPECT_GE(time, before);
  EXPECT_LE(time, after);
  EXPECT_EQ(read.packets[0].from, near->transport()->sockname().port());
  EXPECT_EQ(read.story(), "S SA A F A");
}

TEST_P(TrafficLogTest, AnAbortAndAResetAreResets) {
  const auto log = open_log();
  const auto near = recording();
  const Link link = open_wrapped(near, log->server());
  near->abort();
  run_until_lost(*near);
  const auto reset = recording();
  const Link other = open_wrapped(reset, log->server());
  const std::uint16_t far_port = reset->transport()->peername().port();
  other.peer->reset();
  run_until_lost(*reset);
  wait(log->close());
  const ReadLog read(path_);
  EXPECT_EQ(read.story(), "S SA A R S SA A R");
  EXPECT_EQ(read.packets.back().from, far_port);
}

TEST_P(TrafficLogTest, LargeWritesBecomeManyPacketsAndAreAcknowledged) {
  const auto log = open_log();
  const auto near = recording_buffered(100'000);
  const Link link = open_wrapped(near, log->server());
  const std::uint16_t near_port = near->transport()->sockname().port();
  const std::uint16_t far_port = near->transport()->peername().port();
  near->write(pattern(1'000'000));
  link.peer->send(pattern(700'000, 3));
  run_until([&] {
    link.peer->pump();
    return near->bytes() == 700'000 && link.peer->read().size() == 1'000'000;
  });
  near->close();
  run_until_lost(*near);
  wait(log->close());
  const ReadLog read(path_);
  EXPECT_TRUE(read.sent_by(near_port) == pattern(1'000'000));
  EXPECT_TRUE(read.sent_by(far_port) == pattern(700'000, 3));
  std::size_t bare = 0;
  for (const LoggedPacket& packet : read.packets) bare += packet.payload.empty();
  EXPECT_GE(bare, 3u + 3);
}

TEST_P(TrafficLogTest, UnixPeersHaveMadeUpAddressesAndAComment) {
  const auto log = open_log();
  UnixListenOptions options;
  options.path = unused_unix_address().path();
  options.wrap = log->server();
  RecordingFactory<> served;
  auto server = wait(create_unix_server(loop(), served.factory(), options));
  RawPeer peer = raw_dial(server->sockets()[0]);
  peer.write("hello");
  run_until([&] { return served.size() == 1 && served.at(0).bytes() == 5; });
  served.at(0).close();
  run_until([&] { return server->connections() == 0; });
  server->close();
  wait(log->close());
  const ReadLog read(path_);
  EXPECT_EQ(read.story(), "S SA A D F A");
  EXPECT_NE(read.packets[0].comment.find("unix:" + options.path), std::string::npos)
      << read.packets[0].comment;
  EXPECT_EQ(read.sent_by(1024), "hello");
}

TEST_P(TrafficLogTest, Ipv6ConnectionsHaveIpv6Headers) {
  if (!has_ipv6(kernel().inner())) GTEST_SKIP() << "no IPv6 here";
  const auto log = open_log();
  auto [ours, theirs] = stream_pair(kernel().inner(), AF_INET6);
  const auto near = recording();
  wait(connect_accepted_socket(
      loop(), [&]() -> std::shared_ptr<Protocol> { return near; }, ours.release(), log->server()));
  near->write(pattern(77));
  near->close();
  run_until_lost(*near);
  wait(log->close());
  const ReadLog read(path_);
  EXPECT_EQ(read.story(), "S SA A D F A");
  EXPECT_EQ(read.packets[3].payload, pattern(77));
}

TEST_P(TrafficLogTest, TheFileDoesNotGrowBeyondItsLimitAndTheTrafficGoesOn) {
  const auto log = open_log({.max_file_size = 50'000});
  const auto near = recording();
  const Link link = open_wrapped(near, log->server());
  for (int i = 0; i < 10; ++i) near->write(pattern(10'000));
  run_until([&] { return link.peer->read().size() == 100'000; });
  EXPECT_FALSE(log->is_open());
  EXPECT_FALSE(log->error());
  const auto words = take_log();
  ASSERT_EQ(words.size(), 1u);
  EXPECT_NE(words[0].find("has reached its limit"), std::string::npos) << words[0];
  near->close();
  run_until_lost(*near);
  wait(log->close());
  EXPECT_LE(std::filesystem::file_size(path_), 50'000u);
  const ReadLog read(path_);
  EXPECT_EQ(read.packets.size(), 3u + 4);
  EXPECT_GT(read.dropped, 5u);
}

TEST_P(TrafficLogTest, WhatTheBufferDoesNotHoldIsLeftOutAndCounted) {
  const auto log = open_log({.max_buffer = 100'000});
  const auto near = recording();
  const Link link = open_wrapped(near, log->server());
  // All in one callback: nobody can have written anything yet.
  loop().call_soon([&] {
    for (int i = 0; i < 20; ++i) near->write(pattern(10'000));
  });
  run_until([&] { return link.peer->read().size() == 200'000; });
  near->close();
  run_until_lost(*near);
  wait(log->close());
  const ReadLog read(path_);
  EXPECT_GE(read.dropped, 10u);
  EXPECT_LE(read.dropped, 12u);
  EXPECT_EQ(log->stats().dropped, read.dropped);
  EXPECT_EQ(log->stats().packets, read.packets.size());
}

TEST_P(TrafficLogTest, AFullDiskIsReportedOnceAndTheTrafficGoesOn) {
  const auto log = open_log({.path = "/dev/full"});
  const auto near = recording();
  const Link link = open_wrapped(near, log->server());
  run_until([&] {
    near->write("x");
    return static_cast<bool>(log->error());
  });
  EXPECT_EQ(log->error(), std::errc::no_space_on_device);
  EXPECT_FALSE(log->is_open());
  const std::size_t before = link.peer->read().size();
  near->write("on and on");
  run_until([&] { return link.peer->read().size() >= before + 9; });
  EXPECT_EQ(take_log().size(), 1u);
  near->close();
  run_until_lost(*near);
  EXPECT_THROW(wait(log->close()), std::system_error);
}

TEST_P(TrafficLogTest, AFileThatCannotBeOpenedIsRefused) {
  EXPECT_THROW(open_log({.path = "/nowhere/at/all.pcapng"}), std::system_error);
}

TEST_P(TrafficLogTest, WhatWaitsIsWrittenWhenTheLoopClosesAndWhenTheLogGoes) {
  auto log = open_log();
  auto near = recording();
  {
    const Link link = open_wrapped(near, log->server());
    near->write("the last words");
    tick(3);
    link.peer->close();
    log.reset();  // the connection holds it
  }
  run_until_lost(*near);
  EXPECT_EQ(ReadLog(path_).sent_by(near->transport()->sockname().port()), "the last words");

  log = open_log();
  near = recording();
  Link link = open_wrapped(near, log->server());
  near->write("at once");
  tick(3);
  link.peer->close();
  link.transport.reset();
  const std::uint16_t port = near->transport()->sockname().port();
  log.reset();
  close_loop();
  EXPECT_EQ(near->error(), errc::loop_closed);
  EXPECT_EQ(ReadLog(path_).sent_by(port), "at once");
}

}  // namespace
}  // namespace ferry::test
