#pragma once

#include <ferry/bytes.h>

#include <cstddef>
#include <memory>
#include <system_error>

namespace ferry {

class BufferedProtocol;
class ProtocolLayer;
class Transport;

/// What happens on a connection, as the application hears it. The order is
///
///     connection_made
///     ( data_received | pause_writing | resume_writing )*  eof_received?  ( pause | resume )*
///     connection_lost
///
/// with connection_made and connection_lost exactly once each; if a connection never comes about,
/// nothing at all is called. Every callback is on the loop's thread, and may close, abort, write
/// to, pause or drop anything. An exception out of one ends this connection, and it alone.
/// https://docs.python.org/3/library/asyncio-protocol.html
class Protocol {
 public:
  virtual ~Protocol() = default;

  /// The connection is up. Keep `transport` to write to it; it is safe to keep for ever.
  virtual void connection_made(std::shared_ptr<Transport> transport);
  /// Some bytes of the stream, at least one. `data` is valid during the call only: copy what is to
  /// be kept. Not called while reading is paused, nor after close or abort.
  virtual void data_received(BytesView data);
  /// The peer will send no more. True keeps the connection open for writing; false closes it after
  /// what is queued was sent. At most once.
  virtual bool eof_received();
  /// The last callback; then the transport lets go of the protocol. No error: the peer closed in an
  /// orderly way, or this side closed or aborted.
  virtual void connection_lost(std::error_code error);
  /// The write buffer is above its high-water mark: stop writing if you can. Comes from inside
  /// `write`.
  virtual void pause_writing();
  /// It is at or below its low-water mark again.
  virtual void resume_writing();

  /// This, if it is a BufferedProtocol: tells the transport to read into the protocol's own buffer.
  virtual BufferedProtocol* as_buffered() noexcept { return nullptr; }
  /// This, if another protocol is above it (ferry/protocol_layer.h).
  virtual ProtocolLayer* as_layer() noexcept { return nullptr; }
};

/// A protocol that lends its own memory to be read into: no copy, no allocation per read.
class BufferedProtocol : public Protocol {
 public:
  /// Where to read to: at least one byte, valid until the next buffer_updated, get_buffer or
  /// connection_lost. `size_hint` is how much the transport could use; 0: not known.
  virtual MutableBytes get_buffer(std::size_t size_hint) = 0;
  /// The first `size` bytes of that buffer, at least one, are the stream's next.
  virtual void buffer_updated(std::size_t size) = 0;

  /// Copies through get_buffer and buffer_updated, for what comes from elsewhere than a socket.
  void data_received(BytesView data) final;
  BufferedProtocol* as_buffered() noexcept final { return this; }
};

}  // namespace ferry
