#pragma once

#include <ferry/coro.h>
#include <ferry/stream_reader.h>
#include <ferry/tls.h>
#include <ferry/write_flow.h>

#include <memory>
#include <optional>

namespace ferry {

/// What the handles of a StreamWriter share.
class StreamWriterState : public Counted<StreamWriterState> {
 public:
  StreamWriterState(std::shared_ptr<Transport> transport, Ref<WriteFlow> flow,
                    Ref<StreamReaderState> reader);
  /// Closes the transport if nobody has, and says so in debug mode.
  ~StreamWriterState();

  std::shared_ptr<Transport> transport;
  Ref<WriteFlow> flow;
  Ref<StreamReaderState> reader;  // of the same connection; null for a pipe
  bool upgrading = false;         // by start_tls
};

/// The sending half of a connection for coroutines, like asyncio.StreamWriter. A handle: copies
/// share one stream. `write` never waits; `drain` is where a task waits while the peer is slower
/// than it is. When the last handle is dropped the connection is closed, after what was written has
/// been sent; in debug mode that is logged, for asyncio's way is to close and to await wait_closed.
/// For the loop's thread only.
/// https://docs.python.org/3/library/asyncio-stream.html#streamwriter
class StreamWriter {
 public:
  class Drain;
  class WaitClosed;

  /// For those who make streams of other things: a writer to `transport`, whose protocol tells
  /// `flow` how it fares and feeds `reader`, which may be null.
  StreamWriter(std::shared_ptr<Transport> transport, Ref<WriteFlow> flow,
               Ref<StreamReaderState> reader)
      : state_(new StreamWriterState(std::move(transport), std::move(flow), std::move(reader))) {}

  /// As Transport's. Throw std::logic_error while start_tls is under way.
  void write(BytesView data) const { writable().write(data); }
  void writelines(std::span<const BytesView> pieces) const { writable().writelines(pieces); }
  void writelines(std::initializer_list<BytesView> pieces) const { writable().writelines(pieces); }
  void write_eof() const { writable().write_eof(); }
  bool can_write_eof() const noexcept { return state_->transport->can_write_eof(); }

  /// `co_await writer.drain()` after each write: waits while more is buffered than the transport's
  /// high-water mark allows, until it is below the low one; else not at all. Any number of tasks
  /// may wait. Throws what the reader throws, if the connection was lost by an error; IoError
  /// (ECONNRESET) if it is over. While it closes, at least one turn passes.
  Drain drain() const;

  /// Sends what is written, then ends the connection. Returns at once.
  void close() const { state_->transport->close(); }
  bool is_closing() const noexcept { return state_->transport->is_closing(); }
  /// Waits until the connection is over. Throws its error, if it was lost by one. Any number of
  /// tasks may wait, and again.
  WaitClosed wait_closed() const;

  /// Turns the connection into a TLS one, as client or server by the kind of `context`: sends what
  /// is written, then waits for the handshake. What the reader holds already is taken for the
  /// beginning of TLS. Reader and writer, and their copies, go on with the new connection. Throws
  /// std::logic_error while a task reads, and as ferry::start_tls; then the connection is lost.
  Coro<> start_tls(std::shared_ptr<TlsContext> context, TlsOptions options = TlsOptions()) const;

  /// For addresses, limits and options; a TlsTransport (ferry/tls_transport.h) if it is one.
  const std::shared_ptr<Transport>& transport() const noexcept { return state_->transport; }
  const Address& sockname() const noexcept { return state_->transport->sockname(); }
  const Address& peername() const noexcept { return state_->transport->peername(); }

 private:
  Transport& writable() const {
    if (state_->upgrading) [[unlikely]]
      throw_upgrading();
    return *state_->transport;
  }
  [[noreturn]] static void throw_upgrading();

  Ref<StreamWriterState> state_;
};

class [[nodiscard]] StreamWriter::Drain final : public WaitNode {
 public:
  explicit Drain(Ref<StreamWriterState> state) noexcept : state_(std::move(state)) {}
  bool await_ready() const;
  void await_suspend(std::coroutine_handle<> coroutine);
  void await_resume();
  std::string_view what() const noexcept override { return "stream drain"; }

 private:
  Ref<StreamWriterState> state_;
  bool for_room_ = false;
};

class [[nodiscard]] StreamWriter::WaitClosed final : public WaitNode {
 public:
  explicit WaitClosed(Ref<WriteFlow> flow) noexcept : flow_(std::move(flow)) {}
  bool await_ready() const noexcept { return flow_->lost(); }
  void await_suspend(std::coroutine_handle<> coroutine) { wait(flow_->ending(), coroutine); }
  void await_resume();
  std::string_view what() const noexcept override { return "stream end"; }

 private:
  Ref<WriteFlow> flow_;
};

inline StreamWriter::Drain StreamWriter::drain() const {
  return Drain(state_);
}
inline StreamWriter::WaitClosed StreamWriter::wait_closed() const {
  return WaitClosed(state_->flow);
}

}  // namespace ferry
