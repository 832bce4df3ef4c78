#pragma once

#include <ferry/stream_protocol.h>

namespace ferry::bench {

/// The echo of one connection on streams: messages of `size` bytes, each answered by its own
/// write, or what comes as it comes if `size` is 0.
Coro<> echo_stream(StreamReader reader, StreamWriter writer, std::size_t size);

}  // namespace ferry::bench
