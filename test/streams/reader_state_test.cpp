// A StreamReader as a whole, fed by hand: its end, its errors, its handles, what it lends.

#include "streams_fixture.h"

#include <gtest/gtest.h>

namespace ferry::test {
namespace {

class ReaderState : public FedReaderFixture {};

// -- lines, the end, errors

TEST_F(ReaderState, LinesUntilThereAreNoMore) {
  StreamReader reader = ended("one\n\ntwo\nthree");
  std::vector<std::string> lines;
  while (const std::optional<std::string> line = run(next_line(reader))) lines.push_back(*line);
  EXPECT_EQ(lines, (std::vector<std::string>{"one\n", "\n", "two\n", "three"}));
  EXPECT_EQ(run(next_line(reader)), std::nullopt);
}

TEST_F(ReaderState, AtEofOnlyWhenAllIsRead) {
  StreamReader reader;
  EXPECT_FALSE(reader.at_eof());
  reader.feed_data("ab");
  reader.feed_eof();
  EXPECT_FALSE(reader.at_eof());
  EXPECT_EQ(run(read(reader, 1)), "a");
  EXPECT_FALSE(reader.at_eof());
  EXPECT_EQ(run(read(reader, 1)), "b");
  EXPECT_TRUE(reader.at_eof());
}

TEST_F(ReaderState, DataAfterTheEndIsAMistake) {
  StreamReader reader = ended("a");
  EXPECT_THROW(reader.feed_data("b"), std::logic_error);
  EXPECT_EQ(run(read(reader)), "a");
}

TEST_F(ReaderState, NothingFedWakesNobody) {
  StreamReader reader;
  const Task<std::string> task = start(read(reader, 10));
  tick(2);
  reader.feed_data("");
  tick(3);
  EXPECT_FALSE(task.done());
  reader.feed_data("a");
  finish(task);
  EXPECT_EQ(task.result(), "a");
}

TEST_F(ReaderState, C0566_AStoredExceptionComesBeforeData) {
  StreamReader reader = fed("line\nmore");
  EXPECT_EQ(reader.exception(), nullptr);
  reader.set_exception(std::make_exception_ptr(TestError("broken")));
  EXPECT_EQ(what(reader.exception()), "broken");
  EXPECT_EQ(outcome(read(reader, 2)), "error broken");
  EXPECT_EQ(outcome(read(reader, 0)), "error broken");
  EXPECT_EQ(outcome(read(reader)), "error broken");
  EXPECT_EQ(outcome(read_view(reader, 2)), "error broken");
  EXPECT_EQ(outcome(readexactly(reader, 2)), "error broken");
  EXPECT_EQ(outcome(readexactly(reader, 0)), "error broken");
  EXPECT_EQ(outcome(readexactly_view(reader, 2)), "error broken");
  EXPECT_EQ(outcome(readline(reader)), "error broken");
  EXPECT_EQ(outcome(readline_view(reader)), "error broken");
  EXPECT_EQ(outcome(readuntil(reader, {"\n"})), "error broken");
  EXPECT_EQ(outcome(readuntil_view(reader, "\n")), "error broken");
  EXPECT_THROW(run(next_line(reader)), TestError);
}

TEST_F(ReaderState, C0566_AnExceptionWakesWhoWaits) {
  for (const bool whole : {true, false}) {
    StreamReader fresh;
    const Task<std::string> task =
        start(outcome_of(whole ? readexactly(fresh, 10) : readline(fresh)));
    tick(2);
    fresh.feed_data("abc");
    tick(2);
    EXPECT_FALSE(task.done());
    fresh.set_exception(std::make_exception_ptr(TestError("broken")));
    finish(task);
    EXPECT_EQ(task.result(), "error broken");
  }
}

TEST_F(ReaderState, C0568_ASecondReaderIsRefusedAndTheFirstGoesOn) {
  StreamReader reader;
  const Task<std::string> first = start(readexactly(reader, 3));
  tick(2);
  EXPECT_THROW(run(read(reader, 1)), std::logic_error);
  EXPECT_THROW(run(readline(reader)), std::logic_error);
  EXPECT_FALSE(first.done());
  reader.feed_data("abcd");
  finish(first);
  EXPECT_EQ(first.result(), "abc");
  EXPECT_EQ(outcome(read(reader, 10)), "d");
}

TEST_F(ReaderState, C0569_TheLimitIsNotZero) {
  EXPECT_THROW(StreamReader(0), std::invalid_argument);
  StreamReader smallest(1);
  smallest.feed_data("a\nbc\n");
  EXPECT_EQ(outcome(readline(smallest)), "a\n");
  EXPECT_EQ(outcome(readline(smallest)), "overrun 2");
}

// -- handles and views

TEST_F(ReaderState, CopiesAreHandlesToTheSame) {
  StreamReader reader;
  const StreamReader copy = reader;
  reader.feed_data("abc");
  EXPECT_EQ(run(read(copy, 2)), "ab");
  EXPECT_EQ(run(read(reader, 2)), "c");
  reader.feed_eof();
  EXPECT_TRUE(copy.at_eof());
}

TEST_F(ReaderState, AReadKeepsItsReader) {
  const auto body = [](StreamReader* held) -> Coro<std::string> {
    StreamReader mine = std::move(*held);
    co_return co_await mine.readexactly(3);
  };
  StreamReader feeding;
  StreamReader given = feeding;
  const Task<std::string> task = start(body(&given));
  tick(2);
  feeding.feed_data("abc");
  finish(task);
  EXPECT_EQ(task.result(), "abc");
}

TEST_F(ReaderState, AViewStaysGoodWhileMoreArrives) {
  const auto body = [](StreamReader reader, std::string* seen) -> Coro<> {
    const BytesView head = co_await reader.readexactly_view(4);
    co_await sleep(1ms);  // much arrives meanwhile
    seen->append(head.text());
    const BytesView line = co_await reader.readline_view();
    co_await sleep(1ms);
    seen->append(line.text());
    const BytesView some = co_await reader.read_view(3);
    co_await sleep(1ms);
    seen->append(some.text());
  };
  StreamReader reader = fed("head");
  std::string seen;
  const Task<> task = start(body(reader, &seen));
  tick(2);
  reader.feed_data("line\nxyz");
  for (std::size_t at = 0; at < 200'000; at += 1000) reader.feed_data(pattern(1000, at));
  run_for(1500us);
  for (std::size_t at = 200'000; at < 1'000'000; at += 1000) reader.feed_data(pattern(1000, at));
  finish(task);
  EXPECT_EQ(seen, "headline\nxyz");
  EXPECT_TRUE(rest(reader) == pattern(1'000'000));
}

TEST_F(ReaderState, ViewsAndCopiesTakeTurns) {
  StreamReader reader = ended("aabbbb\ncccdd");
  EXPECT_EQ(run(read_view(reader, 2)), "aa");
  EXPECT_EQ(run(readline(reader)), "bbbb\n");
  EXPECT_EQ(run(readexactly_view(reader, 3)), "ccc");
  EXPECT_FALSE(reader.at_eof());
  EXPECT_EQ(run(read(reader)), "dd");
  EXPECT_TRUE(reader.at_eof());
}

TEST_F(ReaderState, WhatIsThereAlreadyIsGivenWithoutATurn) {
  const auto body = [](StreamReader reader, EventLoop* loop) -> Coro<std::uint64_t> {
    const std::uint64_t before = loop->stats().callbacks;
    for (int i = 0; i < 10; ++i) {
      co_await reader.readexactly(2);
      co_await reader.readline_view();
      co_await reader.read(1);
    }
    co_return loop->stats().callbacks - before;
  };
  std::string text;
  for (int i = 0; i < 10; ++i) text += "abline\nx";
  EXPECT_EQ(run(body(fed(text), &loop())), 0u);
}

}  // namespace
}  // namespace ferry::test
