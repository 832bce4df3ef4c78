// What a peer may try: to stall, to flood, to be many.
#include "tls_fixture.h"

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>
#include <vector>

namespace ferry::test {

namespace {

/// Records of TLS 1.3 made by hand (RFC 8446, 5.2), as OpenSSL makes none: empty ones. For
/// TLS_AES_256_GCM_SHA384.
class HandMadeRecords {
 public:
  explicit HandMadeRecords(const std::string& secret)
      : key_(expand(secret, "key", 32)), iv_(expand(secret, "iv", 12)) {}

  std::string next(BytesView data) {
    const std::string inner = std::string(data.text()) + "\x17";  // application data
    const std::size_t size = inner.size() + kTag;
    std::string record("\x17\x03\x03", 3);
    record += static_cast<char>(size >> 8);
    record += static_cast<char>(size & 0xff);
    std::string nonce = iv_;
    for (std::size_t i = 0; i < 8; ++i) {
      nonce[11 - i] = static_cast<char>(nonce[11 - i] ^ static_cast<char>(count_ >> (8 * i)));
    }
    ++count_;
    return record + seal(nonce, record, inner);
  }

 private:
  static constexpr std::size_t kTag = 16;

  struct Free {
    void operator()(EVP_KDF* kdf) const { EVP_KDF_free(kdf); }
    void operator()(EVP_KDF_CTX* context) const { EVP_KDF_CTX_free(context); }
    void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  };

  static void must(bool good) {
    if (!good) throw std::runtime_error("no record could be made");
  }
  static unsigned char* bytes(std::string& text) {
    return reinterpret_cast<unsigned char*>(text.data());
  }
  static const unsigned char* bytes(const std::string& text) {
    return reinterpret_cast<const unsigned char*>(text.data());
  }

  /// HKDF-Expand-Label without a context (RFC 8446, 7.1).
  static std::string expand(std::string secret, std::string label, std::size_t size) {
    const std::unique_ptr<EVP_KDF, Free> kdf(EVP_KDF_fetch(nullptr, "TLS13-KDF", nullptr));
    const std::unique_ptr<EVP_KDF_CTX, Free> context(EVP_KDF_CTX_new(kdf.get()));
    std::string digest = "SHA384";
    std::string prefix = "tls13 ";
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret.data(), secret.size()),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, prefix.data(), prefix.size()),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, label.data(), label.size()),
        OSSL_PARAM_construct_end()};
    std::string out(size, '\0');
    must(EVP_KDF_derive(context.get(), bytes(out), size, params) == 1);
    return out;
  }

  std::string seal(const std::string& nonce, const std::string& header,
                   const std::string& inner) const {
    const std::unique_ptr<EVP_CIPHER_CTX, Free> c(EVP_CIPHER_CTX_new());
    std::string sealed(inner.size() + kTag, '\0');
    int size = 0;
    must(EVP_EncryptInit_ex(c.get(), EVP_aes_256_gcm(), nullptr, bytes(key_), bytes(nonce)) == 1);
    must(EVP_EncryptUpdate(c.get(), nullptr, &size, bytes(header),
                           static_cast<int>(header.size())) == 1);
    must(EVP_EncryptUpdate(c.get(), bytes(sealed), &size, bytes(inner),
                           static_cast<int>(inner.size())) == 1);
    must(EVP_EncryptFinal_ex(c.get(), bytes(sealed) + size, &size) == 1);
    must(EVP_CIPHER_CTX_ctrl(c.get(), EVP_CTRL_AEAD_GET_TAG, kTag, sealed.data() + inner.size()) ==
         1);
    return sealed;
  }

  std::string key_;
  std::string iv_;
  std::uint64_t count_ = 0;
};

/// How many connections, both ends in this process, the limit of descriptors allows, having been
/// raised as far as possible; `wanted` at most.
std::size_t affordable(std::size_t wanted) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return std::min<std::size_t>(wanted, (limit.rlim_cur - 200) / 2);
}

}  // namespace

