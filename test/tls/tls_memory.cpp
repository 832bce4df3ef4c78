// TLS between two protocols that are joined in memory.

#include "test_certificates.h"

#include <ferry/testing/memory_pair.h>
#include <ferry/testing/recording_protocol.h>
#include <ferry/testing/scripted_peer.h>
#include <ferry/tls.h>

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <system_error>
#include <vector>

namespace ferry::test {
namespace {

using testing::MemoryPair;
using testing::MemoryPairOptions;
using testing::RecordingProtocol;
using testing::ScriptedPeer;
using testing::SimLink;

MemoryPairOptions over_tls(const std::string& hostname = "localhost") {
  return {.near_wrap = tls_client(client_context(), {.server_hostname = hostname}),
          .far_wrap = tls_server(server_context())};
}

TEST(TlsMemory, APeerFollowsItsScriptByteByByte) {
  ScriptedPeer peer;
  peer.expect("question").send("answer").expect_eof().close();
  const auto near = std::make_shared<RecordingProtocol>();
  MemoryPairOptions options = over_tls();
  options.link = SimLink{.pieces = SimLink::Pieces::single};
  MemoryPair pair(near, peer.protocol(), std::move(options));
  EXPECT_TRUE(near->made());
  EXPECT_NE(dynamic_cast<TlsTransport*>(&pair.near()), nullptr);
  near->write("question");
  EXPECT_TRUE(pair.run_until([&] { return near->data() == "answer"; }));
  near->close();
  EXPECT_TRUE(pair.run());
  EXPECT_EQ(peer.complaint(), "");
  EXPECT_EQ(near->violations(), std::vector<std::string>());
}

TEST(TlsMemory, AHandshakeThatFailsIsThrown) {
  const auto near = std::make_shared<RecordingProtocol>();
  const auto far = std::make_shared<RecordingProtocol>();
  EXPECT_THROW(MemoryPair(near, far, over_tls("example.org")), std::system_error);
  EXPECT_FALSE(near->made());
}

// Much data both ways while the sockets hold little.
TEST(TlsMemory, ASmallCapacityPausesTheWriter) {
  const auto near = std::make_shared<RecordingProtocol>();
  const auto far = std::make_shared<RecordingProtocol>();
  MemoryPairOptions options = over_tls();
  options.capacity = 1000;
  MemoryPair pair(near, far, std::move(options));
  far->pause_reading();
  const std::string much(1'000'000, 'x');
  near->write(much);
  EXPECT_TRUE(near->writing_paused());
  pair.run_for(std::chrono::seconds(1));
  EXPECT_TRUE(near->writing_paused());
  far->resume_reading();
  EXPECT_TRUE(pair.run_until([&] { return far->bytes() == much.size(); }));
  EXPECT_FALSE(near->writing_paused());
  EXPECT_TRUE(far->data() == much);
}

}  // namespace
}  // namespace ferry::test
