#include <ferry/bytes.h>

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace ferry {
namespace {

std::string text_of(BytesView bytes) {
  return std::string(bytes.text());
}

TEST(Bytes, DefaultViewIsEmptyAndHasNoMemory) {
  constexpr BytesView view;
  EXPECT_TRUE(view.empty());
  EXPECT_EQ(view.size(), 0U);
  EXPECT_EQ(view.data(), nullptr);
  EXPECT_EQ(view.text(), "");
  EXPECT_EQ(view.begin(), view.end());
}

TEST(Bytes, ConvertsFromEveryKindOfByteRun) {
  const std::string string = "pong";
  const std::string_view view = "pong";
  const std::vector<std::byte> bytes{std::byte{'p'}, std::byte{'o'}, std::byte{'n'},
                                     std::byte{'g'}};
  const std::vector<char> chars{'p', 'o', 'n', 'g'};
  const std::array<unsigned char, 4> array{'p', 'o', 'n', 'g'};
  std::vector<std::byte> writable = bytes;
  EXPECT_EQ(text_of("pong"), "pong");
  EXPECT_EQ(text_of(string), "pong");
  EXPECT_EQ(text_of(view), "pong");
  EXPECT_EQ(text_of(bytes), "pong");
  EXPECT_EQ(text_of(chars), "pong");
  EXPECT_EQ(text_of(array), "pong");
  EXPECT_EQ(text_of(MutableBytes(writable)), "pong");
  EXPECT_EQ(text_of(std::span<const std::byte>(bytes)), "pong");
  EXPECT_EQ(text_of(std::span<const char, 4>(chars)), "pong");
  EXPECT_EQ(text_of(BytesView(bytes.data(), 2)), "po");
}

TEST(Bytes, RefusesWiderElementsAndNullPointers) {
  EXPECT_FALSE((std::is_convertible_v<std::vector<int>, BytesView>));
  EXPECT_FALSE((std::is_convertible_v<std::u16string, BytesView>));
  EXPECT_FALSE((std::is_constructible_v<BytesView, std::nullptr_t>));
  EXPECT_TRUE((std::is_convertible_v<std::vector<std::uint8_t>, BytesView>));
}

TEST(Bytes, LiteralStopsAtItsNulButStringKeepsInnerOnes) {
  EXPECT_EQ(BytesView("ab\0cd").size(), 2U);
  EXPECT_EQ(BytesView(std::string("ab\0cd", 5)).size(), 5U);
}

TEST(Bytes, ViewPointsAtTheOwnersBytesWithoutCopying) {
  std::string owner = "abc";
  const BytesView view = owner;
  owner[1] = 'X';
  EXPECT_EQ(view.text(), "aXc");
  EXPECT_EQ(static_cast<const void*>(view.data()), owner.data());
}

TEST(Bytes, FirstAndDropSplitAtEveryIndex) {
  const BytesView all = "hello";
  for (std::size_t i = 0; i <= 5; ++i) {
    EXPECT_EQ(all.first(i).size(), i);
    EXPECT_EQ(all.drop(i).size(), 5 - i);
    EXPECT_EQ(text_of(all.first(i)) + text_of(all.drop(i)), "hello");
  }
}

TEST(Bytes, FirstAndDropBeyondTheEndGiveAllAndNothing) {
  const BytesView all = "hello";
  EXPECT_EQ(all.first(6), all);
  EXPECT_EQ(all.first(SIZE_MAX), all);
  EXPECT_TRUE(all.drop(6).empty());
  EXPECT_TRUE(all.drop(SIZE_MAX).empty());
  EXPECT_EQ(all.drop(SIZE_MAX).data(), all.end());
  EXPECT_TRUE(BytesView().first(3).empty());
  EXPECT_TRUE(BytesView().drop(3).empty());
}

TEST(Bytes, EqualityComparesContentNotPlace) {
  const std::string one = "same";
  const std::string two = "same";
  EXPECT_EQ(BytesView(one), BytesView(two));
  EXPECT_NE(BytesView("same"), BytesView("samE"));
  EXPECT_NE(BytesView("same"), BytesView("sam"));
  EXPECT_EQ(BytesView(), BytesView(""));
  EXPECT_TRUE(BytesView("text") == "text");
}

TEST(Bytes, IteratesAndIndexesInOrder) {
  const BytesView view = "abc";
  std::string seen;
  for (const std::byte byte : view) seen += static_cast<char>(byte);
  EXPECT_EQ(seen, "abc");
  EXPECT_EQ(view[2], std::byte{'c'});
}

TEST(Bytes, CountsAllValuesOfAByteNotOnlyText) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  const BytesView view = all;
  ASSERT_EQ(view.size(), 256U);
  for (std::size_t i = 0; i < 256; ++i) EXPECT_EQ(std::to_integer<std::size_t>(view[i]), i);
}

}  // namespace
}  // namespace ferry
