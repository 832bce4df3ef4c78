#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

namespace ferry {

/// A writable run of bytes owned by somebody else.
using MutableBytes = std::span<std::byte>;

/// A read-only run of bytes owned by somebody else: valid only as long as its owner says.
/// Converts from text and from any contiguous range of one-byte elements, so that
/// `transport->write("pong\n")` and `transport->write(my_vector)` both read well.
class BytesView {
 public:
  constexpr BytesView() noexcept = default;
  BytesView(std::nullptr_t) = delete;
  constexpr BytesView(const std::byte* data, std::size_t size) noexcept
      : data_(data), size_(size) {}
  constexpr BytesView(std::span<const std::byte> bytes) noexcept
      : data_(bytes.data()), size_(bytes.size()) {}
  constexpr BytesView(std::span<std::byte> bytes) noexcept
      : data_(bytes.data()), size_(bytes.size()) {}
  BytesView(std::string_view text) noexcept
      : data_(reinterpret_cast<const std::byte*>(text.data())), size_(text.size()) {}
  /// A string literal or other NUL-terminated text; the NUL is not part of the view.
  BytesView(const char* text) noexcept : BytesView(std::string_view(text)) {}
  /// std::string, std::vector<std::byte>, std::array<unsigned char, N>, ...
  template <class Range>
  requires(sizeof(*std::declval<const Range&>().data()) == 1 &&
           requires(const Range& r) { r.size(); }) BytesView(const Range& range)
  noexcept : data_(reinterpret_cast<const std::byte*>(range.data())), size_(range.size()) {}

  constexpr const std::byte* data() const noexcept { return data_; }
  constexpr std::size_t size() const noexcept { return size_; }
  constexpr bool empty() const noexcept { return size_ == 0; }
  constexpr std::byte operator[](std::size_t i) const noexcept { return data_[i]; }
  constexpr const std::byte* begin() const noexcept { return data_; }
  constexpr const std::byte* end() const noexcept { return data_ + size_; }

  /// The first `n` bytes; all of them if there are fewer.
  constexpr BytesView first(std::size_t n) const noexcept { return {data_, n < size_ ? n : size_}; }
  /// All but the first `n` bytes; empty if there are no more.
  constexpr BytesView drop(std::size_t n) const noexcept {
    return n < size_ ? BytesView{data_ + n, size_ - n} : BytesView{data_ + size_, 0};
  }
  /// The same bytes as text.
  std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data_), size_}; }

  friend bool operator==(BytesView a, BytesView b) noexcept {
    return a.size_ == b.size_ && (a.size_ == 0 || std::memcmp(a.data_, b.data_, a.size_) == 0);
  }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace ferry
