#pragma once

#include "stream_fixture.h"

#include <ferry/pipe_pool.h>
#include <ferry/relay.h>

#include <chrono>
#include <optional>

namespace ferry::test {

using namespace std::chrono_literals;

/// What the relay suites are run with: every stream world, copying and splicing.
struct RelayWorld {
  StreamWorld stream;
  Splice splice;
};
inline constexpr RelayWorld kRelayWorlds[] = {{{World::asio, Wire::tcp}, Splice::never},
                                              {{World::asio, Wire::tcp}, Splice::always},
                                              {{World::asio, Wire::unix_socket}, Splice::never},
                                              {{World::asio, Wire::unix_socket}, Splice::always},
                                              {{World::sim, Wire::tcp}, Splice::never},
                                              {{World::sim, Wire::tcp}, Splice::always},
                                              {{World::sim, Wire::unix_socket}, Splice::never},
                                              {{World::sim, Wire::unix_socket}, Splice::always}};
std::string relay_world_name(const ::testing::TestParamInfo<RelayWorld>& info);

/// Two far ends, and between them two transports to be joined.
class RelayTest : public StreamFixture, public ::testing::WithParamInterface<RelayWorld> {
 protected:
  World world() const override { return GetParam().stream.world; }
  Wire wire() const override { return GetParam().stream.wire; }
  bool spliced() const { return GetParam().splice == Splice::always; }

  void SetUp() override;
  void TearDown() override;

  /// Makes both connections; `buffer` as in StreamFixture::open.
  void open_both(int buffer = 0);
  /// Joins them; `options` without a word on splicing get the suite's.
  void join(RelayOptions options = {});
  /// Runs until the relay is done and both transports are lost.
  RelayResult finished(Duration limit = std::chrono::seconds(60));
  /// Runs until `end` has received `text` in all.
  void run_until_hears(FarEnd& end, const std::string& text);
  /// Runs until `condition` holds, while `from` goes on sending what it was given.
  void run_sending(FarEnd& from, Function<bool()> condition);
  /// What waits in both transports to be sent.
  std::size_t buffered() const;

  Link a_;
  Link b_;
  std::shared_ptr<RecordingProtocol> before_a_;
  std::shared_ptr<RecordingProtocol> before_b_;
  Future<RelayResult> future_;
};

/// Like EXPECT_EQ on long texts, but tells only where they part.
::testing::AssertionResult same_bytes(BytesView got, BytesView expected);

}  // namespace ferry::test
