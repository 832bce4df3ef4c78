#include <ferry/stream_read.h>

#include <ferry/stream_error.h>

#include <algorithm>
#include <stdexcept>

namespace ferry {

StreamReadBase::StreamReadBase(Ref<StreamReaderState> state, Kind kind, std::string_view separator,
                               std::span<const std::string_view> separators)
    : state_(std::move(state)), separator_(separator), separators_(separators), kind_(kind) {
  const auto empty = [](std::string_view each) { return each.empty(); };
  if (separators.empty() ? separator.empty()
                         : std::any_of(separators.begin(), separators.end(), empty)) {
    throw std::invalid_argument("readuntil: an empty separator");
  }
}

StreamReadBase::~StreamReadBase() {
  if (state_ && state_->reading_ == this) state_->reading_ = nullptr;
}

void StreamReadBase::throw_second_reader() {
  throw std::logic_error("StreamReader: another task is reading already");
}

void StreamReadBase::await_suspend(std::coroutine_handle<> coroutine) {
  state_->reading_ = this;
  suspend(coroutine);
  if (state_->size() == 0) state_->give_memory_back();
  try {
    state_->steer();  // somebody wants more, however much there is
  } catch (...) {
    if (!waiting()) return;  // cancelled already
    state_->reading_ = nullptr;
    unsuspend();
    throw;
  }
}

bool StreamReadBase::cancel(std::string_view message) {
  if (woken_) return false;
  state_->reading_ = nullptr;
  cancelled_with(message);
  wake();
  return true;
}

bool StreamReadBase::satisfied() {
  const StreamReaderState& state = *state_;
  if (state.exception_) return true;
  switch (kind_) {
    case Kind::some:
      return state.size() > 0 || size_ == 0 || state.eof_;
    case Kind::exactly:
      return state.size() >= size_ || state.eof_;
    case Kind::until:
    case Kind::line:
      return find_separator() || state.eof_;
    case Kind::all:
      return state.eof_;
  }
  return false;
}

/// True if there is one, or none can come within the limit any more.
bool StreamReadBase::find_separator() {
  const std::string_view text = state_->content().text();
  std::size_t longest = 1;
  std::size_t begin = 0;
  std::size_t end = std::string_view::npos;
  const auto look_for = [&](std::string_view separator) {
    longest = std::max(longest, separator.size());
    const std::size_t at = text.find(separator, searched_);
    if (at == std::string_view::npos || at + separator.size() >= end) return;
    begin = at;
    end = at + separator.size();
  };
  if (separators_.empty()) look_for(separator_);
  for (const std::string_view separator : separators_) look_for(separator);

  if (end != std::string_view::npos) {
    found_ = true;
    size_ = end;
    searched_ = begin;
    overrun_ = begin > state_->limit_;
    return true;
  }
  if (text.size() >= longest) searched_ = text.size() + 1 - longest;
  overrun_ = searched_ > state_->limit_;
  return overrun_;
}

void StreamReadBase::throw_overrun() {
  if (kind_ == Kind::line) {
    // As asyncio: the line if it is known to end, or else all there is.
    state_->buffer_.consume(found_ ? size_ : state_->size());
    state_->steer();
  }
  throw LimitOverrunError(found_ ? "the separator is there, but the piece is longer than the limit"
                                 : "no separator within the limit",
                          searched_);
}

BytesView StreamReadBase::take() {
  if (state_->reading_ == this) state_->reading_ = nullptr;
  resumed();
  StreamReaderState& state = *state_;
  if (state.exception_) std::rethrow_exception(state.exception_);
  std::size_t count = state.size();
  switch (kind_) {
    case Kind::all:
      break;
    case Kind::some:
      count = std::min(size_, count);
      break;
    case Kind::exactly:
      if (count < size_) return take_at_end();
      count = size_;
      break;
    case Kind::until:
    case Kind::line:
      if (overrun_) throw_overrun();
      if (!found_) return take_at_end();
      count = size_;
      break;
  }
  const BytesView bytes = state.content().first(count);
  state.lent_ = count;
  state.steer();
  return bytes;
}

/// The stream has ended too early.
BytesView StreamReadBase::take_at_end() {
  StreamReaderState& state = *state_;
  if (kind_ == Kind::line) {
    state.lent_ = state.size();
    return state.buffer_.view();
  }
  std::string partial(state.content().text());
  state.buffer_.consume(partial.size());
  throw IncompleteReadError(std::move(partial), kind_ == Kind::exactly
                                                    ? std::optional<std::size_t>(size_)
                                                    : std::nullopt);
}

}  // namespace ferry
