#pragma once

// For ferry/asio.h and the library's half of it, after Asio's own headers.

namespace ferry::detail {

/// What of Asio's configuration changes its objects: a program and the library must agree on it.
constexpr unsigned kAsioOptions = 0
#if defined(ASIO_HAS_EPOLL)
                                  + 1
#endif
#if defined(ASIO_HAS_IO_URING_AS_DEFAULT)
                                  + 2
#endif
#if defined(ASIO_HAS_THREADS)
                                  + 4
#endif
#if defined(ASIO_ENABLE_HANDLER_TRACKING)
                                  + 8
#endif
    ;

}  // namespace ferry::detail
