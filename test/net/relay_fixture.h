#pragma once

#include "stream_fixture.h"

#include <ferry/relay.h>

#include <chrono>
#include <optional>

namespace ferry::test {

using namespace std::chrono_literals;

/// Two far ends, and between them two transports to be joined.
class RelayTest : public StreamTest {
 protected:
  void SetUp() override;
  void TearDown() override;

  /// Makes both connections; `buffer` as in StreamFixture::open.
  void open_both(int buffer = 0);
  /// Joins them.
  void join(RelayOptions options = {});
  /// Runs until the relay is done and both transports are lost.
  RelayResult finished(Duration limit = std::chrono::seconds(60));
  /// Runs until `end` has received `text` in all.
  void run_until_hears(FarEnd& end, const std::string& text);
  /// What waits between `from` and `to` and in the relay, as far as this process sees it.
  std::size_t buffered() const;

  Link a_;
  Link b_;
  std::shared_ptr<RecordingProtocol> before_a_;
  std::shared_ptr<RecordingProtocol> before_b_;
  Future<RelayResult> future_;
};

}  // namespace ferry::test
