// Asio, compiled once. A standard header comes first: Asio's configuration looks for macros of the
// standard library's before it includes any of it, and must find here what it finds in the other
// files, or one allocates with aligned_alloc what the other one deletes.
#include <cstddef>

#include <asio/impl/src.hpp>
