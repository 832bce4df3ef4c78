// TlsOptions::half_close: the end of one direction.
#include "tls_fixture.h"

#include <gtest/gtest.h>

#include <string>

namespace ferry::test {

class TlsHalfClose : public TlsTest {
 protected:
  void SetUp() override {
    TlsTest::SetUp();
    client_options.half_close = server_options.half_close = true;
  }

  /// A protocol that stays after the peer's end.
  static std::shared_ptr<RecordingProtocol> staying() {
    auto protocol = std::make_shared<RecordingProtocol>();
    protocol->keep_open_on_eof = true;
    return protocol;
  }
};
INSTANTIATE_WORLDS(TlsHalfClose);

TEST_P(TlsHalfClose, TheOtherDirectionGoesOnAfterWriteEof) {
  const TlsCouple pair = couple(staying(), staying());
  EXPECT_TRUE(pair.client->transport()->can_write_eof());
  pair.client->write(pattern(1'000'000));
  pair.client->transport()->write_eof();
  run_until([&] { return pair.server->eof(); });
  EXPECT_TRUE(pair.server->data() == pattern(1'000'000));
  pair.server->write(pattern(1'000'000));
  pair.server->transport()->write_eof();
  run_until([&] { return pair.client->eof(); });
  EXPECT_TRUE(pair.client->data() == pattern(1'000'000));
  EXPECT_FALSE(pair.client->lost() || pair.server->lost());
  pair.client->close();
  pair.server->close();
  run_until([&] { return pair.client->lost() && pair.server->lost(); });
  EXPECT_FALSE(pair.client->error());
  EXPECT_FALSE(pair.server->error());
}

TEST_P(TlsHalfClose, WriteEofIsCloseNotifyAndNoFin) {
  TlsLink pair = link(TlsPeer::Side::server, staying());
  pair.near->write("question");
  pair.near->transport()->write_eof();
  pair.near->transport()->write_eof();
  pump_until(*pair.far, [&] { return pair.far->got_close_notify(); });
  EXPECT_EQ(pair.far->data(), "question");
  EXPECT_FALSE(pair.far->socket().eof());
  pair.far->write("answer");
  pair.far->send_close_notify();
  pump_until(*pair.far, [&] { return pair.near->eof(); });
  EXPECT_EQ(pair.near->data(), "answer");
  pair.near->close();
  pump_until(*pair.far, [&] { return pair.near->lost(); });
  EXPECT_FALSE(pair.near->error());
}

TEST_P(TlsHalfClose, AnAnswerThatIsCutShortIsTruncated) {
  TlsLink pair = link(TlsPeer::Side::server, staying());
  pair.near->transport()->write_eof();
  pump_until(*pair.far, [&] { return pair.far->got_close_notify(); });
  pair.far->write("ans");
  pair.far->finish();
  pump_until(*pair.far, [&] { return pair.near->lost(); });
  EXPECT_EQ(pair.near->data(), "ans");
  EXPECT_EQ(pair.near->error(), tls_errc::truncated);
  EXPECT_FALSE(pair.near->eof());
}

TEST_P(TlsHalfClose, AProtocolThatDoesNotStayClosesAtThePeersEnd) {
  TlsLink pair = link(TlsPeer::Side::server);
  pair.far->send_close_notify();
  pump_until(*pair.far, [&] { return pair.near->lost(); });
  EXPECT_EQ(pair.near->summary(), "made eof lost:ok");
  EXPECT_TRUE(pair.far->got_close_notify());
}

TEST_P(TlsHalfClose, WhatComesBehindACloseNotifyIsNotKept) {
  TlsLink pair = link(TlsPeer::Side::server, staying());
  pair.far->send_close_notify();
  pump_until(*pair.far, [&] { return pair.near->eof(); });
  pair.far->send_raw(std::string(100'000, 'x'));
  pair.near->write("still here");
  pump_until(*pair.far, [&] { return pair.far->data() == "still here"; });
  EXPECT_EQ(pair.near->bytes(), 0u);
  pair.near->close();
  pump_until(*pair.far, [&] { return pair.near->lost(); });
}

TEST_P(TlsHalfClose, ToWriteAfterwardsIsMisuse) {
  const TlsCouple pair = couple(staying(), staying());
  pair.client->transport()->write_eof();
  EXPECT_THROW(pair.client->write("more"), std::logic_error);
  pair.client->close();
  pair.client->write("dropped");
  run_until([&] { return pair.server->eof(); });
  pair.server->close();
  run_until([&] { return pair.client->lost() && pair.server->lost(); });
  EXPECT_EQ(pair.server->bytes(), 0u);
}

}  // namespace ferry::test
