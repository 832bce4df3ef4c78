#pragma once

#include "openssl.h"

namespace ferry {

class TlsEngine;

/// A BIO that reads the engine's input and appends to its output. Null if there is no memory.
BIO* make_engine_bio(TlsEngine& engine);

}  // namespace ferry
