// The same bytes, cut in every way: what comes out is the same.

#include "streams_fixture.h"

#include <gtest/gtest.h>

namespace ferry::test {
namespace {

class ReaderSplits : public StreamsFixture {
 protected:
  World world() const override { return World::sim; }

  using Script = Coro<std::string> (*)(StreamReader);

  /// Feeds `input`, cut behind each byte whose bit is set in `cuts`, to a reader that `script`
  /// reads from.
  std::string read_in_pieces(Script script, std::string_view input, std::uint32_t cuts,
                             std::size_t limit, int turns_between) {
    StreamReader reader(limit);
    const Task<std::string> task = start(script(reader));
    tick(1);
    std::size_t from = 0;
    for (std::size_t at = 1; at <= input.size(); ++at) {
      if (at < input.size() && (cuts >> (at - 1) & 1) == 0) continue;
      reader.feed_data(BytesView(input.substr(from, at - from)));
      if (turns_between > 0) tick(turns_between);
      from = at;
    }
    reader.feed_eof();
    finish(task);
    return task.result();
  }

  void expect_for_every_split(Script script, std::string_view input, const std::string& expected,
                              std::size_t limit = StreamReader::kDefaultLimit) {
    ASSERT_LE(input.size(), 12u);
    for (std::uint32_t cuts = 0; cuts < 1u << (input.size() - 1); ++cuts) {
      for (const int turns_between : {0, 2}) {
        ASSERT_EQ(read_in_pieces(script, input, cuts, limit, turns_between), expected)
            << "cut at the bits of " << cuts << ", with " << turns_between << " turns between";
      }
    }
  }
};

Coro<std::string> lines(StreamReader reader) {
  std::string all;
  while (const std::optional<std::string> line = co_await reader.next_line()) all += *line + "|";
  co_return all;
}

Coro<std::string> pieces_up_to(StreamReader reader, std::vector<std::string_view> separators) {
  std::string all;
  try {
    for (;;) {
      all += co_await reader.readuntil(separators);
      all += "|";
    }
  } catch (const IncompleteReadError& error) {
    all += error.partial();
  }
  co_return all;
}

Coro<std::string> up_to_one(StreamReader reader) {
  std::vector<std::string_view> separators{"aaa"};
  co_return co_await pieces_up_to(std::move(reader), std::move(separators));
}

Coro<std::string> up_to_several(StreamReader reader) {
  std::vector<std::string_view> separators{"\r\n\r\n", "\n\n", "END"};
  co_return co_await pieces_up_to(std::move(reader), std::move(separators));
}

Coro<std::string> views_up_to(StreamReader reader) {
  std::string all;
  for (int i = 0; i < 3; ++i) {
    const BytesView piece = co_await reader.readuntil_view("ab");
    all += std::string(piece.text()) + "|";
  }
  co_return all;
}

/// A length of one digit, then so many bytes.
Coro<std::string> frames(StreamReader reader) {
  std::string all;
  try {
    for (;;) {
      const BytesView head = co_await reader.readexactly_view(1);
      const std::size_t size = std::to_integer<std::size_t>(head[0]) - '0';
      all += co_await reader.readexactly(size);
      all += "|";
    }
  } catch (const IncompleteReadError& error) {
    all += error.partial();
  }
  co_return all;
}

Coro<std::string> everything(StreamReader reader) {
  co_return co_await reader.read();
}

Coro<std::string> as_it_comes(StreamReader reader) {
  std::string all;
  for (;;) {
    const std::string some = co_await reader.read(3);
    if (some.empty()) break;
    all += some;
  }
  EXPECT_TRUE(reader.at_eof());
  co_return all;
}

Coro<std::string> one_after_the_other(StreamReader reader) {
  std::string all = co_await reader.readline();
  all += "|";
  all += co_await reader.readexactly(2);
  all += "|";
  all += co_await reader.readuntil("$$");
  all += "|";
  all += co_await reader.read();
  co_return all;
}

/// As who cannot hold a whole record: skips what is too long, and takes the separator.
Coro<std::string> skipping(StreamReader reader) {
  std::string all;
  for (;;) {
    std::size_t skip = 0;
    try {
      all += co_await reader.readuntil("$$");
      break;
    } catch (const LimitOverrunError& error) {
      skip = error.consumed();
    }
    all += co_await reader.readexactly(skip);
  }
  all += "|";
  all += co_await reader.read();
  co_return all;
}

TEST_F(ReaderSplits, Lines) {
  expect_for_every_split(lines, "ab\n\ncdef\ngh", "ab\n|\n|cdef\n|gh|");
}

TEST_F(ReaderSplits, LinesAtTheLimit) {
  expect_for_every_split(lines, "abcd\nef\n1234", "abcd\n|ef\n|1234|", 4);
}

TEST_F(ReaderSplits, OneSeparatorThatOverlapsItself) {
  expect_for_every_split(up_to_one, "XaaYaaaaaaaZ", "XaaYaaa|aaa|aZ");
}

TEST_F(ReaderSplits, SeveralSeparators) {
  expect_for_every_split(up_to_several, "a\r\n\r\nb\n\nEND", "a\r\n\r\n|b\n\n|END|");
  expect_for_every_split(up_to_several, "\r\n\rEN\nEND\n\r", "\r\n\rEN\nEND|\n\r");
}

TEST_F(ReaderSplits, ViewsUpToASeparator) {
  expect_for_every_split(views_up_to, "aab1ab234ab", "aab|1ab|234ab|");
}

TEST_F(ReaderSplits, Frames) {
  expect_for_every_split(frames, "3abc0512345x", "abc||12345|");
}

TEST_F(ReaderSplits, Everything) {
  expect_for_every_split(everything, "abcdefgh", "abcdefgh", 2);
}

TEST_F(ReaderSplits, AsItComes) {
  expect_for_every_split(as_it_comes, "abcdefgh", "abcdefgh", 1);
}

TEST_F(ReaderSplits, OneCallAfterTheOther) {
  expect_for_every_split(one_after_the_other, "ab\ncde$f$$gh", "ab\n|cd|e$f$$|gh");
}

TEST_F(ReaderSplits, C0562_WhatIsTooLongIsSkippedWithoutMissingTheSeparator) {
  expect_for_every_split(skipping, "abc$d$$gh", "abc$d$$|gh", 2);
  expect_for_every_split(skipping, "$$$$abcd", "$$|$$abcd", 1);
  expect_for_every_split(skipping, "abcdefgh$$", "abcdefgh$$|", 1);
}

}  // namespace
}  // namespace ferry::test
