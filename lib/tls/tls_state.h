#pragma once

#include "key_log.h"
#include "openssl.h"
#include "session_cache.h"

#include <ferry/tls_context.h>

#include <map>
#include <memory>
#include <string>

namespace ferry {

/// What a TlsContext is at one moment: built from its options, then only read, and kept by every
/// connection that began with it.
struct TlsState {
  bool is_server = false;
  bool verify = false;          // a client's
  bool check_hostname = false;  // a client's
  bool require_alpn = false;
  bool asks_certificates = false;  // a server's, of its clients
  SslContextPtr context;
  std::map<std::string, SslContextPtr> by_name;  // lower case; of a server
  std::string alpn;                              // in wire format
  std::unique_ptr<KeyLog> key_log;
  std::unique_ptr<SessionCache> sessions;  // null: sessions are not resumed

  /// The context for a name a client asked for; null if there is none of its own.
  SSL_CTX* find(std::string name) const;
};

std::shared_ptr<const TlsState> make_client_state(const TlsClientOptions& options);
/// `before`: the state to replace, whose ticket keys are kept if clients need no certificate; may
/// be null.
std::shared_ptr<const TlsState> make_server_state(const TlsServerOptions& options,
                                                  const TlsState* before);

}  // namespace ferry
