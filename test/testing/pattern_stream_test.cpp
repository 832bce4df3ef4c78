#include <ferry/testing/pattern_stream.h>
#include <ferry/testing/seed.h>

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <utility>

namespace ferry::test {
namespace {

using testing::PatternFinding;
using testing::PatternReader;
using testing::PatternWriter;
using testing::Seed;
using Kind = PatternFinding::Kind;

using Sizes = std::initializer_list<std::size_t>;

/// Some bytes of a stream.
std::string stream(std::uint16_t id, std::uint64_t offset, std::size_t size) {
  return std::string(PatternWriter(id, offset).next(size).text());
}

/// What a reader of stream 7 says of bytes that come in pieces of a size.
std::string said_of(std::string_view bytes, std::size_t piece) {
  PatternReader reader(7);
  for (std::size_t at = 0; at < bytes.size(); at += piece) reader.take(bytes.substr(at, piece));
  EXPECT_EQ(reader.received(), bytes.size());
  return reader.to_string();
}

/// Says so whatever the pieces.
void expect_said(std::string_view bytes, const std::string& sentence) {
  for (const std::size_t piece : Sizes{1, 2, 3, 7, 8, 9, 16, 31, 32, 33, 64, 65, 1000, 1'000'000}) {
    EXPECT_EQ(said_of(bytes, piece), sentence) << "in pieces of " << piece;
  }
}

TEST(PatternStream, AnyPartOfAStreamIsThatPart) {
  const std::string whole = stream(3, 0, 1000);
  for (std::size_t offset = 0; offset < 40; ++offset) {
    for (const std::size_t size : Sizes{0, 1, 7, 8, 9, 31, 32, 33, 100, 900}) {
      ASSERT_EQ(stream(3, offset, size), whole.substr(offset, size)) << offset << " " << size;
    }
    EXPECT_EQ(testing::pattern_byte(3, offset), static_cast<std::byte>(whole[offset]));
  }
}

TEST(PatternStream, WritersOfOneStreamAgreeWhateverTheSizes) {
  Seed seed(1);
  PatternWriter writer(65535);
  std::string pieces;
  while (pieces.size() < 100'000) {
    const std::size_t size = seed.below(100);
    EXPECT_EQ(writer.position(), pieces.size());
    pieces += writer.next(size).text();
  }
  EXPECT_EQ(pieces, stream(65535, 0, pieces.size()));
}

TEST(PatternStream, TheRightBytesAreWellWhateverThePieces) {
  const std::uint64_t far = (std::uint64_t{1} << 39) - 500;  // where the stream begins again
  for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{5}, far}) {
    const std::string bytes = stream(9, offset, 10'000);
    Seed seed(2);
    for (const std::size_t most : Sizes{1, 2, 8, 9, 40, 1000, 10'000}) {
      PatternReader reader(9, offset);
      for (std::size_t at = 0; at < bytes.size();) {
        const std::size_t size = seed.between(1, most);
        ASSERT_TRUE(reader.take(BytesView(bytes).drop(at).first(size))) << reader.to_string();
        at += size;
      }
      EXPECT_EQ(reader.position(), offset + bytes.size());
      EXPECT_EQ(reader.received(), bytes.size());
      EXPECT_TRUE(reader.end(offset + bytes.size()));
      EXPECT_TRUE(reader.findings().empty());
      EXPECT_EQ(reader.to_string(), "");
    }
  }
}

TEST(PatternStream, ALossIsToldWithItsPlace) {
  for (const std::size_t lost : Sizes{1, 2, 7, 8, 9, 64, 4096, 65'536, 131'072}) {
    for (const std::size_t at : Sizes{0, 1, 8, 13, 1000}) {
      PatternReader reader(7);
      reader.take(stream(7, 0, at));
      EXPECT_TRUE(reader.ok());
      EXPECT_FALSE(reader.take(stream(7, at + lost, 100)));
      ASSERT_EQ(reader.findings().size(), 1u) << reader.to_string();
      const PatternFinding& finding = reader.findings()[0];
      EXPECT_EQ(finding.kind, Kind::lost);
      // A byte after the loss may be the one that was expected.
      EXPECT_GE(finding.offset, at);
      EXPECT_LE(finding.offset, at + 2);
      EXPECT_EQ(finding.length, lost);
      EXPECT_EQ(reader.position(), at + lost + 100);
    }
  }
  expect_said(stream(7, 0, 1000) + stream(7, 1024, 500),
              "stream 7: at 1000: 24 bytes lost (1000 to 1023)");
}

TEST(PatternStream, BytesThatComeTwiceAreTold) {
  expect_said(stream(7, 0, 1000) + stream(7, 976, 500),
              "stream 7: at 1000: 24 bytes again (976 to 999)");
  expect_said(stream(7, 0, 1000) + stream(7, 999, 500), "stream 7: at 1000: 1 byte again (999)");
  // From the middle.
  expect_said(stream(7, 0, 1000) + stream(7, 100, 50) + stream(7, 1000, 500),
              "stream 7: at 1000: 50 bytes again (100 to 149)");
}

TEST(PatternStream, ReorderedPiecesAreToldAsSuch) {
  expect_said(
      stream(7, 0, 1000) + stream(7, 1048, 100) + stream(7, 1000, 48) + stream(7, 1148, 500),
      "stream 7: at 1000: 48 bytes late (1000 to 1047)");
  // The late one in two pieces.
  expect_said(stream(7, 0, 1000) + stream(7, 1048, 100) + stream(7, 1024, 24) +
                  stream(7, 1000, 24) + stream(7, 1148, 500),
              "stream 7: at 1000: 48 bytes late (1000 to 1047)");
}

TEST(PatternStream, AnotherStreamIsNamed) {
  expect_said(stream(7, 0, 1000) + stream(9, 56, 24) + stream(7, 1000, 500),
              "stream 7: at 1000: 24 bytes of stream 9 (its 56 to 79)");
  expect_said(stream(7, 0, 1000) + stream(65535, 1000, 500),
              "stream 7: at 1000: 500 bytes of stream 65535 (its 1000 to 1499)");
  // In the place of the right ones.
  expect_said(stream(7, 0, 1000) + stream(9, 1000, 40) + stream(7, 1040, 500),
              "stream 7: at 1000: 40 bytes of stream 9 (its 1000 to 1039); "
              "at 1000: 40 bytes lost (1000 to 1039)");
}

TEST(PatternStream, AGarbledByteIsShown) {
  for (const std::size_t at : Sizes{0, 1, 7, 8, 500, 967}) {
    std::string bytes = stream(7, 0, 1000);
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    PatternReader reader(7);
    EXPECT_FALSE(reader.take(bytes));
    ASSERT_EQ(reader.findings().size(), 1u);
    const PatternFinding& finding = reader.findings()[0];
    EXPECT_EQ(finding.kind, Kind::garbage);
    EXPECT_EQ(finding.offset, at);
    EXPECT_EQ(finding.length, 1u);
    EXPECT_EQ(finding.shown, 1u);
    EXPECT_EQ(finding.expected[0] ^ finding.got[0], std::byte{0x10});
    EXPECT_EQ(reader.position(), 1000u) << "the rest was well";
  }
}

TEST(PatternStream, GarbageOfAnyLengthIsPassedOver) {
  for (const std::size_t length : Sizes{1, 5, 31, 32, 33, 63, 64, 65, 200, 10'000}) {
    const std::string garbage(length, '\xee');
    PatternReader in_place(7);
    in_place.take(stream(7, 0, 1000) + garbage + stream(7, 1000 + length, 500));
    ASSERT_EQ(in_place.findings().size(), 1u) << in_place.to_string();
    EXPECT_EQ(in_place.findings()[0].kind, Kind::garbage);
    EXPECT_EQ(in_place.findings()[0].length, length);
    EXPECT_EQ(in_place.position(), 1500 + length);
    PatternReader between(7);
    between.take(stream(7, 0, 1000) + garbage + stream(7, 1000, 500));
    ASSERT_EQ(between.findings().size(), 1u) << between.to_string();
    EXPECT_EQ(between.findings()[0].length, length);
    EXPECT_EQ(between.position(), 1500u);
  }
  std::string expected = "stream 7: at 8: 2 bytes of garbage: 00 00 instead of ";
  constexpr char kDigits[] = "0123456789abcdef";
  for (const std::size_t offset : Sizes{8, 9}) {
    const auto byte = std::to_integer<unsigned>(testing::pattern_byte(7, offset));
    expected += kDigits[byte >> 4];
    expected += kDigits[byte & 15];
    if (offset == 8) expected += ' ';
  }
  expect_said(stream(7, 0, 8) + std::string(2, '\0') + stream(7, 10, 100), expected);
}

TEST(PatternStream, TheLastBytesAreJudgedWithoutMoreToCome) {
  // Four bytes are enough for what is near, and for the same place of another stream.
  expect_said(stream(7, 0, 100) + stream(7, 5000, 4),
              "stream 7: at 100: 4900 bytes lost (100 to 4999)");
  expect_said(stream(7, 0, 100) + stream(7, 90, 4), "stream 7: at 100: 4 bytes again (90 to 93)");
  expect_said(stream(7, 0, 100) + stream(8, 100, 4),
              "stream 7: at 100: 4 bytes of stream 8 (its 100 to 103)");
  PatternReader reader(7);
  EXPECT_TRUE(reader.take(stream(7, 0, 3)));
  EXPECT_FALSE(reader.take(std::string(1, static_cast<char>(~stream(7, 3, 1)[0]))));
  EXPECT_TRUE(reader.findings().empty());
  EXPECT_NE(reader.to_string().find("stream 7: at 3: 1 byte of garbage: "), std::string::npos);
  EXPECT_FALSE(reader.end(4));
  EXPECT_EQ(reader.findings().size(), 1u);
}

TEST(PatternStream, WhatIsMissingAtTheEndIsLost) {
  PatternReader reader(7);
  reader.take(stream(7, 0, 100));
  EXPECT_FALSE(reader.end(124));
  EXPECT_EQ(reader.to_string(), "stream 7: at 100: 24 bytes lost (100 to 123)");
}

TEST(PatternStream, MoreThanWasWrittenIsTold) {
  PatternReader reader(7);
  reader.take(stream(7, 0, 100));
  EXPECT_FALSE(reader.end(90));
  EXPECT_EQ(reader.to_string(), "stream 7: at 90: 10 bytes more than were written");
}

TEST(PatternStream, ManyFindingsAreCountedAndTheFirstOnesKept) {
  PatternReader reader(7);
  for (std::uint64_t i = 0; i < 20; ++i) reader.take(stream(7, i * 1000, 100));
  EXPECT_EQ(reader.findings().size(), 8u);
  const std::string text = reader.to_string();
  EXPECT_EQ(text.find("stream 7: at 100: 900 bytes lost (100 to 999); at 1100: "), 0u) << text;
  EXPECT_NE(text.find("; and 11 more"), std::string::npos) << text;
  EXPECT_EQ(reader.position(), 19'100u);
}

// Whatever happens to pieces of a stream: what is said of it fits, and no harm goes unseen.
TEST(PatternStream, AnyMishapOfAnyPieceIsFoundAndNamed) {
  for (std::uint64_t number = 0; number < 3000; ++number) {
    SCOPED_TRACE(number);
    Seed seed(number);
    const std::size_t at = seed.between(0, 300);
    const std::size_t size = seed.between(1, 200);
    const std::string before = stream(7, 0, at);
    const std::string piece = stream(7, at, size);
    const std::string after = stream(7, at + size, 100);
    std::string bytes;
    Kind kind{};
    std::size_t length = size;
    switch (seed.below(4)) {
      case 0:
        kind = Kind::lost;
        bytes = before + after;
        break;
      case 1:
        kind = Kind::doubled;
        bytes = before + piece + piece + after;
        break;
      case 2: {
        kind = Kind::foreign;
        length = size + 16;
        std::string other;
        do {
          const auto id = static_cast<std::uint16_t>(seed.between(8, 65535));
          other = stream(id, seed.next() >> 26, length);
        } while (other[0] == piece[0]);  // what looks right is not wrong
        bytes = before + other + piece + after;
        break;
      }
      case 3: {
        kind = Kind::garbage;
        length = 1;
        bytes = before + piece + after;
        bytes[at] = static_cast<char>(static_cast<std::size_t>(bytes[at]) + seed.between(1, 255));
        break;
      }
    }
    PatternReader reader(7);
    for (std::size_t done = 0; done < bytes.size();) {
      const std::size_t part = seed.between(1, 50);
      reader.take(BytesView(bytes).drop(done).first(part));
      done += part;
    }
    EXPECT_EQ(reader.position(), at + size + after.size());
    ASSERT_EQ(reader.findings().size(), 1u) << reader.to_string();
    EXPECT_EQ(reader.findings()[0].kind, kind) << reader.to_string();
    // The first bytes after a mishap, and before, may be the right ones by chance.
    EXPECT_LE(reader.findings()[0].length, length) << reader.to_string();
    EXPECT_GE(reader.findings()[0].length + 3, length) << reader.to_string();
  }
}

TEST(PatternStream, AnyMixtureOfMishapsIsGoneThroughToTheEnd) {
  for (std::uint64_t number = 0; number < 1000; ++number) {
    SCOPED_TRACE(number);
    Seed seed(number, "mixture");
    std::string bytes = stream(7, 0, 100);
    std::uint64_t at = 100;
    while (bytes.size() < 3000) {
      const std::size_t size = seed.between(1, 60);
      const auto other = static_cast<std::uint16_t>(seed.between(0, 9));
      switch (seed.below(4)) {
        case 0:
          bytes += stream(other, seed.below(5000), size);
          break;
        case 1:
          bytes += std::string(size, static_cast<char>(seed.next()));
          break;
        default:
          bytes += stream(7, at, size);
          at += size;
      }
    }
    bytes += stream(7, at, 100);
    PatternReader reader(7);
    for (std::size_t done = 0; done < bytes.size();) {
      const std::size_t part = seed.between(1, 100);
      reader.take(BytesView(bytes).drop(done).first(part));
      done += part;
    }
    EXPECT_FALSE(reader.ok());
    EXPECT_EQ(reader.received(), bytes.size());
    EXPECT_FALSE(reader.end(at + 100));
    EXPECT_GE(reader.position(), at + 100) << "it finds its way again";
    EXPECT_EQ(reader.to_string().find("stream 7: at "), 0u);
  }
}

}  // namespace
}  // namespace ferry::test
