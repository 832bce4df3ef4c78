#pragma once

#include <asio/detail/config.hpp>
#include <asio/version.hpp>

// Which FdWatch is built. The reactor's is for epoll and for the versions of Asio whose inner
// signatures it was checked against (1.22 to 1.38); everything else waits by async_wait.
#if !defined(FERRY_WATCH_ASYNC_WAIT) && defined(ASIO_HAS_EPOLL) && \
    !defined(ASIO_HAS_IO_URING_AS_DEFAULT) && ASIO_VERSION >= 102200 && ASIO_VERSION < 103900
#define FERRY_WATCH_REACTOR 1
#else
#define FERRY_WATCH_REACTOR 0
#endif