class TlsHostile : public TlsTest {};
INSTANTIATE_WORLDS(TlsHostile);

TEST_P(TlsHostile, FiveThousandStalledHandshakesKeepNobodyOutAndAreReaped) {
  const std::size_t count = simulated() ? 5000 : affordable(5000);
  server_options.handshake_timeout = simulated() ? Duration(60s) : Duration(8s);
  const auto listener = serve_tls([this] { return recording(); });
  // Some say nothing, some a part of a ClientHello, some what could be the beginning of one.
  const std::string words[] = {"", std::string("\x16\x03\x01", 3),
                               std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11)};
  std::vector<RawPeer> stalled;
  TimePoint last_began;
  while (stalled.size() < count) {
    const std::size_t batch = std::min<std::size_t>(100, count - stalled.size());  // the backlog
    last_began = loop().time();
    for (std::size_t i = 0; i < batch; ++i) {
      stalled.push_back(RawPeer::connect(kernel().inner(), listener->sockets()[0]));
    }
    tick(2);  // a simulated handshake is no event for which the loop wakes up
    run_until([&] { return listener->connections() == stalled.size(); });
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (stalled[i].connected()) stalled[i].write(words[i % std::size(words)]);
  }

  const TimePoint start = loop().time();
  const auto near = recording();
  wait(dial_tls(listener->sockets()[0], near), 60s);
  EXPECT_LE(loop().time() - start, simulated() ? Duration(1s) : Duration(20s));
  EXPECT_GT(listener->connections(), 1u);

  run_until([&] { return listener->connections() == 1; }, 120s);
  EXPECT_GE(loop().time() - last_began, server_options.handshake_timeout);
  EXPECT_FALSE(near->lost());
  for (RawPeer& peer : stalled) {
    peer.read();
    EXPECT_TRUE(peer.eof() || peer.error());
  }
}

TEST_P(TlsHostile, AFloodOfKeyUpdatesEndsTheConnection) {
  TlsLink pair = link(TlsPeer::Side::client);
  pair.far->flood_key_updates(20);
  pair.far->write("fine");
  pump_until(*pair.far, [&] { return pair.near->bytes() == 4; });
  pair.far->flood_key_updates(5000);
  pump_until(*pair.far, [&] { return pair.near->lost(); });
  EXPECT_EQ(pair.near->error(), tls_errc::flood);
  // Asked for new keys thousands of times, it has not answered each time.
  EXPECT_LT(pair.far->socket().received().size(), 20'000u);
}

TEST_P(TlsHostile, RecordsTooShortToBeTrueEndTheConnection) {
  TlsLink pair = link(TlsPeer::Side::client, nullptr, TlsVersion::tls1_2);
  std::string records;
  for (int i = 0; i < 1000; ++i) records += std::string("\x17\x03\x03\x00\x00", 5);
  pair.far->send_raw(records);
  pump_until(*pair.far, [&] { return pair.near->lost(); });
  EXPECT_EQ(pair.near->error(), tls_errc::protocol_error);
  EXPECT_EQ(pair.near->bytes(), 0u);
}

TEST_P(TlsHostile, EmptyRecordsWithoutEndEndTheConnection) {
  TlsLink pair = link(TlsPeer::Side::client);
  ASSERT_EQ(tls_of(*pair.near).cipher(), "TLS_AES_256_GCM_SHA384");
  HandMadeRecords records(pair.far->traffic_secret());
  // A few are allowed.
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 30; ++i) pair.far->send_raw(records.next(""));
    pair.far->send_raw(records.next("fine"));
  }
  pump_until(*pair.far, [&] { return pair.near->bytes() == 40; });
  for (int i = 0; i < 1000; ++i) pair.far->send_raw(records.next(""));
  pair.far->send_raw(records.next("too late"));
  pump_until(*pair.far, [&] { return pair.near->lost(); });
  EXPECT_EQ(pair.near->error(), tls_errc::protocol_error);
  EXPECT_EQ(pair.near->bytes(), 40u);
}

}  // namespace ferry::test
