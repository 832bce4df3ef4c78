#pragma once

#include <ferry/error.h>
#include <ferry/event_loop.h>
#include <ferry/protocol.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>

namespace ferry {

/// When a protocol is told to stop and go on writing. Bytes.
struct WriteLimits {
  std::size_t high = 64 * 1024;  ///< pause_writing when more than this is buffered.
  std::size_t low = 16 * 1024;   ///< resume_writing when this or less is.
};

/// One end of a byte stream. The loop owns it from its creation until connection_lost has returned;
/// afterwards a kept transport is closed: every call is safe and does nothing.
/// No call runs a callback from inside itself, but `write` and its kin and
/// `set_write_buffer_limits`, which may call pause_writing. For the loop's thread only.
/// https://docs.python.org/3/library/asyncio-protocol.html#transports
class Transport {
 public:
  virtual ~Transport() = default;
  virtual EventLoop& loop() const noexcept = 0;

  // -- writing
  /// Sends `data`, now or as soon as the kernel takes it, in order; what is not sent at once is
  /// copied. Never blocks, never throws for what the peer did. Inside a callback of this
  /// connection writes are gathered and sent when the callback returns. After close or loss the
  /// data is dropped. Throws std::logic_error after write_eof.
  virtual void write(BytesView data) = 0;
  /// The same as writing the concatenation.
  virtual void writelines(std::span<const BytesView> pieces) = 0;
  void writelines(std::initializer_list<BytesView> pieces) {
    writelines(std::span(pieces.begin(), pieces.size()));
  }
  /// Shuts the writing side down once all is sent; reading goes on. Again, or after close: nothing.
  virtual void write_eof() = 0;
  virtual bool can_write_eof() const noexcept = 0;

  // -- ending
  /// Stops reading, sends what is buffered, then connection_lost without error, from the loop.
  virtual void close() = 0;
  /// Drops what is buffered, then connection_lost without error, from the loop.
  virtual void abort() = 0;
  /// True from close, abort, the peer's loss on, for ever.
  virtual bool is_closing() const noexcept = 0;

  // -- reading
  /// No data_received after this returns, not even for bytes already read. Idempotent.
  virtual void pause_reading() = 0;
  virtual void resume_reading() = 0;
  /// Not paused, not closing.
  virtual bool is_reading() const noexcept = 0;

  // -- flow control of writing
  /// `high` alone sets low to a quarter of it, `low` alone sets high to four times it; neither
  /// restores the default. Throws std::invalid_argument if low > high. May call pause_writing.
  virtual void set_write_buffer_limits(std::optional<std::size_t> high = {},
                                       std::optional<std::size_t> low = {}) = 0;
  virtual WriteLimits get_write_buffer_limits() const noexcept = 0;
  /// Bytes accepted by `write` that the kernel has not taken. Exact, O(1).
  virtual std::size_t get_write_buffer_size() const noexcept = 0;
  /// Beyond this many buffered bytes the connection is aborted with errc::write_overflow; 0: no
  /// limit.
  virtual void set_write_hard_limit(std::size_t bytes) = 0;

  // -- what it is connected to
  /// Replaces the protocol between two callbacks; connection_made is not called again.
  virtual void set_protocol(std::shared_ptr<Protocol> protocol) = 0;
  virtual std::shared_ptr<Protocol> get_protocol() const = 0;
  /// Both are known from creation on, and stay known after the loss.
  virtual const Address& sockname() const noexcept = 0;
  virtual const Address& peername() const noexcept = 0;
  /// The descriptor, to set options on; -1 when closed or if there is none.
  virtual int native_handle() const noexcept = 0;
  /// Why the connection was lost: code, system call, peer. Empty while it is open or if all was
  /// well.
  virtual const Error& error() const noexcept = 0;
};

}  // namespace ferry
