#include "certificate.h"

#include <ferry/address.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <netinet/in.h>

#include <array>
#include <cstring>
#include <new>
#include <utility>

namespace ferry {
namespace {

using NamesPtr = OpensslPtr<GENERAL_NAMES, &GENERAL_NAMES_free>;

/// What `print` prints into the BIO it is given.
template <class Print>
std::string printed(Print print) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!bio) throw std::bad_alloc();
  print(bio.get());
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : std::string();
}

std::string name_text(const X509_NAME* name) {
  return printed([name](BIO* bio) { X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253); });
}

std::string time_text(const ASN1_TIME* time) {
  return printed([time](BIO* bio) { ASN1_TIME_print(bio, time); });
}

std::string ip_text(const unsigned char* bytes, int size) {
  Address address;
  if (size == 4) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    std::memcpy(&in.sin_addr, bytes, 4);
    address = Address(reinterpret_cast<const sockaddr*>(&in), sizeof(in));
  } else if (size == 16) {
    sockaddr_in6 in6{};
    in6.sin6_family = AF_INET6;
    std::memcpy(&in6.sin6_addr, bytes, 16);
    address = Address(reinterpret_cast<const sockaddr*>(&in6), sizeof(in6));
  }
  return address.host();
}

void add_names(X509& certificate, TlsCertificate& out) {
  const NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int kind = 0;
    const auto* value = static_cast<const ASN1_STRING*>(
        GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &kind));
    if (kind == GEN_DNS) {
      out.dns_names.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                                 static_cast<std::size_t>(ASN1_STRING_length(value)));
    } else if (kind == GEN_IPADD) {
      out.ip_addresses.push_back(ip_text(ASN1_STRING_get0_data(value), ASN1_STRING_length(value)));
    }
  }
}

std::string fingerprint_of(const X509& certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  if (X509_digest(&certificate, EVP_sha256(), digest.data(), &size) != 1) return {};
  std::string hex;
  for (unsigned i = 0; i < size; ++i) {
    hex += "0123456789abcdef"[digest[i] >> 4];
    hex += "0123456789abcdef"[digest[i] & 15];
  }
  return hex;
}

}  // namespace

TlsCertificate describe_certificate(X509& certificate) {
  TlsCertificate out;
  out.subject = name_text(X509_get_subject_name(&certificate));
  out.issuer = name_text(X509_get_issuer_name(&certificate));
  add_names(certificate, out);
  out.not_before = time_text(X509_get0_notBefore(&certificate));
  out.not_after = time_text(X509_get0_notAfter(&certificate));
  out.pem = printed([&certificate](BIO* bio) { PEM_write_bio_X509(bio, &certificate); });
  out.fingerprint = fingerprint_of(certificate);
  ERR_clear_error();
  return out;
}

}  // namespace ferry
