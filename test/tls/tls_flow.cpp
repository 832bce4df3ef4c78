// Data both ways and back-pressure both ways.
#include "tls_fixture.h"

#include <gtest/gtest.h>

#include <malloc.h>

#include <algorithm>
#include <string>
#include <vector>

namespace ferry::test {

class TlsFlow : public TlsTest {};
INSTANTIATE_WORLDS(TlsFlow);

TEST_P(TlsFlow, EverySizeArrivesWhole) {
  const TlsCouple pair = couple();
  std::size_t total = 0;
  for (const std::size_t size : {1u, 2u, 100u, 16383u, 16384u, 16385u, 65536u, 65537u, 300'000u}) {
    pair.client->write(pattern(size, total));
    total += size;
    run_until([&] { return pair.server->bytes() == total; });
    pair.server->write(pattern(size, total - size));
    run_until([&] { return pair.client->bytes() == total; });
  }
  EXPECT_TRUE(pair.server->data() == pattern(total));
  EXPECT_TRUE(pair.client->data() == pattern(total));
}

TEST_P(TlsFlow, WritesInsideACallbackGoOutInOrder) {
  const TlsCouple pair = couple();
  std::string expected;
  pair.server->on_data = [&](BytesView) {
    for (std::size_t i = 0; i < 200; ++i) {
      const std::string piece = pattern(i * i % 20'000, expected.size());
      pair.server->write(piece);
      expected += piece;
    }
    const BytesView pieces[] = {"the", "", " end"};
    pair.server->writelines(pieces);
    expected += "the end";
  };
  pair.client->write("go");
  run_until([&] { return !expected.empty() && pair.client->bytes() == expected.size(); });
  EXPECT_TRUE(pair.client->data() == expected);
}

TEST_P(TlsFlow, C0530_PauseComesAtHighAndResumeAtLow) {
  TlsLink pair = link(TlsPeer::Side::server);
  Transport& transport = *pair.near->transport();
  EXPECT_EQ(transport.get_write_buffer_limits().high, 512u * 1024);
  EXPECT_EQ(transport.get_write_buffer_limits().low, 128u * 1024);
  while (transport.get_write_buffer_size() == 0) pair.near->write(pattern(10'000));
  pair.near->write(pattern(512 * 1024 - 1 - transport.get_write_buffer_size()));
  EXPECT_EQ(transport.get_write_buffer_size(), 512u * 1024 - 1);
  EXPECT_FALSE(pair.near->writing_paused());
  pair.near->write("+");
  EXPECT_TRUE(pair.near->writing_paused());
  pump_until(*pair.far, [&] { return !pair.near->writing_paused(); });
  EXPECT_LE(transport.get_write_buffer_size(), 128u * 1024);

  transport.set_write_buffer_limits(1000);
  EXPECT_EQ(transport.get_write_buffer_limits().low, 250u);
  pump_until(*pair.far, [&] {
    return transport.get_write_buffer_size() == 0 && !pair.near->writing_paused();
  });
  transport.set_write_buffer_limits();
  EXPECT_EQ(transport.get_write_buffer_limits().high, 512u * 1024);
  EXPECT_THROW(transport.set_write_buffer_limits(1, 2), std::invalid_argument);
}

TEST_P(TlsFlow, C0530_TheBufferEndsEmptyAndEveryByteArrives) {
  TlsLink pair = link(TlsPeer::Side::server);
  std::size_t written = 0;
  pump_until(
      *pair.far,
      [&] {
        while (!pair.near->writing_paused() && written < 5'000'000) {
          pair.near->write(pattern(7777, written));
          written += 7777;
        }
        return written >= 5'000'000 && pair.far->data().size() == written;
      },
      120s);
  EXPECT_TRUE(pair.far->data() == pattern(written));
  EXPECT_EQ(pair.near->transport()->get_write_buffer_size(), 0u);
  EXPECT_FALSE(pair.near->writing_paused());
}

TEST_P(TlsFlow, WritingInResumeWritingStarvesNobody) {
  const TlsCouple pair = couple();
  std::size_t written = 0;
  pair.client->on_resume = [&] {
    while (!pair.client->writing_paused() && written < 8'000'000) {
      pair.client->write(pattern(50'000, written));
      written += 50'000;
    }
  };
  pair.client->on_resume();
  run_until([&] { return written >= 8'000'000 && pair.server->bytes() == written; }, 60s);
  EXPECT_TRUE(pair.server->data() == pattern(written));
}

TEST_P(TlsFlow, ReadingStopsDownToThePeer) {
  constexpr std::size_t kSize = 30'000'000;
  TlsLink pair = link(TlsPeer::Side::server);
  pair.near->keep_data = false;
  pair.near->pause_reading();
  EXPECT_FALSE(pair.near->transport()->is_reading());
  const std::string piece = pattern(100'000);
  for (std::size_t size = 0; size < kSize; size += piece.size()) pair.far->write(piece);
  // Until nothing moves any more: the kernel's buffers are full, and nothing is hoarded above them.
  std::size_t before = 0;
  do {
    before = pair.far->taken();
    for (int i = 0; i < 50; ++i) {
      pair.far->pump();
      run_for(1ms);
    }
  } while (pair.far->taken() > before);
  EXPECT_LT(before, kSize);
  EXPECT_EQ(pair.near->bytes(), 0u);
  pair.near->resume_reading();
  pump_until(
      *pair.far, [&] { return pair.near->bytes() == kSize; }, 60s);
}

TEST_P(TlsFlow, C0532_ResumeDeliversWithoutNewInput) {
  TlsLink pair = link(TlsPeer::Side::server);
  pair.near->on_data = [n = pair.near.get()](BytesView) { n->pause_reading(); };
  for (std::size_t i = 0; i < 3; ++i) pair.far->write(pattern(16384, i * 16384));
  pair.far->pump();
  for (std::size_t i = 1; i <= 3; ++i) {
    run_until([&] { return pair.near->bytes() >= i * 16384; });
    run_for(10ms);
    EXPECT_EQ(pair.near->bytes(), i * 16384);
    pair.near->resume_reading();
    EXPECT_EQ(pair.near->bytes(), i * 16384);  // not from inside
  }
  EXPECT_TRUE(pair.near->data() == pattern(3 * 16384));
}

TEST_P(TlsFlow, C0533_NewKeysUnderLoad) {
  TlsLink pair = link(TlsPeer::Side::server);
  std::size_t sent = 0;
  std::size_t written = 0;
  pump_until(
      *pair.far,
      [&] {
        if (sent < 3'000'000) {
          pair.far->update_keys();
          pair.far->write(pattern(10'000, sent));
          sent += 10'000;
        }
        if (!pair.near->writing_paused() && written < 3'000'000) {
          pair.near->write(pattern(10'000, written));
          written += 10'000;
        }
        return pair.near->bytes() == 3'000'000 && pair.far->data().size() == 3'000'000;
      },
      120s);
  EXPECT_TRUE(pair.near->data() == pattern(3'000'000));
  EXPECT_TRUE(pair.far->data() == pattern(3'000'000));
}

TEST_P(TlsFlow, C0534_ABufferedProtocolGetsItAllInSmallPieces) {
  const auto near = recording_buffered(50);
  auto [future, peer] = begin_link(near, TlsPeer::Side::server);
  pump_until(*peer, [&, f = future] { return f.done(); });
  int other_work = 0;
  Function<void()> again = [&] {
    ++other_work;
    if (near->bytes() < 100'000) loop().call_later(Duration::zero(), [&] { again(); });
  };
  again();
  for (std::size_t offset = 0; offset < 100'000; offset += 10'000) {
    peer->write(pattern(10'000, offset));
  }
  pump_until(*peer, [&] { return near->bytes() == 100'000; });
  EXPECT_TRUE(near->data() == pattern(100'000));
  EXPECT_GE(other_work, 50);
  peer->send_close_notify();
  pump_until(*peer, [&] { return near->lost(); });
  EXPECT_EQ(near->summary(), "made data:100000 eof lost:ok");
}

TEST_P(TlsFlow, C0536_AnotherProtocolTakesOver) {
  TlsLink pair = link(TlsPeer::Side::server);
  const auto next = recording();
  next->checker().adopt();
  pair.near->on_data = [&](BytesView) { pair.near->transport()->set_protocol(next); };
  pair.far->write("old");
  pump_until(*pair.far, [&] { return pair.near->bytes() == 3; });
  EXPECT_EQ(pair.near->transport()->get_protocol(), next);
  pair.far->write("new");
  pump_until(*pair.far, [&] { return next->bytes() == 3; });
  expect_replaced(*pair.near);
  pair.far->send_close_notify();
  pump_until(*pair.far, [&] { return next->lost(); });
}

TEST_P(TlsFlow, TheProtocolAboveMayBeReplacedInItsCallback) {
  TlsLink pair = link(TlsPeer::Side::server);
  const auto second = recording_buffered(10);
  const auto third = recording();
  const auto transport = pair.near->transport();
  second->checker().adopt();
  third->checker().adopt();
  pair.near->on_data = [&](BytesView) { transport->set_protocol(second); };
  pair.far->write("first");
  pump_until(*pair.far, [&] { return pair.near->bytes() == 5; });
  // A buffer is asked for and its owner replaced by a protocol that has none.
  second->on_get_buffer = [&](std::size_t) {
    transport->set_protocol(third);
    static std::byte unused[8];
    return MutableBytes(unused);
  };
  pair.far->write("third");
  pump_until(*pair.far, [&] { return third->bytes() == 5; });
  EXPECT_EQ(pair.near->data() + second->data() + third->data(), "firstthird");
  expect_replaced(*pair.near);
  expect_replaced(*second);
  pair.far->send_close_notify();
  pump_until(*pair.far, [&] { return third->lost(); });
}

TEST_P(TlsFlow, C0541_TheLossIsNotToldFromInsideAWrite) {
  TlsLink pair = link(TlsPeer::Side::server);
  bool inside = false;
  pair.near->on_lost = [&](std::error_code) { EXPECT_FALSE(inside); };
  pair.near->on_data = [&, n = pair.near.get()](BytesView) {
    inside = true;
    pair.far->socket().reset();
    for (int i = 0; i < 100; ++i) n->write(pattern(30'000));
    inside = false;
  };
  pair.far->write("x");
  pair.far->pump();
  run_until([&] { return pair.near->lost(); });
  take_log();
}

TEST_P(TlsFlow, AnIdleConnectionHoldsNoRecordBuffers) {
  constexpr std::size_t kPairs = 50;
  for (const TlsVersion version : {TlsVersion::tls1_2, TlsVersion::tls1_3}) {
    TlsClientOptions options;
    options.max_version = version;
    client = client_context(options);
    std::vector<TlsCouple> pairs{couple()};  // what is made once, is made
    const std::size_t before = ::mallinfo2().uordblks;
    for (std::size_t i = 0; i < kPairs; ++i) pairs.push_back(couple());
    run_for(20ms);  // the tickets arrive
    const std::size_t idle = (::mallinfo2().uordblks - before) / kPairs;
    // Both ends together, some 16 and 20 KiB; a record buffer would be 16 more. (With a sanitizer
    // it is 0.)
    EXPECT_LT(idle, 48u * 1024);
    for (const TlsCouple& pair : pairs) {
      pair.client->write("ping");
      run_until([&] { return pair.server->bytes() == 4; });
      pair.server->write("pong");
      run_until([&] { return pair.client->bytes() == 4; });
    }
    EXPECT_LT((::mallinfo2().uordblks - before) / kPairs, 48u * 1024);
    RecordProperty(version == TlsVersion::tls1_2 ? "tls1_2" : "tls1_3", static_cast<int>(idle));
  }
}

TEST_P(TlsFlow, WriteEofIsRefused) {
  TlsLink pair = link(TlsPeer::Side::server);
  EXPECT_FALSE(pair.near->transport()->can_write_eof());
  EXPECT_THROW(pair.near->transport()->write_eof(), std::logic_error);
}

}  // namespace ferry::test
