#include "pattern.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

namespace ferry::bench {
namespace {

using Sizes = std::initializer_list<std::size_t>;

/// The stream of a connection as one string.
std::string stream(const Pattern& pattern, std::size_t connection, std::uint64_t position,
                   std::size_t size) {
  std::string text;
  while (text.size() < size) {
    text += pattern.at(connection, position + text.size(), size - text.size()).text();
  }
  return text;
}

TEST(Pattern, AnyPartOfAStreamIsThatPart) {
  const Pattern pattern;
  const std::string whole = stream(pattern, 3, 0, 3 * Pattern::kPeriod);
  for (std::size_t position : Sizes{0, 1, 63, 4096, 65520, 65521, 65522, 100'000}) {
    for (std::size_t size : Sizes{1, 64, 4096, 65521}) {
      EXPECT_EQ(pattern.at(3, position, size).text(), whole.substr(position, size));
    }
  }
}

TEST(Pattern, MoreThanAPeriodComesInPieces) {
  const Pattern pattern;
  EXPECT_EQ(pattern.at(0, 5, Pattern::kPeriod + 1).size(), Pattern::kPeriod);
}

TEST(Pattern, TheRightBytesMatchToTheEnd) {
  const Pattern pattern;
  for (std::size_t connection : Sizes{0, 1, 999, 70'000}) {
    for (std::uint64_t position :
         {std::uint64_t{0}, std::uint64_t{65'000}, std::uint64_t{1} << 40}) {
      const std::string bytes = stream(pattern, connection, position, 200'000);
      EXPECT_EQ(pattern.matching(connection, position, bytes), bytes.size());
    }
  }
  EXPECT_EQ(pattern.matching(0, 0, BytesView()), 0u);
}

TEST(Pattern, AnyWrongByteIsFoundWhereItIs) {
  const Pattern pattern;
  const std::string good = stream(pattern, 2, 77, 150'000);
  for (std::size_t at : Sizes{0, 1, 65'443, 65'444, 65'521, 149'999}) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    EXPECT_EQ(pattern.matching(2, 77, bad), at);
  }
}

TEST(Pattern, LostBytesAndOtherConnectionsDoNotFit) {
  const Pattern pattern;
  const std::string bytes = stream(pattern, 1, 0, 200'000);
  for (std::size_t lost : Sizes{1, 64, 512, 4096, 65'536, 131'072}) {
    EXPECT_LT(pattern.matching(1, 0, BytesView(bytes).drop(lost)), 8u) << lost;
  }
  for (std::size_t other : Sizes{0, 2, 3, 64, 1000}) {
    EXPECT_LT(pattern.matching(other, 0, bytes), 8u) << other;
  }
}

}  // namespace
}  // namespace ferry::bench
