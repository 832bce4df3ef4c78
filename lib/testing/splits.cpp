#include <ferry/testing/splits.h>

#include "joined.h"

#include <ferry/testing/seed.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace ferry::testing {

Split::Split(BytesView bytes, std::vector<std::size_t> cuts)
    : bytes_(bytes), cuts_(std::move(cuts)) {
  std::size_t last = 0;
  for (const std::size_t cut : cuts_) {
    if (cut <= last || cut >= bytes_.size()) {
      throw std::invalid_argument("Split: a piece would be empty");
    }
    last = cut;
  }
}

Split::Iterator Split::begin() const {
  Iterator first(*this, 0);
  first.copy();
  return first;
}

Split::Iterator Split::end() const noexcept {
  return {*this, size()};
}

std::size_t Split::start_of(std::size_t piece) const noexcept {
  if (piece == 0) return 0;
  return piece <= cuts_.size() ? cuts_[piece - 1] : bytes_.size();
}

void Split::Iterator::copy() {
  memory_.reset();  // before the next is there: not the same memory again, if it can be helped
  size_ = 0;
  if (piece_ >= split_.size()) return;
  const std::size_t start = split_.start_of(piece_);
  const BytesView piece = split_.bytes_.drop(start).first(split_.start_of(piece_ + 1) - start);
  memory_ = std::make_unique<std::byte[]>(piece.size());
  std::copy(piece.begin(), piece.end(), memory_.get());
  size_ = piece.size();
}

std::string Split::to_string() const {
  constexpr std::size_t kShown = 20;
  if (bytes_.empty()) return "no bytes";
  if (cuts_.empty()) return "whole";
  if (cuts_.size() > 1 && cuts_.size() + 1 == bytes_.size()) return "byte by byte";
  std::string text = "at ";
  for (std::size_t i = 0; i < cuts_.size(); ++i) {
    if (i == kShown) {
      return joined({text, " and so on, ", std::to_string(size()), " pieces"});
    }
    if (i > 0) text += i + 1 == cuts_.size() ? " and " : ", ";
    text += std::to_string(cuts_[i]);
  }
  return text;
}

namespace {

/// Cuts at random places, each of the places as likely.
std::vector<std::size_t> random_cuts(std::size_t size, Seed& seed) {
  // Few pieces as often as many: 1, 2, 4, ... of the places, up to all.
  std::size_t wanted = 1;
  while (wanted < size - 1 && seed.below(4) != 0) wanted *= 2;
  wanted = std::min(seed.between(1, wanted), size - 1);
  std::vector<std::size_t> cuts;
  for (std::size_t i = 0; i < wanted; ++i) cuts.push_back(seed.between(1, size - 1));
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  return cuts;
}

}  // namespace

bool visit_splits(BytesView bytes, const SplitOptions& options, Function<bool(const Split&)> f) {
  const std::size_t size = bytes.size();
  if (!f(Split(bytes))) return false;
  if (size < 2) return true;
  if (size > 2 || !options.two_parts) {
    std::vector<std::size_t> everywhere(size - 1);
    std::iota(everywhere.begin(), everywhere.end(), std::size_t{1});
    if (!f(Split(bytes, std::move(everywhere)))) return false;
  }
  for (std::size_t at = 1; options.two_parts && at < size; ++at) {
    if (!f(Split(bytes, {at}))) return false;
  }
  // Three bytes in three parts are byte by byte.
  for (std::size_t first = 1; options.three_parts && size > 3 && first < size; ++first) {
    for (std::size_t second = first + 1; second < size; ++second) {
      if (!f(Split(bytes, {first, second}))) return false;
    }
  }
  Seed seed(options.seed, "splits");
  for (std::size_t i = 0; size > 3 && i < options.random; ++i) {
    if (!f(Split(bytes, random_cuts(size, seed)))) return false;
  }
  return true;
}

}  // namespace ferry::testing
