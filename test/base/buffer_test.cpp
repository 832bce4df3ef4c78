#include <ferry/buffer.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace ferry {
namespace {

// The text 0, 1, 2, ... so that a byte in a wrong place shows.
std::string pattern(std::size_t size, std::size_t from = 0) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>((from + i) * 7 % 251);
  return text;
}

TEST(Buffer, HoldsNoMemoryUntilFirstWritten) {
  Buffer buffer;
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.capacity(), 0U);
  EXPECT_TRUE(buffer.view().empty());
  buffer.append({});
  buffer.append("");
  buffer.consume(0);
  buffer.reserve(0);
  EXPECT_EQ(buffer.prepare(0).size(), 0U);
  EXPECT_EQ(buffer.capacity(), 0U);
}

TEST(Buffer, AppendsAtTheBackAndConsumesFromTheFront) {
  Buffer buffer("hello");
  buffer.append(", world");
  EXPECT_EQ(buffer.view().text(), "hello, world");
  buffer.consume(7);
  EXPECT_EQ(buffer.view().text(), "world");
  EXPECT_EQ(buffer.size(), 5U);
  EXPECT_EQ(BytesView(buffer), BytesView("world"));
}

TEST(Buffer, PreparedBytesBecomeContentByCommit) {
  Buffer buffer("ab");
  MutableBytes room = buffer.prepare(100);
  ASSERT_GE(room.size(), 100U);
  std::memcpy(room.data(), "cdef", 4);
  EXPECT_EQ(buffer.view().text(), "ab");
  buffer.commit(3);
  EXPECT_EQ(buffer.view().text(), "abcde");
}

TEST(Buffer, PrepareOffersAllThatIsSpare) {
  Buffer buffer("x");
  EXPECT_EQ(buffer.prepare(1).size(), buffer.capacity() - 1);
  EXPECT_EQ(buffer.spare(), buffer.capacity() - 1);
}

TEST(Buffer, CommitOfAllThatWasPreparedFillsItExactly) {
  Buffer buffer;
  MutableBytes room = buffer.prepare(10);
  std::memset(room.data(), 'z', room.size());
  buffer.commit(room.size());
  EXPECT_EQ(buffer.size(), buffer.capacity());
  EXPECT_EQ(buffer.spare(), 0U);
}

TEST(Buffer, ConsumingEverythingRewindsToTheStart) {
  Buffer buffer(pattern(1000));
  const std::size_t capacity = buffer.capacity();
  const std::byte* start = buffer.view().data();
  buffer.consume(999);
  EXPECT_EQ(buffer.spare(), capacity - 1000);
  buffer.consume(1);
  EXPECT_EQ(buffer.spare(), capacity);
  EXPECT_EQ(buffer.view().data(), start);
}

TEST(Buffer, ClearKeepsTheMemoryAndResetGivesItBack) {
  Buffer buffer(pattern(300));
  const std::size_t capacity = buffer.capacity();
  buffer.consume(5);
  buffer.clear();
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.capacity(), capacity);
  EXPECT_EQ(buffer.spare(), capacity);
  buffer.reset();
  EXPECT_EQ(buffer.capacity(), 0U);
  buffer.append("again");
  EXPECT_EQ(buffer.view().text(), "again");
}

TEST(Buffer, AppendOfItsOwnViewKeepsTheBytes) {
  for (const std::size_t size : {1U, 63U, 64U, 65U, 1000U}) {
    Buffer buffer(pattern(size));
    std::string expected = pattern(size);
    for (int i = 0; i < 6; ++i) {
      buffer.append(buffer);
      expected += expected;
      ASSERT_EQ(buffer.view().text(), expected) << size << " bytes, doubling " << i;
    }
  }
}

TEST(Buffer, AppendOfAPartOfItselfSurvivesCompaction) {
  Buffer buffer;
  buffer.reserve(100);
  buffer.append(pattern(100));
  buffer.consume(80);
  ASSERT_EQ(buffer.spare(), 0U);
  const std::size_t capacity = buffer.capacity();
  buffer.append(buffer.view().drop(5).first(10));
  EXPECT_EQ(buffer.capacity(), capacity);
  EXPECT_EQ(buffer.view().text(), pattern(20, 80) + pattern(10, 85));
}

TEST(Buffer, AppendOfAPartOfItselfSurvivesGrowthOfAConsumedBuffer) {
  Buffer buffer;
  buffer.append(pattern(64));
  buffer.consume(10);
  buffer.append(buffer.view().drop(4));
  EXPECT_EQ(buffer.view().text(), pattern(54, 10) + pattern(50, 14));
}

TEST(Buffer, GrowthDoublesSoThatAppendingIsAmortised) {
  Buffer buffer;
  std::size_t changes = 0;
  for (std::size_t i = 0; i < 1'000'000; ++i) {
    const std::size_t before = buffer.capacity();
    buffer.append("x");
    if (buffer.capacity() != before) {
      ++changes;
      EXPECT_GE(buffer.capacity(), 2 * before);
    }
  }
  EXPECT_LE(changes, 16U);
  EXPECT_LE(buffer.capacity(), 2U * 1'000'000);
}

TEST(Buffer, CompactsInsteadOfGrowingWhenLittleIsLeftToMove) {
  Buffer buffer;
  buffer.reserve(1000);
  buffer.append(pattern(1000));
  buffer.consume(900);
  buffer.append(pattern(800, 1000));
  EXPECT_EQ(buffer.capacity(), 1000U);
  EXPECT_EQ(buffer.view().text(), pattern(900, 900));
}

