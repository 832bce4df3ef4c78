// A session cut, and glued together wrongly, at every byte: never a clean end, never a byte that
// was not sent, never a hang.
#include "tls_fixture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>

namespace ferry::test {

namespace {

constexpr std::string_view kText = "The quick brown fox jumps over the lazy dog.";

}  // namespace

class TlsCut : public TlsTest {
 protected:
  struct Outcome {
    std::size_t size = 0;  ///< Of all that the far side wanted to send.
    bool made = false;
    bool clean = false;  ///< eof_received, and lost without error.
    std::error_code error;
  };

  /// The side whose stream is harmed, and the version.
  struct How {
    TlsPeer::Side side;
    TlsVersion version;
  };
  static constexpr How kAll[] = {{TlsPeer::Side::server, TlsVersion::tls1_3},
                                 {TlsPeer::Side::client, TlsVersion::tls1_3},
                                 {TlsPeer::Side::server, TlsVersion::tls1_2},
                                 {TlsPeer::Side::client, TlsVersion::tls1_2}};

  /// One session: the far side says the text in two records, then close_notify.
  Outcome session(How how, const std::function<void(TlsPeer&)>& harm) {
    const auto near = std::make_shared<RecordingProtocol>();
    Outcome outcome;
    {
      auto [future, peer] = begin_link(near, how.side, how.version);
      harm(*peer);
      bool said = false;
      pump_until(
          *peer,
          [&, f = future, p = peer] {
            if (p->handshaken() && !said) {
              said = true;
              p->write(BytesView(kText).first(20));
              p->write(BytesView(kText).drop(20));
              p->send_close_notify();
              p->finish();
              p->pump();  // nothing else may happen that would have this called again
            }
            return f.done() && (near->lost() || !near->made());
          },
          300s);
      outcome.size = peer->sent();
      if (!near->made()) {
        EXPECT_THROW(future.result(), IoError);
      }
    }
    tick();
    EXPECT_EQ(near->violations(), std::vector<std::string>());
    EXPECT_EQ(near->data(), kText.substr(0, near->bytes()));
    EXPECT_EQ(loop().stats().transports, 0u);
    outcome.made = near->made();
    outcome.error = near->error();
    outcome.clean = near->made() && near->eof() && !near->error();
    if (outcome.clean) {
      EXPECT_EQ(near->data(), kText);
    }
    return outcome;
  }

  /// Harms a session's stream at an offset, and says if it did not.
  using Harm = std::function<void(TlsPeer&, std::size_t offset, bool& unharmed)>;

  /// Under a sanitizer at every fourth offset, other ones in each of kAll.
  void each_offset(How how, const Harm& harm) {
    const std::size_t size = session(how, [](TlsPeer&) {}).size;
    ASSERT_GT(size, 100u);
    const std::size_t step = kSanitized ? std::size(kAll) : 1;
    const std::size_t first = (how.side == TlsPeer::Side::server ? 0u : 1u) +
                              (how.version == TlsVersion::tls1_3 ? 0u : 2u);
    for (std::size_t offset = first % step; offset < size + 10; offset += step) {
      bool unharmed = false;
      const Outcome outcome = session(how, [&](TlsPeer& peer) { harm(peer, offset, unharmed); });
      // Signatures vary by a byte or two, and with them the place of the end.
      EXPECT_TRUE(!outcome.clean || offset >= outcome.size || unharmed);
      if (HasFailure()) FAIL() << "offset " << offset << " of " << outcome.size;
    }
  }
};
// Thousands of sessions, each of which may wait for a limit: only where the clock is virtual.
INSTANTIATE_TEST_SUITE_P(Worlds, TlsCut, ::testing::Values(World::sim), world_name);

TEST_P(TlsCut, AWholeSessionEndsClean) {
  for (const How how : kAll) EXPECT_TRUE(session(how, [](TlsPeer&) {}).clean);
}

TEST_P(TlsCut, CutAtEveryByte) {
  for (const How how : kAll) {
    each_offset(how, [](TlsPeer& peer, std::size_t offset, bool&) { peer.cut_after(offset); });
  }
}

namespace {

/// Changes the stream at one offset of it.
void harm_at(TlsPeer& peer, std::size_t offset,
             const std::function<void(std::string& bytes, std::size_t at)>& harm) {
  peer.set_tamper([offset, harm](std::string& bytes, std::size_t begin) {
    if (offset >= begin && offset < begin + bytes.size()) harm(bytes, offset - begin);
  });
}

}  // namespace

TEST_P(TlsCut, AByteMissingAnywhere) {
  for (const How how : kAll) {
    each_offset(how, [](TlsPeer& peer, std::size_t offset, bool&) {
      harm_at(peer, offset, [](std::string& bytes, std::size_t at) { bytes.erase(at, 1); });
    });
  }
}

TEST_P(TlsCut, AByteTooMuchAnywhere) {
  for (const How how : kAll) {
    each_offset(how, [](TlsPeer& peer, std::size_t offset, bool&) {
      // Another one than is there: two of a kind at the end would leave the session whole.
      harm_at(peer, offset, [](std::string& bytes, std::size_t at) {
        bytes.insert(at, 1, static_cast<char>(bytes[at] ^ 0x10));
      });
    });
  }
}

TEST_P(TlsCut, ABitFlippedAnywhere) {
  for (const How how : kAll) {
    each_offset(how, [](TlsPeer& peer, std::size_t offset, bool& unharmed) {
      harm_at(peer, offset, [](std::string& bytes, std::size_t at) { bytes[at] ^= 0x10; });
      // The minor version of the first record means nothing (RFC 8446, 5.1).
      unharmed = offset == 2;
    });
  }
}

TEST_P(TlsCut, AnotherSessionsEndGluedOnAnywhere) {
  for (const How how : kAll) {
    std::string other;
    session(how, [&](TlsPeer& peer) {
      peer.set_tamper([&](std::string& bytes, std::size_t) { other += bytes; });
    });
    each_offset(how, [&](TlsPeer& peer, std::size_t offset, bool& unharmed) {
      unharmed = true;  // the last byte of both may be the same
      peer.set_tamper([&, offset](std::string& bytes, std::size_t begin) {
        for (std::size_t i = std::max(offset, begin); i < begin + bytes.size(); ++i) {
          const char glued = i < other.size() ? other[i] : '\0';
          if (bytes[i - begin] != glued) unharmed = false;
          bytes[i - begin] = glued;
        }
      });
    });
  }
}

}  // namespace ferry::test
