#include <ferry/tls.h>

#include "tls_connection.h"

#include <stdexcept>
#include <utility>

namespace ferry {
namespace {

/// Throws std::invalid_argument unless these go together.
void check(const char* function, const std::shared_ptr<TlsContext>& context,
           const TlsOptions& options) {
  const auto complain = [function](const char* complaint) {
    throw std::invalid_argument(std::string(function) + ": " + complaint);
  };
  if (!context) complain("the context is null");
  if (options.handshake_timeout <= Duration::zero()) {
    complain("handshake_timeout must be positive");
  }
  if (options.shutdown_timeout <= Duration::zero()) complain("shutdown_timeout must be positive");
  if (options.server_hostname && context->is_server()) {
    complain("server_hostname is for clients");
  }
}

ProtocolWrap make_wrap(std::shared_ptr<TlsContext> context, TlsOptions options,
                       std::shared_ptr<HandshakeCount> handshakes) {
  return [context = std::move(context), options = std::move(options),
          handshakes = std::move(handshakes)](std::shared_ptr<Protocol> protocol) {
    return std::make_shared<TlsConnection>(
        TlsStart{std::move(protocol), context, options, handshakes});
  };
}

}  // namespace

ProtocolWrap tls_client(std::shared_ptr<TlsContext> context, TlsOptions options) {
  check("tls_client", context, options);
  if (context->is_server()) throw std::invalid_argument("tls_client: a server's context");
  return make_wrap(std::move(context), std::move(options), nullptr);
}

ProtocolWrap tls_server(std::shared_ptr<TlsContext> context, TlsOptions options) {
  check("tls_server", context, options);
  if (!context->is_server()) throw std::invalid_argument("tls_server: a client's context");
  return make_wrap(std::move(context), std::move(options), std::make_shared<HandshakeCount>());
}

Future<std::shared_ptr<TlsTransport>> start_tls(std::shared_ptr<Transport> transport,
                                                std::shared_ptr<TlsContext> context,
                                                TlsOptions options, BytesView received) {
  if (!transport) throw std::invalid_argument("start_tls: the transport is null");
  check("start_tls", context, options);
  if (!options.server_hostname && context->state()->check_hostname) {
    throw std::invalid_argument("start_tls: server_hostname must be set");
  }
  if (transport->is_closing()) throw std::logic_error("start_tls: the transport is closing");
  const auto connection = std::make_shared<TlsConnection>(
      TlsStart{transport->get_protocol(), std::move(context), std::move(options), nullptr});
  return connection->upgrade(std::move(transport), received);
}

}  // namespace ferry
