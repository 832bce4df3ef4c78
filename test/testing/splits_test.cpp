#include <ferry/sanitizers.h>
#include <ferry/testing/splits.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace ferry::test {
namespace {

using testing::for_each_split;
using testing::Split;
using testing::SplitOptions;

std::string joined(const Split& split, std::string_view between) {
  std::string text;
  for (const BytesView piece : split) {
    if (!text.empty()) text += between;
    text += piece.text();
  }
  return text;
}

/// All splits of a text, each as "a|b|c".
std::vector<std::string> splits_of(std::string_view text, const SplitOptions& options = {}) {
  std::vector<std::string> all;
  EXPECT_TRUE(for_each_split(
      text, [&](const Split& split) { all.push_back(joined(split, "|")); }, options));
  return all;
}

using Strings = std::vector<std::string>;

TEST(Splits, WholeByteByByteAndEveryTwoParts) {
  EXPECT_EQ(splits_of("abcd", {.random = 0}),
            (Strings{"abcd", "a|b|c|d", "a|bcd", "ab|cd", "abc|d"}));
}

TEST(Splits, EveryThreePartsIfWanted) {
  EXPECT_EQ(splits_of("abcd", {.two_parts = false, .three_parts = true, .random = 0}),
            (Strings{"abcd", "a|b|c|d", "a|b|cd", "a|bc|d", "ab|c|d"}));
}

TEST(Splits, SmallOnesAreNotGivenTwice) {
  EXPECT_EQ(splits_of(""), Strings{""});
  EXPECT_EQ(splits_of("a"), Strings{"a"});
  EXPECT_EQ(splits_of("ab", {.three_parts = true}), (Strings{"ab", "a|b"}));
  EXPECT_EQ(splits_of("ab", {.two_parts = false}), (Strings{"ab", "a|b"}));
  EXPECT_EQ(splits_of("abc", {.three_parts = true}), (Strings{"abc", "a|b|c", "a|bc", "ab|c"}));
}

TEST(Splits, NoBytesAreOneSplitWithoutPieces) {
  int calls = 0;
  for_each_split("", [&](const Split& split) {
    ++calls;
    EXPECT_EQ(split.size(), 0u);
    EXPECT_TRUE(split.begin() == split.end());
    EXPECT_EQ(split.to_string(), "no bytes");
  });
  EXPECT_EQ(calls, 1);
}

TEST(Splits, AllPiecesTogetherAreTheBytesAndNoneIsEmpty) {
  const std::string text = "The quick brown fox jumps over the lazy dog.";
  std::size_t splits = 0;
  for_each_split(text,
                 [&](const Split& split) {
                   SCOPED_TRACE(split.to_string());
                   ++splits;
                   EXPECT_EQ(joined(split, ""), text);
                   std::size_t pieces = 0;
                   for (const BytesView piece : split) {
                     EXPECT_FALSE(piece.empty());
                     ++pieces;
                   }
                   EXPECT_EQ(pieces, split.size());
                   EXPECT_EQ(pieces, split.cuts().size() + 1);
                 },
                 {.three_parts = true, .random = 500});
  const std::size_t places = text.size() - 1;
  EXPECT_EQ(splits, 2 + places + places * (places - 1) / 2 + 500);
}

TEST(Splits, RandomOnesAreDifferentAndTheSameForTheSameSeed) {
  const std::string text(1000, 'x');
  const auto cuts_of = [&](std::uint64_t seed) {
    std::vector<std::vector<std::size_t>> all;
    for_each_split(text, [&](const Split& split) { all.push_back(split.cuts()); },
                   {.two_parts = false, .random = 300, .seed = seed});
    return all;
  };
  const auto all = cuts_of(7);
  EXPECT_EQ(all, cuts_of(7));
  EXPECT_NE(all, cuts_of(8));
  std::set<std::vector<std::size_t>> different(all.begin(), all.end());
  EXPECT_GT(different.size(), 280u);
  const auto with_pieces = [&](std::size_t least, std::size_t most) {
    return std::count_if(different.begin(), different.end(), [&](const auto& cuts) {
      return cuts.size() + 1 >= least && cuts.size() + 1 <= most;
    });
  };
  EXPECT_GT(with_pieces(2, 4), 20) << "few pieces";
  EXPECT_GT(with_pieces(20, 1000), 20) << "many pieces";
}

TEST(Splits, ASplitIsNamedByItsCuts) {
  EXPECT_EQ(Split("abcdef").to_string(), "whole");
  EXPECT_EQ(Split("abcdef", {4}).to_string(), "at 4");
  EXPECT_EQ(Split("abcdef", {1, 4}).to_string(), "at 1 and 4");
  EXPECT_EQ(Split("abcdef", {1, 2, 4}).to_string(), "at 1, 2 and 4");
  EXPECT_EQ(Split("abc", {1, 2}).to_string(), "byte by byte");
  EXPECT_EQ(Split("ab", {1}).to_string(), "at 1");
  std::vector<std::size_t> even;
  for (std::size_t at = 2; at < 100; at += 2) even.push_back(at);
  EXPECT_EQ(Split(std::string(100, 'x'), even).to_string(),
            "at 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40 and so "
            "on, 50 pieces");
}

TEST(Splits, WhatFailedCanBeDoneAgain) {
  const std::string text = "abcdef";
  EXPECT_EQ(joined(Split(text, {1, 4}), "|"), "a|bcd|ef");
}

TEST(Splits, CutsThatMakeEmptyPiecesAreRefused) {
  EXPECT_THROW(Split("abc", {0}), std::invalid_argument);
  EXPECT_THROW(Split("abc", {3}), std::invalid_argument);
  EXPECT_THROW(Split("abc", {2, 2}), std::invalid_argument);
  EXPECT_THROW(Split("abc", {2, 1}), std::invalid_argument);
  EXPECT_THROW(Split("", {1}), std::invalid_argument);
}

TEST(Splits, FalseEndsIt) {
  std::size_t calls = 0;
  EXPECT_FALSE(for_each_split("abcdef", [&](const Split&) { return ++calls < 4; }));
  EXPECT_EQ(calls, 4u);
}

TEST(Splits, EachPieceHasMemoryOfItsOwn) {
  const std::string text = "abcdef";
  for_each_split(text, [&](const Split& split) {
    for (const BytesView piece : split) {
      const auto* data = reinterpret_cast<const char*>(piece.data());
      EXPECT_TRUE(std::less<>()(data, text.data()) ||
                  !std::less<>()(data, text.data() + text.size()));
    }
  });
}

#if FERRY_ADDRESS_SANITIZER
TEST(SplitsDeathTest, TheSanitizerSeesWhoReadsPastAPieceOrKeepsOne) {
  const std::string text = "abcdef";
  const volatile std::byte* kept = nullptr;
  EXPECT_DEATH(
      {
        for (const BytesView piece : Split(text, {2})) {
          kept = piece.data();
          static_cast<void>(kept[piece.size()]);
        }
      },
      "heap-buffer-overflow");
  EXPECT_DEATH(
      {
        for (const BytesView piece : Split(text, {2})) {
          if (kept) static_cast<void>(*kept);
          kept = piece.data();
        }
      },
      "heap-use-after-free");
}
#endif

}  // namespace
}  // namespace ferry::test
