#include "identity.h"

#include "error_codes.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace ferry {
namespace {

/// A PEM of an identity or a trust, wherever it is.
struct Source {
  BioPtr bio;
  std::string name;  // for messages
};

/// `pem` must live as long as what is returned reads from it.
Source open_source(const std::string& pem, const std::string& file, const char* what) {
  ERR_clear_error();
  Source source;
  if (!pem.empty()) {
    source.bio.reset(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    source.name = std::string("TLS: ") + what + " from PEM text";
  } else {
    source.bio.reset(BIO_new_file(file.c_str(), "r"));
    source.name = std::string("TLS: ") + what + " " + file;
  }
  if (!source.bio) throw_openssl_error(source.name);
  return source;
}

Source open_source(std::string&& pem, const std::string& file, const char* what) = delete;

/// For PEM_read_*: the password of an identity. Never a question on the terminal.
int give_password(char* buffer, int size, int, void* identity) {
  const std::string& password = static_cast<const TlsIdentity*>(identity)->key_password;
  if (password.empty() || size < 0 || password.size() > static_cast<std::size_t>(size)) return -1;
  std::memcpy(buffer, password.data(), password.size());
  return static_cast<int>(password.size());
}

int no_password(char*, int, int, void*) {
  return -1;
}

/// The next certificate; null at the end of the source.
X509Ptr next_certificate(const Source& source) {
  X509Ptr certificate(PEM_read_bio_X509_AUX(source.bio.get(), nullptr, no_password, nullptr));
  if (!certificate) {
    const unsigned long error = ERR_peek_last_error();
    if (ERR_GET_LIB(error) != ERR_LIB_PEM || ERR_GET_REASON(error) != PEM_R_NO_START_LINE) {
      throw_openssl_error(source.name);
    }
    ERR_clear_error();
  }
  return certificate;
}

}  // namespace

void throw_openssl_error(const std::string& what) {
  const int error = errno;
  if (ERR_peek_error() == 0 && error != 0) {
    throw std::system_error(error, std::system_category(), what);
  }
  throw std::system_error(take_openssl_error(), what);
}

void use_identity(SSL_CTX* context, const TlsIdentity& identity) {
  const Source chain =
      open_source(identity.certificate_pem, identity.certificate_file, "certificate");
  const X509Ptr leaf = next_certificate(chain);
  if (!leaf) throw std::invalid_argument(chain.name + " holds no certificate");
  if (SSL_CTX_use_certificate(context, leaf.get()) != 1) throw_openssl_error(chain.name);
  while (X509Ptr next = next_certificate(chain)) {
    if (SSL_CTX_add0_chain_cert(context, next.get()) != 1) throw_openssl_error(chain.name);
    static_cast<void>(next.release());  // the context has it now
  }

  const bool key_apart = !identity.key_pem.empty() || !identity.key_file.empty();
  const Source source =
      key_apart ? open_source(identity.key_pem, identity.key_file, "key")
                : open_source(identity.certificate_pem, identity.certificate_file, "key");
  const KeyPtr key(PEM_read_bio_PrivateKey(source.bio.get(), nullptr, give_password,
                                           const_cast<TlsIdentity*>(&identity)));
  if (!key) throw_openssl_error(source.name);
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    throw_openssl_error(source.name);
  }
}

void use_trust(SSL_CTX* context, const TlsTrust& trust) {
  ERR_clear_error();
  if (trust.empty()) {
    if (SSL_CTX_set_default_verify_paths(context) != 1) {
      throw_openssl_error("TLS: the system's certificate authorities");
    }
    return;
  }
  if (!trust.ca_file.empty() && SSL_CTX_load_verify_file(context, trust.ca_file.c_str()) != 1) {
    throw_openssl_error("TLS: CA file " + trust.ca_file);
  }
  if (!trust.ca_dir.empty() && SSL_CTX_load_verify_dir(context, trust.ca_dir.c_str()) != 1) {
    throw_openssl_error("TLS: CA folder " + trust.ca_dir);
  }
  if (trust.ca_pem.empty()) return;
  const Source source = open_source(trust.ca_pem, "", "CA");
  bool any = false;
  while (const X509Ptr ca = next_certificate(source)) {
    any = true;
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca.get()) != 1) {
      throw_openssl_error(source.name);
    }
  }
  if (!any) throw std::invalid_argument(source.name + " holds no certificate");
}

void announce_trust(SSL_CTX* context, const TlsTrust& trust) {
  const std::string none;
  for (const bool pem : {false, true}) {
    if ((pem ? trust.ca_pem : trust.ca_file).empty()) continue;
    const Source source = open_source(pem ? trust.ca_pem : none, trust.ca_file, "CA");
    while (const X509Ptr ca = next_certificate(source)) {
      if (SSL_CTX_add_client_CA(context, ca.get()) != 1) throw_openssl_error(source.name);
    }
  }
}

}  // namespace ferry
