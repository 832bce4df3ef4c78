#pragma once

#include <unistd.h>

#include <asio.hpp>
#include <cstdlib>

/// An io_context whose reactor is live: it waits for a pipe that never has anything.
class LiveContext {
 public:
  LiveContext() {
    int ends[2];
    if (::pipe(ends) != 0) std::abort();
    quiet_.assign(ends[0]);
    other_.assign(ends[1]);
    quiet_.async_wait(asio::posix::stream_descriptor::wait_read, [](std::error_code) {});
  }
  asio::io_context& get() { return context_; }

 private:
  // The hint for programs with one thread, as ferry's own loop has.
  asio::io_context context_{1};
  asio::posix::stream_descriptor quiet_{context_};
  asio::posix::stream_descriptor other_{context_};
};
