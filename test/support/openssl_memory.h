#pragma once

namespace ferry::test {

/// OpenSSL gets its memory by `new` from now on, so that it is counted with the rest
/// (counting_new.h), but does not fail on order. Before anything of OpenSSL's is used;
/// std::logic_error if it is too late.
void openssl_uses_new();

}  // namespace ferry::test
