#pragma once

#include <ferry/error.h>
#include <ferry/future.h>

#include <new>

namespace ferry {

/// The future fails with an IoError; with std::bad_alloc if there is no memory to make one.
template <class T>
void set_io_error(const Future<T>& future, std::error_code code, const char* operation,
                  const Address& address = {}) {
  try {
    future.set_exception(IoError({code, operation, address}));
  } catch (const std::bad_alloc&) {
    future.set_exception(std::current_exception());
  }
}

}  // namespace ferry
