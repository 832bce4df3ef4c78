// sendfile over TLS: by reading, since the bytes must be encrypted.
#include "tls_fixture.h"

#include <ferry/sendfile.h>

#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdio>
#include <stdexcept>
#include <string>

namespace ferry::test {

class TlsSendfile : public TlsTest {
 protected:
  void SetUp() override {
    TlsTest::SetUp();
    file_ = std::tmpfile();
    ASSERT_EQ(std::fwrite(text_.data(), 1, text_.size(), file_), text_.size());
    std::fflush(file_);
    std::rewind(file_);
  }
  void TearDown() override {
    std::fclose(file_);
    TlsTest::TearDown();
  }
  int file() const { return ::fileno(file_); }
  /// So long that no socket's buffer holds it; the rest is zeros.
  void lengthen() { ASSERT_EQ(::ftruncate(file(), 40'000'000), 0); }
  std::uint64_t position() const {
    return static_cast<std::uint64_t>(::lseek(file(), 0, SEEK_CUR));
  }

  const std::string text_ = pattern(3'000'000);
  std::FILE* file_ = nullptr;
};
INSTANTIATE_TEST_SUITE_P(Asio, TlsSendfile, ::testing::Values(World::asio), world_name);

TEST_P(TlsSendfile, C0604_AWholeFile) {
  const TlsCouple pair = couple();
  pair.server->write("head");
  const auto sent = sendfile(pair.server->transport(), file());
  EXPECT_THROW(static_cast<void>(sendfile(pair.server->transport(), file())), std::logic_error);
  EXPECT_EQ(wait(sent, 60s), text_.size());
  EXPECT_EQ(position(), text_.size());
  pair.server->close();
  run_until_lost(*pair.client);
  EXPECT_TRUE(pair.client->data() == "head" + text_);
}

TEST_P(TlsSendfile, C0604_APartWithBackPressure) {
  const TlsCouple pair = couple();
  pair.client->pause_reading();
  const auto sent = sendfile(pair.server->transport(), file(), 10, 2'900'000);
  settle();
  EXPECT_LE(pair.server->transport()->get_write_buffer_size(), 1'000'000u);
  pair.client->resume_reading();
  EXPECT_EQ(wait(sent, 60s), 2'900'000u);
  EXPECT_EQ(position(), 2'900'010u);
  run_until([&] { return pair.client->bytes() == 2'900'000; });
  EXPECT_TRUE(pair.client->data() == text_.substr(10, 2'900'000));
}

TEST_P(TlsSendfile, C0605_NoFallbackUnlessWanted) {
  const TlsCouple pair = couple();
  EXPECT_EQ(failure(sendfile(pair.server->transport(), file(), 0, {}, false)).code(),
            std::errc::operation_not_supported);
  settle();
  EXPECT_EQ(pair.client->bytes(), 0u);
  EXPECT_TRUE(pair.server->transport()->is_reading());
}

TEST_P(TlsSendfile, C0608_ThePeerGoesInTheMiddle) {
  lengthen();
  const TlsCouple pair = couple();
  pair.client->pause_reading();
  const auto sent = sendfile(pair.server->transport(), file());
  settle();
  pair.client->abort();
  EXPECT_TRUE(static_cast<bool>(failure(sent).code()));
  run_until_lost(*pair.server);
  EXPECT_LT(position(), 40'000'000u);
}

TEST_P(TlsSendfile, CancellingLeavesTheConnectionOpen) {
  lengthen();
  const TlsCouple pair = couple();
  pair.client->pause_reading();
  const auto sent = sendfile(pair.server->transport(), file());
  settle();
  EXPECT_TRUE(sent.cancel());
  const std::uint64_t taken = position();
  pair.server->write("after");
  pair.client->resume_reading();
  run_until([&] { return pair.client->bytes() == taken + 5; });
  std::string expected = text_;
  expected.resize(taken);
  EXPECT_TRUE(pair.client->data() == expected + "after");
  run_until([&] { return pair.server->transport()->get_protocol() == pair.server; });
}

}  // namespace ferry::test
