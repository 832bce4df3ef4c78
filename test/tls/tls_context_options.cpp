// What a TlsContext takes and refuses, and what a certificate says.
#include "tls_fixture.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace ferry::test {

namespace {

/// A folder that goes away again.
class Scratch {
 public:
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "ferry-tls-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~Scratch() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name, const std::string& content = "") const {
    const std::string path = (path_ / name).string();
    if (!content.empty()) std::ofstream(path) << content;
    return path;
  }

 private:
  std::filesystem::path path_;
};

std::string read_file(const std::string& path) {
  std::ostringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

template <class E, class F>
std::string thrown(F f) {
  try {
    f();
  } catch (const E& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST(TlsContextOptions, AServerNeedsACertificateAndItsKey) {
  EXPECT_THROW(TlsContext::server({}), std::invalid_argument);
  TlsIdentity identity = TestCa::localhost();
  identity.key_pem = TestCa::shared().issue().key_pem;
  EXPECT_THROW(TlsContext::server({.identity = identity}), std::system_error);
  identity = TestCa::localhost();
  identity.certificate_pem = "nothing of the kind";
  EXPECT_THROW(TlsContext::server({.identity = identity}), std::invalid_argument);
}

TEST(TlsContextOptions, AnErrorNamesTheFile) {
  const auto missing = [] { TlsContext::client({.trust = {.ca_file = "/no/such/ca.pem"}}); };
  EXPECT_NE(thrown<std::system_error>(missing).find("/no/such/ca.pem"), std::string::npos);
  const auto no_certificate = [] {
    TlsContext::server({.identity = {.certificate_file = "/no/such/certificate.pem"}});
  };
  const std::string text = thrown<std::system_error>(no_certificate);
  EXPECT_NE(text.find("/no/such/certificate.pem"), std::string::npos) << text;
  EXPECT_NE(text.find("No such file"), std::string::npos) << text;
}

TEST(TlsContextOptions, ContradictionsAreRefused) {
  TlsServerOptions options{.identity = TestCa::localhost()};
  options.client_certificates = ClientCertificates::required;
  EXPECT_THROW(TlsContext::server(options), std::invalid_argument);
  TlsClientOptions client_options;
  client_options.min_version = TlsVersion::tls1_3;
  client_options.max_version = TlsVersion::tls1_2;
  EXPECT_THROW(TlsContext::client(client_options), std::invalid_argument);
  client_options = {};
  client_options.alpn = {""};
  EXPECT_THROW(TlsContext::client(client_options), std::invalid_argument);
  client_options.alpn = {std::string(256, 'x')};
  EXPECT_THROW(TlsContext::client(client_options), std::invalid_argument);
  client_options = {};
  client_options.ciphers = "no such cipher";
  EXPECT_THROW(TlsContext::client(client_options), std::system_error);
  EXPECT_THROW(client_context()->reload(TlsServerOptions{}), std::logic_error);
  EXPECT_THROW(server_context()->reload(TlsClientOptions{}), std::logic_error);
}

TEST(TlsContextOptions, TheSystemsAuthoritiesAreTheDefault) {
  EXPECT_FALSE(TlsContext::client()->is_server());
}

TEST(TlsErrors, SayWhatHappened) {
  const std::error_condition truncated = tls_errc::truncated;
  EXPECT_EQ(truncated.category(), tls_category());
  EXPECT_STREQ(tls_category().name(), "tls");
  EXPECT_NE(truncated.message().find("truncated"), std::string::npos);
  const std::error_condition flood = tls_errc::flood;
  EXPECT_NE(truncated, flood);
}

class TlsFiles : public TlsTest {};
INSTANTIATE_WORLDS(TlsFiles);

TEST_P(TlsFiles, IdentityTrustAndKeyLogAreFiles) {
  const Scratch scratch;
  const TlsIdentity& pem = TestCa::localhost();
  TlsServerOptions options;
  options.identity.certificate_file = scratch.file("both.pem", pem.key_pem + pem.certificate_pem);
  server = TlsContext::server(options);
  TlsClientOptions trusting;
  trusting.trust.ca_file = scratch.file("ca.pem", TestCa::shared().pem());
  trusting.key_log_file = scratch.file("keys.log");
  client = TlsContext::client(trusting);
  const TlsCouple pair = couple();
  pair.client->write("hello");
  run_until([&] { return pair.server->bytes() == 5; });
  const std::string keys = read_file(trusting.key_log_file);
  EXPECT_NE(keys.find("CLIENT_HANDSHAKE_TRAFFIC_SECRET "), std::string::npos) << keys;
  EXPECT_NE(keys.find("SERVER_TRAFFIC_SECRET_0 "), std::string::npos) << keys;
  EXPECT_EQ(keys.back(), '\n');
  EXPECT_EQ(std::filesystem::status(trusting.key_log_file).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);

  // The file is replaced; the program says when.
  const TlsIdentity renewed = TestCa::shared().issue({.common_name = "renewed"});
  scratch.file("both.pem", renewed.key_pem + renewed.certificate_pem);
  const auto subject = [&] {
    const TlsCouple fresh = couple();
    return tls_of(*fresh.client).peer_certificate()->subject;
  };
  client = client_context({.session_cache = 0});
  EXPECT_EQ(subject(), "CN=ferry test");
  server->reload();
  EXPECT_EQ(subject(), "CN=renewed");
}

TEST_P(TlsFiles, ACertificateTellsItsNamesAndFingerprint) {
  server =
      server_context({.identity = TestCa::shared().issue({.common_name = "many, names",
                                                          .dns = {"a.example", "*.b.example"},
                                                          .ip = {"192.0.2.7", "2001:db8::7"}})});
  const TlsCouple pair = couple();
  const auto certificate = tls_of(*pair.client).peer_certificate();
  ASSERT_TRUE(certificate);
  EXPECT_EQ(certificate->subject, "CN=many\\, names");
  EXPECT_EQ(certificate->issuer, "CN=ferry test CA");
  EXPECT_EQ(certificate->dns_names, (std::vector<std::string>{"a.example", "*.b.example"}));
  EXPECT_EQ(certificate->ip_addresses, (std::vector<std::string>{"192.0.2.7", "2001:db8::7"}));
  EXPECT_EQ(certificate->pem.find("-----BEGIN CERTIFICATE-----\n"), 0u);
  EXPECT_EQ(certificate->fingerprint.size(), 64u);
  EXPECT_NE(certificate->not_after.find("GMT"), std::string::npos);
}

TEST_P(TlsFiles, CiphersCanBeChosen) {
  TlsServerOptions options;
  options.ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384";
  options.cipher_suites = "TLS_CHACHA20_POLY1305_SHA256";
  server = server_context(options);
  EXPECT_EQ(tls_of(*couple().client).cipher(), "TLS_CHACHA20_POLY1305_SHA256");
  TlsClientOptions old;
  old.max_version = TlsVersion::tls1_2;
  client = client_context(old);
  const TlsCouple pair = couple();
  EXPECT_EQ(tls_of(*pair.client).cipher(), "ECDHE-ECDSA-AES256-GCM-SHA384");
  EXPECT_EQ(tls_of(*pair.client).cipher_bits(), 256);
}

}  // namespace ferry::test
