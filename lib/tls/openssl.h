#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>

namespace ferry {

/// Frees an object of OpenSSL's with the function for its kind.
template <auto kFree>
struct OpensslFree {
  template <class T>
  void operator()(T* object) const noexcept {
    kFree(object);
  }
};
template <class T, auto kFree>
using OpensslPtr = std::unique_ptr<T, OpensslFree<kFree>>;

using BioPtr = OpensslPtr<BIO, &BIO_free_all>;
using KeyPtr = OpensslPtr<EVP_PKEY, &EVP_PKEY_free>;
using SessionPtr = OpensslPtr<SSL_SESSION, &SSL_SESSION_free>;
using SslPtr = OpensslPtr<SSL, &SSL_free>;
using SslContextPtr = OpensslPtr<SSL_CTX, &SSL_CTX_free>;
using X509Ptr = OpensslPtr<X509, &X509_free>;

}  // namespace ferry
