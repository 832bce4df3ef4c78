#pragma once

#include <ferry/stream_error.h>
#include <ferry/stream_read.h>

namespace ferry {

/// The receiving half of a connection for coroutines, like asyncio.StreamReader. A handle: copies
/// share one stream. Each reading call comes in two kinds: `read` copies, `read_view` does not and
/// lends the bytes until the next read of the same stream. What is there already is given without
/// waiting; a task that waits goes on inside the callback that brought the data, so that what it
/// writes then is sent together. One task reads at a time: for a second one the read throws
/// std::logic_error. When the connection is lost by an error each read throws that (IoError), even
/// if there are bytes left. A cancelled read takes no byte. For the loop's thread only.
/// https://docs.python.org/3/library/asyncio-stream.html#streamreader
class StreamReader {
 public:
  static constexpr std::size_t kDefaultLimit = StreamReaderState::kDefaultLimit;
  static constexpr std::size_t kUntilEof = std::numeric_limits<std::size_t>::max();

  /// One that is fed by hand. `limit`, in bytes: the longest line, without its separator; the
  /// transport is paused while more than twice that waits to be read. Throws std::invalid_argument
  /// for 0.
  explicit StreamReader(std::size_t limit = kDefaultLimit)
      : StreamReader(Ref<StreamReaderState>(new StreamReaderState(limit))) {}
  /// For the library: a handle to `state`.
  explicit StreamReader(Ref<StreamReaderState> state) noexcept : state_(std::move(state)) {}

  /// At least one byte and at most `n`; nothing at the end of the stream. kUntilEof: all there is
  /// until then, of any length.
  StreamRead<std::string> read(std::size_t n = kUntilEof) const {
    return {state_, n == kUntilEof ? Kind::all : Kind::some, n};
  }
  /// What is there, at least one byte and at most `n`.
  StreamRead<BytesView> read_view(std::size_t n = kUntilEof) const {
    return {state_, Kind::some, n};
  }
  /// Exactly `n` bytes, more than the limit too. Throws IncompleteReadError.
  StreamRead<std::string> readexactly(std::size_t n) const { return {state_, Kind::exactly, n}; }
  StreamRead<BytesView> readexactly_view(std::size_t n) const { return {state_, Kind::exactly, n}; }
  /// Up to and with "\n"; less, or nothing, at the end of the stream. Throws LimitOverrunError, and
  /// drops the line as far as it is known.
  StreamRead<std::string> readline() const { return {state_, Kind::line, "\n"}; }
  StreamRead<BytesView> readline_view() const { return {state_, Kind::line, "\n"}; }
  /// The same, for loops: none at the end of the stream.
  ///
  ///     while (std::optional<std::string> line = co_await reader.next_line()) ...
  StreamRead<std::optional<std::string>> next_line() const { return {state_, Kind::line, "\n"}; }
  /// Up to and with `separator`, which must outlive the read. Throws IncompleteReadError;
  /// LimitOverrunError, and leaves the bytes; std::invalid_argument for an empty separator.
  StreamRead<std::string> readuntil(std::string_view separator = "\n") const {
    return {state_, Kind::until, separator};
  }
  StreamRead<BytesView> readuntil_view(std::string_view separator = "\n") const {
    return {state_, Kind::until, separator};
  }
  /// The shortest that ends with one of them, which must outlive the read.
  StreamRead<std::string> readuntil(std::span<const std::string_view> separators) const {
    return {state_, Kind::until, {}, separators};
  }
  StreamRead<BytesView> readuntil_view(std::span<const std::string_view> separators) const {
    return {state_, Kind::until, {}, separators};
  }

  /// The stream has ended and all of it was read.
  bool at_eof() const noexcept { return state_->at_eof(); }
  /// What every further read throws; null if all is well.
  std::exception_ptr exception() const noexcept { return state_->exception(); }

  // -- for who feeds it
  /// Where reading is paused while too much waits to be read.
  void set_transport(std::shared_ptr<Transport> transport) const {
    state_->set_transport(std::move(transport));
  }
  /// Throws std::logic_error after feed_eof.
  void feed_data(BytesView data) const { state_->feed_data(data); }
  void feed_eof() const { state_->feed_eof(); }
  void set_exception(std::exception_ptr exception) const {
    state_->set_exception(std::move(exception));
  }
  const Ref<StreamReaderState>& state() const noexcept { return state_; }

 private:
  using Kind = StreamReadBase::Kind;

  Ref<StreamReaderState> state_;
};

}  // namespace ferry
