#include "relay_fixture.h"

#include <algorithm>
#include <utility>

namespace ferry::test {

std::string relay_world_name(const ::testing::TestParamInfo<RelayWorld>& info) {
  const ::testing::TestParamInfo<StreamWorld> stream(info.param.stream, info.index);
  constexpr const char* kNames[] = {"Automatic", "Copying", "Splicing"};
  return stream_world_name(stream) + kNames[static_cast<int>(info.param.splice)];
}

void RelayTest::SetUp() {
  StreamFixture::SetUp();
}

void RelayTest::TearDown() {
  future_ = {};
  a_ = {};
  b_ = {};
  before_a_.reset();
  before_b_.reset();
  StreamFixture::TearDown();
}

void RelayTest::open_both(int buffer) {
  before_a_ = std::make_shared<RecordingProtocol>();
  before_b_ = std::make_shared<RecordingProtocol>();
  a_ = open(before_a_, buffer);
  b_ = open(before_b_, buffer);
}

void RelayTest::join(RelayOptions options) {
  if (options.splice == Splice::automatic) options.splice = GetParam().splice;
  future_ = relay(a_.transport, b_.transport, options);
}

RelayResult RelayTest::finished(Duration limit) {
  run_until([&] { return future_.done(); }, limit);
  EXPECT_EQ(a_.transport->native_handle(), -1);
  EXPECT_EQ(b_.transport->native_handle(), -1);
  EXPECT_EQ(loop().stats().transports, 0u);
  EXPECT_EQ(loop().stats().operations, 0u);
  EXPECT_FALSE(before_a_->lost() || before_b_->lost()) << "the former protocol heard of the end";
  return future_.result();
}

void RelayTest::run_until_hears(FarEnd& end, const std::string& text) {
  run_until([&] { return end.read().size() >= text.size() || end.ended(); }, 30s);
  EXPECT_TRUE(same_bytes(end.received(), text));
}

void RelayTest::run_sending(FarEnd& from, Function<bool()> condition) {
  run_until(
      [&] {
        from.send("");
        return condition();
      },
      60s);
}

std::size_t RelayTest::buffered() const {
  return a_.transport->get_write_buffer_size() + b_.transport->get_write_buffer_size();
}

::testing::AssertionResult same_bytes(BytesView got, BytesView expected) {
  if (got == expected) return ::testing::AssertionSuccess();
  const auto [mine, theirs] =
      std::mismatch(got.begin(), got.end(), expected.begin(), expected.end());
  return ::testing::AssertionFailure() << got.size() << " bytes instead of " << expected.size()
                                       << ", different from byte " << mine - got.begin() << " on";
}

}  // namespace ferry::test
