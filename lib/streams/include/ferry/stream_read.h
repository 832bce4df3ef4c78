#pragma once

#include <ferry/buffer.h>
#include <ferry/ref.h>
#include <ferry/task_core.h>
#include <ferry/transport.h>

#include <cstddef>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

// What a StreamReader is made of: the state that its handles share, and the reads themselves.

namespace ferry {

class StreamReadBase;

/// The bytes of a stream that were received and not yet read, and the task that waits for more.
class StreamReaderState : public Counted<StreamReaderState> {
 public:
  static constexpr std::size_t kDefaultLimit = 64 * 1024;

  explicit StreamReaderState(std::size_t limit);
  ~StreamReaderState();

  bool at_eof() const noexcept { return eof_ && size() == 0; }
  const std::exception_ptr& exception() const noexcept { return exception_; }
  std::size_t limit() const noexcept { return limit_; }
  /// A task reads, or is about to.
  bool reading() const noexcept { return reading_ != nullptr; }
  /// Received and not read. What the last read lent does not count.
  BytesView content() const noexcept { return buffer_.view().drop(lent_); }
  std::size_t size() const noexcept { return buffer_.size() - lent_; }

  void feed_data(BytesView data);
  void feed_eof();
  void set_exception(std::exception_ptr exception);
  /// Where reading is paused while too much waits here; from now on another one, or none.
  void set_transport(std::shared_ptr<Transport> transport);
  /// All that was not read is somebody else's. What is lent stays so.
  void drop_content() noexcept;

 private:
  friend class StreamReadBase;

  /// What the last read lent is given back.
  void settle();
  /// Goes on with the task that waits, if it has what it waits for.
  void wake();
  /// Pauses or resumes the transport.
  void steer();
  void use_spare_memory();
  void give_memory_back() noexcept;

  std::size_t limit_;
  Buffer buffer_;
  Buffer lent_from_;      // where the bytes lie that were lent when the buffer had to move
  std::size_t lent_ = 0;  // at the front of the buffer: lent by the last read
  StreamReadBase* reading_ = nullptr;  // the read that waits, or is woken and not yet running
  std::shared_ptr<Transport> transport_;
  std::exception_ptr exception_;
  bool eof_ = false;
  bool paused_ = false;
};

/// A read of a StreamReader's: to be awaited once, by `co_await` or in wait_for, gather, ...
class StreamReadBase : public Suspension {
 public:
  /// Throws std::logic_error while another task reads.
  bool await_ready() {
    if (state_->reading_) [[unlikely]]
      throw_second_reader();
    state_->settle();
    return satisfied();
  }
  void await_suspend(std::coroutine_handle<> coroutine);
  std::string_view what() const noexcept override { return "stream read"; }

 protected:
  enum class Kind : unsigned char { some, exactly, until, line, all };

  StreamReadBase(Ref<StreamReaderState> state, Kind kind, std::size_t size) noexcept
      : state_(std::move(state)), size_(size), kind_(kind) {}
  /// Up to one of `separators`, or `separator` if there are none. The caller's.
  StreamReadBase(Ref<StreamReaderState> state, Kind kind, std::string_view separator,
                 std::span<const std::string_view> separators = {});
  StreamReadBase(StreamReadBase&&) noexcept = default;  // before it is awaited
  ~StreamReadBase();

  /// The bytes read, which stay in the reader's buffer until its next read.
  BytesView take();

 private:
  friend class StreamReader;
  friend class StreamReaderState;
  bool cancel(std::string_view message) override;
  /// There is something to return or throw.
  bool satisfied();
  bool find_separator();
  BytesView take_at_end();
  [[noreturn]] void throw_overrun();
  [[noreturn]] static void throw_second_reader();

  Ref<StreamReaderState> state_;
  std::size_t size_ = 0;      // wanted; with a separator: found
  std::size_t searched_ = 0;  // up to here there is no separator
  std::string_view separator_;
  std::span<const std::string_view> separators_;
  Kind kind_;
  bool woken_ = false;
  bool found_ = false;
  bool overrun_ = false;
};

/// `Result`: std::string, a copy; BytesView, good until the next read of the same reader; or
/// std::optional<std::string>, none for nothing.
template <class Result>
class [[nodiscard]] StreamRead final : public StreamReadBase {
 public:
  Result await_resume() {
    const BytesView bytes = take();
    if constexpr (std::is_same_v<Result, BytesView>) {
      return bytes;
    } else if constexpr (std::is_same_v<Result, std::string>) {
      return std::string(bytes.text());
    } else {
      return bytes.empty() ? Result() : Result(std::string(bytes.text()));
    }
  }

 private:
  friend class StreamReader;
  using StreamReadBase::StreamReadBase;
};

}  // namespace ferry
