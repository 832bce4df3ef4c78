#pragma once

#include <ferry/bytes.h>
#include <ferry/function.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace ferry::testing {

/// One way to cut some bytes into pieces, none of them empty (no bytes are no pieces). Each piece
/// that is taken out of it is a copy in memory of its own, exactly as large, which is freed when
/// the next one is taken: a sanitizer sees who reads past a piece, or keeps a view of one.
///
///     for (BytesView piece : split) decoder.feed(piece);
///
/// The bytes must outlive it.
class Split {
 public:
  /// Cut before each of the offsets in `cuts`, which must rise, from 1 to less than the size;
  /// throws std::invalid_argument. None: whole.
  explicit Split(BytesView bytes, std::vector<std::size_t> cuts = {});

  class Iterator;
  Iterator begin() const;
  Iterator end() const noexcept;
  /// How many pieces.
  std::size_t size() const noexcept { return bytes_.empty() ? 0 : cuts_.size() + 1; }
  const std::vector<std::size_t>& cuts() const noexcept { return cuts_; }
  BytesView bytes() const noexcept { return bytes_; }
  /// "whole", "at 17", "at 3 and 17", "byte by byte"; for SCOPED_TRACE.
  std::string to_string() const;

 private:
  std::size_t start_of(std::size_t piece) const noexcept;

  BytesView bytes_;
  std::vector<std::size_t> cuts_;
};

/// Owns the piece it stands at.
class Split::Iterator {
 public:
  BytesView operator*() const noexcept { return {memory_.get(), size_}; }
  Iterator& operator++() {
    ++piece_;
    copy();
    return *this;
  }
  friend bool operator==(const Iterator& a, const Iterator& b) noexcept {
    return a.piece_ == b.piece_;
  }

 private:
  friend class Split;
  Iterator(const Split& split, std::size_t piece) noexcept : split_(split), piece_(piece) {}
  void copy();

  const Split& split_;
  std::size_t piece_;
  std::unique_ptr<std::byte[]> memory_;
  std::size_t size_ = 0;
};

/// Which splits there are beside the whole and byte by byte.
struct SplitOptions {
  bool two_parts = true;  ///< All cuts into two: as many as there are bytes, less one.
  bool three_parts =
      false;                ///< All into three: half the square of that. For up to 100 bytes or so.
  std::size_t random = 50;  ///< So many at random, of few pieces, and of many.
  std::uint64_t seed = 1;   ///< What these depend on.
};

/// Calls `f` with each way to cut `bytes`, none twice (but for random ones). False ends it, and is
/// the result.
bool visit_splits(BytesView bytes, const SplitOptions& options, Function<bool(const Split&)> f);

/// Calls `f(split)` with the bytes whole, byte by byte, cut into two at each place, and at random:
/// for whatever takes bytes as they come and must not care how they do.
///
///     for_each_split(wire, [&](const Split& split) {
///       SCOPED_TRACE(split.to_string());
///       Decoder decoder;
///       for (BytesView piece : split) decoder.feed(piece);
///       EXPECT_EQ(decoder.messages(), expected);
///     });
///
/// If `f` returns something, false ends it: `return !::testing::Test::HasFailure();`. False then.
template <std::invocable<const Split&> F>
bool for_each_split(BytesView bytes, F&& f, const SplitOptions& options = {}) {
  return visit_splits(bytes, options, [&f](const Split& split) -> bool {
    if constexpr (std::is_void_v<std::invoke_result_t<F&, const Split&>>) {
      f(split);
      return true;
    } else {
      return static_cast<bool>(f(split));
    }
  });
}

}  // namespace ferry::testing
