#pragma once

#include <ferry/testing/forwarding_kernel.h>

#include <memory>

namespace ferry::test {

/// Passes everything on to a simulated kernel, whose allocations stand for no memory of the
/// library's and do not count (see counting_new.h). Those of what it calls do; and so does one for
/// each watch, as in the kernel that ships.
std::unique_ptr<Kernel> make_counted_kernel(std::unique_ptr<Kernel> inner);

}  // namespace ferry::test
