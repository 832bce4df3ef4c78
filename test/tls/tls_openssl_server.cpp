// ferry's client with openssl(1)'s server. The other direction, and other people's TLS, are in
// interop_test.py.
#include "tls_fixture.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

namespace ferry::test {

namespace {

struct ClosePipe {
  void operator()(std::FILE* pipe) const { ::pclose(pipe); }
};

/// `openssl s_server`, which takes one connection and sends back each line reversed.
class OpensslServer {
 public:
  explicit OpensslServer(const std::string& options) {
    std::string name = (std::filesystem::temp_directory_path() / "ferry-tls-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    const TlsIdentity& identity = TestCa::localhost();
    std::ofstream(folder_ / "both.pem") << identity.certificate_pem << identity.key_pem;
    std::ofstream(folder_ / "ca.pem") << TestCa::shared().pem();
    const std::string command = "exec openssl s_server -accept 127.0.0.1:0 -naccept 1 -rev -cert " +
                                (folder_ / "both.pem").string() + " -CAfile " + ca_file() + " " +
                                options + " 2>&1";
    pipe_.reset(::popen(command.c_str(), "r"));
    char line[200];
    while (port_ == 0 && std::fgets(line, sizeof(line), pipe_.get())) {
      const std::string text = line;
      if (text.starts_with("ACCEPT 127.0.0.1:")) {
        port_ = static_cast<std::uint16_t>(std::atoi(text.c_str() + 17));
      }
      words_ += text;
    }
  }
  ~OpensslServer() {
    pipe_.reset();  // waits for its end
    std::filesystem::remove_all(folder_);
  }
  std::uint16_t port() const { return port_; }
  /// What it said before it listened; or the shell, if it is not installed.
  const std::string& words() const { return words_; }
  std::string ca_file() const { return (folder_ / "ca.pem").string(); }

 private:
  std::filesystem::path folder_;
  std::unique_ptr<std::FILE, ClosePipe> pipe_;
  std::string words_;
  std::uint16_t port_ = 0;
};

}  // namespace

class TlsOpensslServer : public TlsTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, TlsOpensslServer, ::testing::Values(World::asio), world_name);

TEST_P(TlsOpensslServer, AnswersInEveryVersion) {
  for (const char* version : {"-tls1_2", "-tls1_3"}) {
    const OpensslServer openssl(version);
    ASSERT_NE(openssl.port(), 0) << openssl.words();
    client_options.server_hostname = "localhost";
    const auto near = recording();
    wait(dial_tls(Address::loopback(openssl.port()), near), 30s);
    EXPECT_EQ(tls_of(*near).version(),
              version == std::string_view("-tls1_2") ? TlsVersion::tls1_2 : TlsVersion::tls1_3);
    near->write("hello, ferry\n");
    run_until([&] { return near->bytes() == 13; }, 30s);
    EXPECT_EQ(near->data(), "yrref ,olleh\n");
    near->write("CLOSE\n");  // what makes it say goodbye first
    run_until([&] { return near->lost(); }, 30s);
    EXPECT_EQ(near->summary(), "made data:13 eof lost:ok");
  }
}

TEST_P(TlsOpensslServer, WantsAClientCertificate) {
  const OpensslServer openssl("-Verify 1 -verify_return_error");
  ASSERT_NE(openssl.port(), 0) << openssl.words();
  const auto near = recording();
  wait(dial_tls(Address::loopback(openssl.port()), near), 30s);
  run_until([&] { return near->lost(); }, 30s);
  EXPECT_EQ(near->error(), tls_errc::peer_alert);
}

}  // namespace ferry::test
