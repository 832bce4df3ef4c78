#include "test_certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <stdexcept>
#include <utility>

namespace ferry::test {
namespace {

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Certificate = std::unique_ptr<X509, Free>;

void must(bool worked) {
  if (!worked) throw std::runtime_error("a test certificate could not be made");
}

template <class Write>
std::string pem(Write write) {
  const std::unique_ptr<BIO, Free> bio(BIO_new(BIO_s_mem()));
  must(bio && write(bio.get()) == 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

std::string pem_of(X509* certificate) {
  return pem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); });
}

std::string pem_of(EVP_PKEY* key) {
  return pem([&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

void extend(X509* certificate, X509* issuer, int name, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, Free> extension(
      X509V3_EXT_conf_nid(nullptr, &context, name, value.c_str()));
  must(extension && X509_add_ext(certificate, extension.get(), -1) == 1);
}

Certificate make(const std::string& common_name, EVP_PKEY* key, bool expired) {
  static std::atomic<long> serial = 1;
  Certificate certificate(X509_new());
  X509* const c = certificate.get();
  must(c && X509_set_version(c, 2) == 1 && X509_set_pubkey(c, key) == 1);
  ASN1_INTEGER_set(X509_get_serialNumber(c), serial++);
  // Fixed, so that with the same random numbers it is the same certificate on each day.
  ASN1_TIME_set_string(X509_getm_notBefore(c), "20200101000000Z");
  ASN1_TIME_set_string(X509_getm_notAfter(c), expired ? "20200201000000Z" : "20991231235959Z");
  must(X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_UTF8,
                                  reinterpret_cast<const unsigned char*>(common_name.data()),
                                  static_cast<int>(common_name.size()), -1, 0) == 1);
  return certificate;
}

void sign(X509* certificate, X509* issuer, EVP_PKEY* key) {
  must(X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1);
  extend(certificate, issuer, NID_subject_key_identifier, "hash");
  must(X509_sign(certificate, key, EVP_sha256()) > 0);
}

}  // namespace

struct TestCa::Keys {
  Key key;
  Certificate certificate;
};

TestCa::TestCa(const std::string& common_name) : keys_(std::make_unique<Keys>()) {
  keys_->key.reset(EVP_EC_gen("P-256"));
  must(keys_->key != nullptr);
  keys_->certificate = make(common_name, keys_->key.get(), false);
  X509* const c = keys_->certificate.get();
  extend(c, c, NID_basic_constraints, "critical,CA:TRUE");
  extend(c, c, NID_key_usage, "critical,keyCertSign,cRLSign");
  sign(c, c, keys_->key.get());
  pem_ = pem_of(c);
}

TestCa::~TestCa() = default;

TlsIdentity TestCa::issue(const CertificateNames& names) const {
  const Key key(EVP_EC_gen("P-256"));
  must(key != nullptr);
  const Certificate certificate = make(names.common_name, key.get(), names.expired);
  X509* const issuer = keys_->certificate.get();
  std::string alternatives;
  for (const std::string& name : names.dns) alternatives += ",DNS:" + name;
  for (const std::string& address : names.ip) alternatives += ",IP:" + address;
  if (!alternatives.empty()) {
    extend(certificate.get(), issuer, NID_subject_alt_name, alternatives.substr(1));
  }
  extend(certificate.get(), issuer, NID_basic_constraints, "critical,CA:FALSE");
  sign(certificate.get(), issuer, keys_->key.get());
  return {.certificate_pem = pem_of(certificate.get()), .key_pem = pem_of(key.get())};
}

const TestCa& TestCa::shared() {
  static const TestCa ca;
  return ca;
}

const TlsIdentity& TestCa::localhost() {
  static const TlsIdentity identity = shared().issue();
  return identity;
}

std::shared_ptr<TlsContext> client_context(TlsClientOptions options) {
  if (options.trust.empty()) options.trust = TestCa::shared().trust();
  return TlsContext::client(std::move(options));
}

std::shared_ptr<TlsContext> server_context(TlsServerOptions options) {
  if (options.identity.empty()) options.identity = TestCa::localhost();
  return TlsContext::server(std::move(options));
}

}  // namespace ferry::test
