#include "tls.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace ferry::bench {

namespace {

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};

std::string text_of(BIO& bio) {
  char* text = nullptr;
  const long size = BIO_get_mem_data(&bio, &text);
  return {text, static_cast<std::size_t>(size)};
}

/// A self-signed one for localhost, P-256, good for a day.
TlsIdentity make_identity() {
  const std::unique_ptr<EVP_PKEY, Free> key(EVP_EC_gen("P-256"));
  const std::unique_ptr<X509, Free> certificate(X509_new());
  const std::unique_ptr<BIO, Free> certificate_text(BIO_new(BIO_s_mem()));
  const std::unique_ptr<BIO, Free> key_text(BIO_new(BIO_s_mem()));
  X509* const c = certificate.get();
  bool good = key && c && certificate_text && key_text;
  good = good && X509_set_version(c, 2) == 1 && X509_set_pubkey(c, key.get()) == 1 &&
         ASN1_INTEGER_set(X509_get_serialNumber(c), 1) == 1 &&
         X509_gmtime_adj(X509_getm_notBefore(c), 0) &&
         X509_gmtime_adj(X509_getm_notAfter(c), 24L * 3600);
  const auto* const name = reinterpret_cast<const unsigned char*>("localhost");
  good = good &&
         X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_ASC, name, -1, -1,
                                    0) == 1 &&
         X509_set_issuer_name(c, X509_get_subject_name(c)) == 1 &&
         X509_sign(c, key.get(), EVP_sha256()) > 0 &&
         PEM_write_bio_X509(certificate_text.get(), c) == 1 &&
         PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                  nullptr) == 1;
  if (!good) throw std::runtime_error("no certificate could be made");
  return {.certificate_pem = text_of(*certificate_text), .key_pem = text_of(*key_text)};
}

}  // namespace

ProtocolWrap serving_tls(const ServeOptions& options) {
  TlsServerOptions tls;
  if (options.certificate.empty()) {
    tls.identity = make_identity();
  } else {
    tls.identity.certificate_file = options.certificate;
    tls.identity.key_file = options.key;
  }
  return tls_server(TlsContext::server(std::move(tls)), {.max_handshakes = 0});
}

ProtocolWrap dialing_tls() {
  static const std::shared_ptr<TlsContext> context = [] {
    TlsClientOptions options;
    options.verify = false;
    // Each connection is to cost what a new client costs.
    options.session_cache = 0;
    return TlsContext::client(std::move(options));
  }();
  return tls_client(context, {.server_hostname = ""});
}

}  // namespace ferry::bench
