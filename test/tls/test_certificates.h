#pragma once

#include <ferry/tls_context.h>

#include <memory>
#include <string>
#include <vector>

namespace ferry::test {

/// What a test certificate shall say.
struct CertificateNames {
  std::string common_name = "ferry test";
  std::vector<std::string> dns{"localhost"};
  std::vector<std::string> ip{"127.0.0.1", "::1"};
  bool expired = false;
};

/// A certificate authority made for a test, with a key of its own (P-256). Nothing is on disk.
class TestCa {
 public:
  explicit TestCa(const std::string& common_name = "ferry test CA");
  ~TestCa();
  const std::string& pem() const noexcept { return pem_; }
  TlsTrust trust() const { return {.ca_pem = pem_}; }
  TlsIdentity issue(const CertificateNames& names = {}) const;

  /// One that all tests of the process share, and a certificate of it for localhost.
  static const TestCa& shared();
  static const TlsIdentity& localhost();

 private:
  struct Keys;
  std::unique_ptr<Keys> keys_;
  std::string pem_;
};

/// A client's context that trusts the shared CA, a server's with its certificate for localhost.
std::shared_ptr<TlsContext> client_context(TlsClientOptions options = {});
std::shared_ptr<TlsContext> server_context(TlsServerOptions options = {});

}  // namespace ferry::test
