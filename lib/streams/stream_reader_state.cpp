#include <ferry/sanitizers.h>
#include <ferry/stream_read.h>

#include <stdexcept>
#include <utility>

namespace ferry {

namespace {

/// The memory of a buffer that has become empty, for the next one that needs some: a stream that
/// waits for data holds none.
thread_local Buffer spare;

void give_back(Buffer& buffer) noexcept {
#if !FERRY_ADDRESS_SANITIZER  // which is to see the use of bytes that were given back
  constexpr std::size_t kMostSpare = 1024 * 1024;
  if (buffer.capacity() > spare.capacity() && buffer.capacity() <= kMostSpare) {
    spare = std::move(buffer);
    spare.clear();
  }
#endif
  buffer.reset();
}

void use_spare(Buffer& buffer) noexcept {
  if (buffer.capacity() == 0) buffer = std::move(spare);
}

}  // namespace

StreamReaderState::StreamReaderState(std::size_t limit) : limit_(limit) {
  if (limit == 0) throw std::invalid_argument("StreamReader: the limit must not be 0");
}

StreamReaderState::~StreamReaderState() {
  give_back(buffer_);
  give_back(lent_from_);
}

void StreamReaderState::give_memory_back() noexcept {
  give_back(buffer_);
}

void StreamReaderState::settle() {
  buffer_.consume(std::exchange(lent_, 0));
  if (lent_from_.capacity() > 0) give_back(lent_from_);
}

void StreamReaderState::feed_data(BytesView data) {
  if (eof_) throw std::logic_error("StreamReader: data after the end");
  if (data.empty()) return;
  use_spare(buffer_);
  if (lent_ > 0 && buffer_.spare() < data.size()) {
    // The buffer would move, from under the bytes that are lent.
    Buffer moved;
    use_spare(moved);
    moved.reserve(size() + data.size());
    moved.append(content());
    lent_from_ = std::exchange(buffer_, std::move(moved));
    lent_ = 0;
  }
  buffer_.append(data);
  const Ref<StreamReaderState> keep(this);  // the task may let go of it
  wake();
  steer();
}

void StreamReaderState::feed_eof() {
  eof_ = true;
  const Ref<StreamReaderState> keep(this);
  wake();
}

void StreamReaderState::set_exception(std::exception_ptr exception) {
  exception_ = std::move(exception);
  const Ref<StreamReaderState> keep(this);
  wake();
}

void StreamReaderState::set_transport(std::shared_ptr<Transport> transport) {
  transport_ = std::move(transport);
  paused_ = false;
  steer();
}

void StreamReaderState::drop_content() noexcept {
  if (std::exchange(lent_, 0) > 0) {
    lent_from_ = std::exchange(buffer_, Buffer());
  } else {
    give_back(buffer_);
  }
}

void StreamReaderState::wake() {
  StreamReadBase* const read = reading_;
  if (!read || !read->waiting() || read->woken_ || !read->satisfied()) return;
  read->woken_ = true;
  // In a callback of the loop's the task can go on at once. Not from inside another task: it may be
  // the other end of a pair in memory, and the two would nest ever deeper.
  if (TaskCore::current() || !read->task()->loop().is_running()) {
    read->wake();
  } else {
    read->resume_now();
  }
}

void StreamReaderState::steer() {
  if (!transport_) return;
  const bool wanted = reading_ && !reading_->woken_;
  if (!paused_ && !wanted && size() > 2 * limit_) {
    paused_ = true;
    transport_->pause_reading();
  } else if (paused_ && (wanted || size() <= limit_)) {
    paused_ = false;
    transport_->resume_reading();
  }
}

}  // namespace ferry
