#include <ferry/buffer.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>

namespace ferry {
namespace {

constexpr std::size_t kLeast = 64;

}  // namespace

Buffer::Buffer(Buffer&& other) noexcept
    : storage_(std::move(other.storage_)),
      capacity_(std::exchange(other.capacity_, 0)),
      begin_(std::exchange(other.begin_, 0)),
      end_(std::exchange(other.end_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    storage_ = std::move(other.storage_);
    capacity_ = std::exchange(other.capacity_, 0);
    begin_ = std::exchange(other.begin_, 0);
    end_ = std::exchange(other.end_, 0);
  }
  return *this;
}

void Buffer::append(BytesView bytes) {
  if (bytes.empty()) return;
  const std::byte* source = bytes.data();
  if (bytes.size() > spare()) {
    // Making room may move our content, so a source inside it is remembered by its distance.
    const std::byte* content = storage_.get() + begin_;
    const bool own =
        storage_ && !std::less<>{}(source, content) && std::less<>{}(source, storage_.get() + end_);
    const std::size_t distance = own ? static_cast<std::size_t>(source - content) : 0;
    grow(bytes.size());
    if (own) source = storage_.get() + begin_ + distance;
  }
  std::memcpy(storage_.get() + end_, source, bytes.size());
  end_ += bytes.size();
}

MutableBytes Buffer::prepare(std::size_t n) {
  if (n > spare()) grow(n);
  return {storage_.get() + end_, spare()};
}

void Buffer::consume(std::size_t n) noexcept {
  assert(n <= size());
  begin_ += n;
  if (begin_ == end_) begin_ = end_ = 0;
}

void Buffer::reset() noexcept {
  storage_.reset();
  capacity_ = begin_ = end_ = 0;
}

void Buffer::reserve(std::size_t n) {
  if (n > size() && n - size() > spare()) grow(n - size());
}

// Called only when `n` more bytes do not fit behind the content.
void Buffer::grow(std::size_t n) {
  const std::size_t held = size();
  if (n > static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) - held) {
    throw std::length_error("ferry::Buffer: " + std::to_string(n) + " more bytes are too many");
  }
  // Moving the content down pays only if at least as many bytes were consumed as have to be moved;
  // otherwise a nearly full buffer would be moved again and again for a few bytes each.
  if (held + n <= capacity_ && begin_ >= held) {
    if (held != 0) std::memmove(storage_.get(), storage_.get() + begin_, held);
  } else {
    const std::size_t capacity = std::max({held + n, capacity_ * 2, kLeast});
    auto storage = std::make_unique_for_overwrite<std::byte[]>(capacity);
    if (held != 0) std::memcpy(storage.get(), storage_.get() + begin_, held);
    storage_ = std::move(storage);
    capacity_ = capacity;
  }
  begin_ = 0;
  end_ = held;
}

}  // namespace ferry
