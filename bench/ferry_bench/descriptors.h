#pragma once

#include <cstddef>

namespace ferry::bench {

/// Raises the process's soft limit on descriptors to its hard one (getrlimit(2)). Throws
/// std::runtime_error with a clear line if even that is not enough for `connections`.
void raise_descriptor_limit(std::size_t connections);

}  // namespace ferry::bench
