#pragma once

namespace ferry::test {

/// OpenSSL gets its memory by `new` from now on, so that it is counted, and may fail, with the rest
/// (counting_new.h). Before anything of OpenSSL's is used; std::logic_error if it is too late.
void openssl_uses_new();

}  // namespace ferry::test
