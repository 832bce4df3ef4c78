#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ferry {

struct TlsState;

enum class TlsVersion { tls1_2, tls1_3 };

/// A certificate with its chain and its key, all PEM: from files, or from text. Text wins.
struct TlsIdentity {
  std::string certificate_file{};  ///< The certificate first, then its chain.
  std::string key_file{};          ///< Empty: the key is in certificate_file.
  std::string certificate_pem{};
  std::string key_pem{};  ///< Empty: the key is in certificate_pem.
  std::string key_password{};

  bool empty() const noexcept { return certificate_file.empty() && certificate_pem.empty(); }
};

/// Whom to trust. All empty: the system's certificate authorities.
struct TlsTrust {
  std::string ca_file{};
  std::string ca_dir{};  ///< Prepared by c_rehash(1).
  std::string ca_pem{};

  bool empty() const noexcept { return ca_file.empty() && ca_dir.empty() && ca_pem.empty(); }
};

/// What clients and servers have in common.
struct TlsCommonOptions {
  /// Protocols in the order of preference: {"h2", "http/1.1"} (RFC 7301).
  std::vector<std::string> alpn{};
  TlsVersion min_version = TlsVersion::tls1_2;
  TlsVersion max_version = TlsVersion::tls1_3;
  /// OpenSSL's list for TLS 1.2 (openssl-ciphers(1)) and the suites of TLS 1.3; empty: its default.
  std::string ciphers{};
  std::string cipher_suites{};
  /// Appends each connection's secrets to this file, in the format of SSLKEYLOGFILE, for
  /// Wireshark. Empty: off. The library does not look at the environment variable of that name: a
  /// program that is to honour it says so, by `std::getenv("SSLKEYLOGFILE")`. Whoever can read the
  /// file can read all that was said; a new one is readable for its owner only.
  std::string key_log_file{};
};

struct TlsClientOptions : TlsCommonOptions {
  TlsTrust trust{};
  /// Check that the server's certificate comes from somebody trusted. False: anybody can be it.
  bool verify = true;
  /// Check that it is made out to the name or IP address that was connected to.
  bool check_hostname = true;
  TlsIdentity identity{};  ///< For servers that ask for a client certificate.
  /// Sessions remembered to be resumed, one for each server name and address; 0: none.
  std::size_t session_cache = 256;
};

enum class ClientCertificates { none, optional, required };

struct TlsServerOptions : TlsCommonOptions {
  TlsIdentity identity{};  ///< For clients that name no server, or an unknown one.
  /// By the name the client asks for (SNI, RFC 6066): "example.com", or "*.example.com" for one
  /// label. Upper and lower case are the same.
  std::map<std::string, TlsIdentity> identities{};
  /// A certificate that is presented is always verified.
  ClientCertificates client_certificates = ClientCertificates::none;
  TlsTrust trust{};  ///< Of client certificates; must be given if they are asked for.
  /// False: a client without a protocol of `alpn` in common gets no protocol; true: no connection.
  bool require_alpn = false;
  bool session_tickets = true;
};

/// The unchanging half of TLS, made once for many connections: certificates, trust, versions.
/// Both factories throw std::invalid_argument for options that contradict each other, and
/// std::system_error, which names the file, for what cannot be read or used. All functions may be
/// called from any thread.
class TlsContext {
 public:
  static std::shared_ptr<TlsContext> client(TlsClientOptions options = {});
  static std::shared_ptr<TlsContext> server(TlsServerOptions options);
  ~TlsContext();

  bool is_server() const noexcept;
  /// Reads all files again, or takes other options, for the connections to come; those that exist
  /// keep what they have. Tickets given out before stay good, unless clients are or were asked for
  /// certificates. If it throws, nothing has changed.
  /// Options of the other side are std::logic_error.
  void reload();
  void reload(TlsServerOptions options);
  void reload(TlsClientOptions options);

  /// For the library: what a new connection starts with.
  std::shared_ptr<const TlsState> state() const;

 private:
  struct Shared;
  explicit TlsContext(std::unique_ptr<Shared> shared);
  std::unique_ptr<Shared> shared_;
};

}  // namespace ferry
