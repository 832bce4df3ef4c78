#include "echo_stream.h"

#include <ferry/stream_error.h>

namespace ferry::bench {

namespace {

Coro<> echo_chunks(StreamReader& reader, StreamWriter& writer) {
  while (true) {
    const BytesView chunk = co_await reader.read_view();
    if (chunk.empty()) co_return;
    writer.write(chunk);
    co_await writer.drain();
  }
}

/// Ends by IncompleteReadError.
Coro<> echo_messages(StreamReader& reader, StreamWriter& writer, std::size_t size) {
  while (true) {
    const BytesView message = co_await reader.readexactly_view(size);
    writer.write(message);
    co_await writer.drain();
  }
}

}  // namespace

Coro<> echo_stream(StreamReader reader, StreamWriter writer, std::size_t size) {
  try {
    if (size == 0) {
      co_await echo_chunks(reader, writer);
    } else {
      co_await echo_messages(reader, writer, size);
    }
  } catch (const IncompleteReadError&) {
    // The peer has said all it had to say.
  } catch (const IoError&) {
    // It is gone.
  }
  writer.close();
}

}  // namespace ferry::bench
