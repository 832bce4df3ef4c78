// Each call of a StreamReader, fed by hand.

#include "streams_fixture.h"

#include <gtest/gtest.h>

namespace ferry::test {
namespace {

using Separators = std::vector<std::string_view>;

class Reader : public FedReaderFixture {};

// -- read

TEST_F(Reader, C0553_ReadGivesWhatIsThereUpToN) {
  StreamReader reader = fed("abcdef");
  EXPECT_EQ(outcome(read(reader, 4)), "abcd");
  EXPECT_EQ(outcome(read(reader, 4)), "ef");
  EXPECT_EQ(outcome(read(reader, 4)), "waits");
}

TEST_F(Reader, C0553_ReadWaitsWhileThereIsNothing) {
  StreamReader reader;
  const Task<std::string> task = start(read(reader, 100));
  tick(5);
  EXPECT_FALSE(task.done());
  reader.feed_data("line1\n");
  finish(task);
  EXPECT_EQ(task.result(), "line1\n");
}

TEST_F(Reader, C0553_ReadOfNothingGivesNothingAndDoesNotWait) {
  StreamReader reader;
  EXPECT_EQ(outcome(read(reader, 0)), "");
  reader.feed_data("abc");
  EXPECT_EQ(outcome(read(reader, 0)), "");
  EXPECT_EQ(outcome(read_view(reader, 0)), "");
  EXPECT_EQ(rest(reader), "abc");
}

TEST_F(Reader, C0553_ReadAtTheEndGivesNothingAgainAndAgain) {
  StreamReader reader = ended("a");
  EXPECT_EQ(outcome(read(reader, 10)), "a");
  EXPECT_EQ(outcome(read(reader, 10)), "");
  EXPECT_EQ(outcome(read(reader, 10)), "");
  EXPECT_EQ(outcome(read(reader)), "");
}

TEST_F(Reader, C0553_TheEndWakesAReadThatWaits) {
  StreamReader reader;
  const Task<std::string> task = start(read(reader, 10));
  tick(3);
  reader.feed_eof();
  finish(task);
  EXPECT_EQ(task.result(), "");
}

TEST_F(Reader, C0553_ReadIgnoresTheLimit) {
  StreamReader reader = fed(pattern(1000), 10);
  EXPECT_EQ(outcome(read(reader, 900)), pattern(900));
}

TEST_F(Reader, C0554_ReadUntilTheEndGivesAllOfIt) {
  StreamReader reader(100);
  const Task<std::string> task = start(read(reader));
  for (std::size_t at = 0; at < 5000; at += 500) {
    reader.feed_data(pattern(500, at));
    tick(2);
    EXPECT_FALSE(task.done());
  }
  reader.feed_eof();
  finish(task);
  EXPECT_EQ(task.result(), pattern(5000));
  EXPECT_TRUE(reader.at_eof());
}

// -- readline

TEST_F(Reader, ReadlineGivesALineWithItsEnd) {
  StreamReader reader = fed("chunk1 ");
  EXPECT_EQ(outcome(readline(reader)), "waits");
  reader.feed_data("chunk2 ");
  reader.feed_data("chunk3 \n chunk4");
  EXPECT_EQ(outcome(readline(reader)), "chunk1 chunk2 chunk3 \n");
  EXPECT_EQ(rest(reader), " chunk4");
}

TEST_F(Reader, ReadlineGivesTheRestAtTheEndAndThenNothing) {
  StreamReader reader = ended("whole\n\nsome");
  EXPECT_EQ(outcome(readline(reader)), "whole\n");
  EXPECT_EQ(outcome(readline(reader)), "\n");
  EXPECT_EQ(outcome(readline(reader)), "some");
  EXPECT_EQ(outcome(readline(reader)), "");
}

TEST_F(Reader, C0556_ReadlineDropsALineThatIsTooLong) {
  StreamReader reader = fed("0123456789\nnext\n", 5);
  EXPECT_THROW(run(readline(reader)), LimitOverrunError);
  EXPECT_EQ(outcome(readline(reader)), "next\n");
}

TEST_F(Reader, C0556_AWaitingReadlineDropsALineThatEndsTooLate) {
  StreamReader reader(5);
  const Task<std::string> task = start(outcome_of(readline(reader)));
  tick(2);
  reader.feed_data("0123456789\nnext\n");
  finish(task);
  EXPECT_EQ(task.result().substr(0, 7), "overrun");
  EXPECT_EQ(outcome(readline(reader)), "next\n");
}

TEST_F(Reader, C0557_ReadlineDropsAllIfThereIsNoEndWithinTheLimit) {
  StreamReader reader = fed("0123456789", 5);
  EXPECT_THROW(run(readline(reader)), LimitOverrunError);
  EXPECT_EQ(outcome(read(reader, 100)), "waits");
  reader.feed_data("next\n");
  EXPECT_EQ(outcome(readline(reader)), "next\n");
}

TEST_F(Reader, C0557_AWaitingReadlineIsToldAsSoonAsTheLimitIsPassed) {
  StreamReader reader(7);
  const Task<std::string> task = start(outcome_of(readline_view(reader)));
  reader.feed_data("1234567");
  tick(3);
  EXPECT_FALSE(task.done());
  reader.feed_data("8");
  finish(task);
  EXPECT_EQ(task.result(), "overrun 8");
  EXPECT_EQ(rest(reader), "");
}

TEST_F(Reader, C0558_TheLimitIsExact) {
  StreamReader reader = fed("1234567\n12345678\n1234567\n", 7);
  EXPECT_EQ(outcome(readline(reader)), "1234567\n");
  EXPECT_EQ(outcome(readline(reader)), "overrun 8");
  EXPECT_EQ(outcome(readline_view(reader)), "1234567\n");
}

TEST_F(Reader, C0558_TheLimitIsExactForPiecesOfAByte) {
  for (const std::string_view line : {"1234567\n", "12345678\n"}) {
    StreamReader reader(7);
    const Task<std::string> task = start(outcome_of(readline(reader)));
    for (const char byte : line) {
      reader.feed_data(BytesView(std::string_view(&byte, 1)));
      tick(1);
    }
    finish(task);
    EXPECT_EQ(task.result(), line.size() == 8 ? std::string(line) : "overrun 8");
  }
}

TEST_F(Reader, AnEndWithoutALineEndIsHeldAgainstTheLimitToo) {
  StreamReader within = ended("1234567", 7);
  EXPECT_EQ(outcome(readline(within)), "1234567");
  StreamReader beyond = ended("12345678", 7);
  EXPECT_EQ(outcome(readline(beyond)), "overrun 8");
}

// -- readuntil

TEST_F(Reader, ReaduntilGivesAllUpToTheSeparator) {
  StreamReader reader = fed("some data$@some more data$@rest");
  EXPECT_EQ(outcome(readuntil_view(reader, "$@")), "some data$@");
  EXPECT_EQ(outcome(readuntil(reader, {"$@"})), "some more data$@");
  EXPECT_EQ(outcome(readuntil(reader, {"$@"})), "waits");
  EXPECT_EQ(rest(reader), "rest");
}

TEST_F(Reader, ASeparatorInTwoPiecesIsFound) {
  StreamReader reader(3);
  const Task<std::string> task = start(readuntil(reader, {"$@$"}));
  reader.feed_data("ab$");
  tick(2);
  reader.feed_data("@");
  tick(2);
  EXPECT_FALSE(task.done());
  reader.feed_data("$tail");
  finish(task);
  EXPECT_EQ(task.result(), "ab$@$");
  EXPECT_EQ(rest(reader), "tail");
}

TEST_F(Reader, C0560_ASeparatorWhosePrefixOverlaps) {
  StreamReader reader = fed("Xaa");
  const Task<std::string> task = start(readuntil(reader, {"aaa"}));
  tick(2);
  EXPECT_FALSE(task.done());
  reader.feed_data("a");
  finish(task);
  EXPECT_EQ(task.result(), "Xaaa");
  EXPECT_TRUE(rest(reader).empty());
}

TEST_F(Reader, OfSeveralSeparatorsTheOneThatEndsFirstCounts) {
  StreamReader reader = fed("a\r\nb\nc\r");
  const Separators ends{"\r\n", "\n", "\r"};
  EXPECT_EQ(outcome(readuntil(reader, ends)), "a\r");
  EXPECT_EQ(outcome(readuntil(reader, ends)), "\n");
  EXPECT_EQ(outcome(readuntil(reader, ends)), "b\n");
  EXPECT_EQ(outcome(readuntil(reader, ends)), "c\r");
}

TEST_F(Reader, OneSeparatorMayBeTheBeginningOrEndOfAnother) {
  // The shortest that ends in any of them, in whichever order they are named.
  for (const Separators& ends :
       {Separators{"AAB", "AB"}, Separators{"AB", "AAB"}, Separators{"AB", "ABC"}}) {
    StreamReader reader = fed("xAABCAB");
    EXPECT_EQ(outcome(readuntil(reader, ends)), "xAAB");
    EXPECT_EQ(outcome(readuntil(reader, ends)), "CAB");
  }
  StreamReader reader(16);
  const Task<std::string> task = start(readuntil(reader, {"long one", "e1"}));
  reader.feed_data("long on");
  tick(2);
  EXPECT_FALSE(task.done());
  reader.feed_data("e1");
  finish(task);
  EXPECT_EQ(task.result(), "long one");
}

TEST_F(Reader, C0561_TheEndBeforeTheSeparatorIsAnIncompleteRead) {
  StreamReader reader = ended("some dataAA");
  EXPECT_EQ(outcome(readuntil(reader, {"AAA"})), "incomplete some dataAA");
  EXPECT_TRUE(reader.at_eof());
  EXPECT_EQ(outcome(readuntil(reader, {"AAA"})), "incomplete ");
}

TEST_F(Reader, C0561_AWaitingReaduntilHearsOfTheEnd) {
  StreamReader reader;
  const Task<std::string> task = start(outcome_of(readuntil(reader, {"AAA", "BB"})));
  reader.feed_data("dataAA");
  tick(2);
  reader.feed_eof();
  finish(task);
  EXPECT_EQ(task.result(), "incomplete dataAA");
}

TEST_F(Reader, C0562_WithoutASeparatorWithinTheLimitNothingIsTaken) {
  StreamReader reader = fed("some dataAA", 3);
  EXPECT_EQ(outcome(readuntil(reader, {"AAA"})), "overrun 9");
  EXPECT_EQ(outcome(readuntil(reader, {"AAA"})), "overrun 9");
  // So many can be skipped without missing one.
  EXPECT_EQ(outcome(readexactly(reader, 9)), "some data");
  reader.feed_data("A");
  EXPECT_EQ(outcome(readuntil(reader, {"AAA"})), "AAA");
}

TEST_F(Reader, C0562_ASeparatorBeyondTheLimitLeavesAllInPlace) {
  StreamReader reader = fed("some dataAAAmore", 3);
  EXPECT_EQ(outcome(readuntil(reader, {"AAA"})), "overrun 9");
  EXPECT_EQ(outcome(readuntil_view(reader, "AAA")), "overrun 9");
  EXPECT_EQ(outcome(readexactly(reader, 9)), "some data");
  EXPECT_EQ(outcome(readuntil(reader, {"AAA"})), "AAA");
  EXPECT_EQ(rest(reader), "more");
}

TEST_F(Reader, C0562_TheSeparatorDoesNotCountForTheLimit) {
  StreamReader reader = fed("abcAAAAdefgAAAA", 3);
  EXPECT_EQ(outcome(readuntil(reader, {"AAAA"})), "abcAAAA");
  EXPECT_EQ(outcome(readuntil(reader, {"AAAA"})), "overrun 4");
  StreamReader waiting(3);
  const Task<std::string> task = start(outcome_of(readuntil(waiting, {"AAAA"})));
  waiting.feed_data("abcAAA");
  tick(3);
  EXPECT_FALSE(task.done()) << "the separator may begin after three bytes";
  waiting.feed_data("B");
  finish(task);
  EXPECT_EQ(task.result(), "overrun 4");
}

TEST_F(Reader, C0564_AnEmptySeparatorOrNoneIsRefused) {
  StreamReader reader = fed("abc");
  const auto refused = [](StreamReader r, Separators ends) -> Coro<bool> {
    try {
      co_await r.readuntil(ends);
    } catch (const std::invalid_argument&) {
      co_return true;
    }
    co_return false;
  };
  EXPECT_TRUE(run(refused(reader, {""})));
  EXPECT_TRUE(run(refused(reader, {})));
  EXPECT_TRUE(run(refused(reader, {"a", ""})));
  EXPECT_THROW(run(readuntil_view(reader, "")), std::invalid_argument);
  EXPECT_EQ(rest(reader), "abc");
}

// -- readexactly

TEST_F(Reader, C0565_ReadexactlyGivesExactlyThat) {
  StreamReader reader = fed("abcdefgh");
  EXPECT_EQ(outcome(readexactly(reader, 3)), "abc");
  EXPECT_EQ(outcome(readexactly_view(reader, 3)), "def");
  EXPECT_EQ(outcome(readexactly(reader, 0)), "");
  EXPECT_EQ(outcome(readexactly(reader, 3)), "waits");
  reader.feed_data("i");
  EXPECT_EQ(outcome(readexactly(reader, 3)), "ghi");
  EXPECT_EQ(outcome(readexactly(reader, 0)), "");
}

TEST_F(Reader, C0565_ReadexactlyMayAskForMoreThanTheLimit) {
  StreamReader reader(10);
  const Task<std::string> task = start(readexactly(reader, 1000));
  for (std::size_t at = 0; at < 1100; at += 100) {
    EXPECT_EQ(task.done(), at > 900);
    reader.feed_data(pattern(100, at));
    tick(2);
  }
  finish(task);
  EXPECT_EQ(task.result(), pattern(1000));
  EXPECT_EQ(rest(reader), pattern(100, 1000));
}

TEST_F(Reader, C0565_TheEndBeforeThatIsAnIncompleteRead) {
  StreamReader reader = fed("abc");
  const Task<std::string> task = start(outcome_of(readexactly(reader, 6)));
  tick(2);
  reader.feed_eof();
  finish(task);
  EXPECT_EQ(task.result(), "incomplete abc of 6");
  EXPECT_TRUE(reader.at_eof());
  EXPECT_EQ(outcome(readexactly(reader, 1)), "incomplete  of 1");
  EXPECT_EQ(outcome(readexactly(reader, 0)), "");
}

TEST_F(Reader, C0586_WhatTheErrorsSay) {
  const IncompleteReadError exactly = failure_of<IncompleteReadError>(readexactly(ended("abc"), 6));
  EXPECT_EQ(exactly.partial(), "abc");
  EXPECT_EQ(exactly.expected(), std::optional<std::size_t>(6));
  EXPECT_NE(std::string(exactly.what()).find('3'), std::string::npos) << exactly.what();
  EXPECT_NE(std::string(exactly.what()).find('6'), std::string::npos) << exactly.what();
  const IncompleteReadError until =
      failure_of<IncompleteReadError>(readuntil(ended("abcd"), {"\n"}));
  EXPECT_EQ(until.partial(), "abcd");
  EXPECT_EQ(until.expected(), std::nullopt);
  EXPECT_NE(std::string(until.what()).find('4'), std::string::npos) << until.what();
  const LimitOverrunError overrun =
      failure_of<LimitOverrunError>(readuntil(fed("abcdef", 3), {"\n"}));
  EXPECT_EQ(overrun.consumed(), 6u);
  EXPECT_NE(std::string(overrun.what()), "");
}

}  // namespace
}  // namespace ferry::test
