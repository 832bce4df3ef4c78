#pragma once

#include "openssl.h"

#include <ferry/tls_transport.h>

namespace ferry {

TlsCertificate describe_certificate(X509& certificate);

}  // namespace ferry
