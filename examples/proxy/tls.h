#pragma once

#include "options.h"

#include <ferry/protocol_layer.h>
#include <ferry/tls.h>

#include <exception>
#include <memory>

namespace ferry::proxy {

/// The certificates of both sides, and what puts TLS between a socket and its protocol. Half-close
/// is on: the end of one direction crosses the proxy whatever it is made of.
class ProxyTls {
 public:
  /// Throws std::system_error, which names the file, for what cannot be read or used.
  explicit ProxyTls(const TlsSettings& settings);

  /// For connections of clients; empty if they come without TLS. `failed` hears of each handshake
  /// that did not succeed; copies of it are kept as long as the wrap.
  template <class Failed>
  ProtocolWrap accepting(Failed failed) const {
    if (!server_) return {};
    return [wrap = tls_server(server_, options_),
            failed = std::move(failed)](std::shared_ptr<Protocol> protocol) {
      std::shared_ptr<Protocol> layer = wrap(std::move(protocol));
      layer->as_layer()->when_made(
          {}, [failed](std::exception_ptr failure, const std::shared_ptr<Transport>&) {
            if (failure) failed(failure);
          });
      return layer;
    };
  }
  /// For connections to upstream; empty if they are without TLS.
  ProtocolWrap connecting() const;

  /// Reads all files again, for the connections to come. If it throws nothing has changed.
  void reload();

 private:
  TlsOptions options_;
  std::string name_;
  std::shared_ptr<TlsContext> server_;  // null: clients come without
  std::shared_ptr<TlsContext> client_;  // null: upstream is without
};

}  // namespace ferry::proxy
