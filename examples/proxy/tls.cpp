#include "tls.h"

namespace ferry::proxy {

ProxyTls::ProxyTls(const TlsSettings& settings) : name_(settings.name) {
  options_.handshake_timeout = settings.handshake_timeout;
  options_.max_handshakes = settings.max_handshakes;
  options_.half_close = true;
  if (!settings.certificate.empty()) {
    TlsServerOptions options;
    options.identity.certificate_file = settings.certificate;
    options.identity.key_file = settings.key;
    server_ = TlsContext::server(std::move(options));
  }
  if (settings.to_upstream) {
    TlsClientOptions options;
    options.trust.ca_file = settings.ca;
    client_ = TlsContext::client(std::move(options));
  }
}

ProtocolWrap ProxyTls::connecting() const {
  if (!client_) return {};
  TlsOptions options = options_;
  if (!name_.empty()) options.server_hostname = name_;
  return tls_client(client_, std::move(options));
}

void ProxyTls::reload() {
  if (server_) server_->reload();
  if (client_) client_->reload();
}

}  // namespace ferry::proxy