TEST(Buffer, GrowsInsteadOfMovingANearlyFullContentForAFewBytes) {
  Buffer buffer;
  buffer.reserve(1000);
  buffer.append(pattern(1000));
  buffer.consume(10);
  buffer.append("0123456789");
  EXPECT_EQ(buffer.capacity(), 2000U);
  EXPECT_EQ(buffer.view().text(), pattern(990, 10) + "0123456789");
}

TEST(Buffer, AQueueOfSteadySizeDoesNotGrowForever) {
  Buffer buffer(pattern(10'000));
  for (std::size_t at = 10'000; at < 3'000'000; at += 100) {
    buffer.append(pattern(100, at));
    buffer.consume(100);
  }
  EXPECT_EQ(buffer.size(), 10'000U);
  EXPECT_LE(buffer.capacity(), 4U * 10'100);
  EXPECT_EQ(buffer.view().text(), pattern(10'000, 3'000'000 - 10'000));
}

TEST(Buffer, ReserveMakesRoomThatLasts) {
  Buffer buffer("abc");
  buffer.reserve(5000);
  const std::size_t capacity = buffer.capacity();
  const std::byte* start = buffer.view().data();
  buffer.append(pattern(4997));
  EXPECT_EQ(buffer.capacity(), capacity);
  EXPECT_EQ(buffer.view().data(), start);
  buffer.reserve(10);
  EXPECT_EQ(buffer.capacity(), capacity);
}

TEST(Buffer, ReserveAfterConsumingCountsOnlyTheContent) {
  Buffer buffer(pattern(1000));
  buffer.consume(600);
  buffer.reserve(1000);
  const std::size_t capacity = buffer.capacity();
  buffer.append(pattern(600, 1000));
  EXPECT_EQ(buffer.capacity(), capacity);
  EXPECT_EQ(buffer.view().text(), pattern(1000, 600));
}

TEST(Buffer, MovedFromIsEmptyAndUsable) {
  Buffer source(pattern(500));
  const std::byte* start = source.view().data();
  Buffer target(std::move(source));
  EXPECT_EQ(target.view().data(), start);
  EXPECT_EQ(source.capacity(), 0U);  // NOLINT: the state of a moved-from Buffer is promised
  source.append("fresh");
  EXPECT_EQ(source.view().text(), "fresh");
  target = std::move(source);
  EXPECT_EQ(target.view().text(), "fresh");
  EXPECT_TRUE(source.empty());  // NOLINT
  Buffer& same = target;
  target = std::move(same);
  EXPECT_EQ(target.view().text(), "fresh");
  EXPECT_FALSE(std::is_copy_constructible_v<Buffer>);
}

TEST(Buffer, AnImpossibleSizeThrowsAndKeepsTheContent) {
  Buffer buffer("kept");
  EXPECT_THROW(buffer.prepare(SIZE_MAX), std::length_error);
  EXPECT_THROW(buffer.prepare(SIZE_MAX / 2 - 3), std::length_error);
  EXPECT_THROW(buffer.reserve(SIZE_MAX), std::length_error);
  EXPECT_EQ(buffer.view().text(), "kept");
}

#ifndef NDEBUG
TEST(BufferDeathTest, ConsumingOrCommittingMoreThanThereIsDies) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Buffer buffer("four");
  EXPECT_DEATH(buffer.consume(5), "n <= size");
  EXPECT_DEATH(buffer.commit(buffer.spare() + 1), "n <= spare");
}
#endif

TEST(Buffer, BehavesLikeAStringUnderRandomOperations) {
  std::mt19937 random(20240607);
  auto below = [&random](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
  std::size_t written = 0;
  for (int round = 0; round < 20; ++round) {
    Buffer buffer;
    std::string model;
    for (int step = 0; step < 3000; ++step) {
      const std::size_t largest = below(10) == 0 ? 3000 : 60;
      switch (below(12)) {
        case 0:
        case 1:
        case 2: {
          const std::string text = pattern(below(largest), written);
          written += text.size();
          buffer.append(text);
          model += text;
          break;
        }
        case 3:
        case 4: {
          const std::string text = pattern(below(largest), written);
          written += text.size();
          MutableBytes room = buffer.prepare(text.size() + below(50));
          ASSERT_GE(room.size(), text.size());
          if (!text.empty()) std::memcpy(room.data(), text.data(), text.size());
          buffer.commit(text.size());
          model += text;
          break;
        }
        case 5:
        case 6:
        case 7:
        case 8: {
          const std::size_t n = below(std::min(model.size(), 2 * largest) + 1);
          buffer.consume(n);
          model.erase(0, n);
          break;
        }
        case 9: {
          if (model.size() > 20'000) break;
          const std::size_t from = below(model.size() + 1);
          const std::size_t n = below(model.size() - from + 1);
          buffer.append(buffer.view().drop(from).first(n));
          model += model.substr(from, n);
          break;
        }
        case 10:
          buffer.reserve(below(4000));
          break;
        default:
          switch (below(40)) {
            case 0:
              buffer.clear();
              model.clear();
              break;
            case 1:
              buffer.reset();
              model.clear();
              break;
            case 2: {
              Buffer moved(std::move(buffer));
              buffer = std::move(moved);
              break;
            }
            default:
              buffer.consume(model.size());
              model.clear();
          }
      }
      ASSERT_EQ(buffer.size(), model.size()) << "round " << round << " step " << step;
      ASSERT_EQ(buffer.empty(), model.empty());
      ASSERT_LE(buffer.size() + buffer.spare(), buffer.capacity());
      ASSERT_TRUE(buffer.view().text() == model) << "round " << round << " step " << step;
    }
  }
}

}  // namespace
}  // namespace ferry
