#include <ferry/log.h>

#include <ferry/fd.h>

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <string>

#include <fcntl.h>
#include <unistd.h>

namespace ferry {
namespace {

// Standard error goes into a pipe while this lives.
class StderrInPipe {
 public:
  StderrInPipe() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
    read_.reset(ends[0]);
    const Fd write(ends[1]);
    old_.reset(::dup(STDERR_FILENO));
    ::dup2(write.get(), STDERR_FILENO);
  }
  ~StderrInPipe() { ::dup2(old_.get(), STDERR_FILENO); }
  StderrInPipe(const StderrInPipe&) = delete;
  StderrInPipe& operator=(const StderrInPipe&) = delete;

  std::string take() {
    std::fflush(stderr);
    std::array<char, 4096> bytes;
    const ssize_t size = ::read(read_.get(), bytes.data(), bytes.size());
    return size > 0 ? std::string(bytes.data(), static_cast<std::size_t>(size)) : std::string();
  }

 private:
  Fd read_;
  Fd old_;
};

TEST(Log, LevelsHaveNames) {
  EXPECT_EQ(to_string(LogLevel::debug), "debug");
  EXPECT_EQ(to_string(LogLevel::info), "info");
  EXPECT_EQ(to_string(LogLevel::warning), "warning");
  EXPECT_EQ(to_string(LogLevel::error), "error");
  EXPECT_LT(LogLevel::debug, LogLevel::info);
  EXPECT_LT(LogLevel::info, LogLevel::warning);
  EXPECT_LT(LogLevel::warning, LogLevel::error);
}

TEST(Log, StderrSinkWritesOneWholeLineForEachCall) {
  LogSink sink = stderr_log_sink();
  StderrInPipe pipe;
  sink(LogLevel::warning, "accept paused");
  EXPECT_EQ(pipe.take(), "ferry warning: accept paused\n");
  sink(LogLevel::error, std::string(1000, 'x'));
  EXPECT_EQ(pipe.take(), "ferry error: " + std::string(1000, 'x') + "\n");
}

TEST(Log, StderrSinkDropsWhatIsBelowItsLevel) {
  LogSink quiet = stderr_log_sink();
  LogSink chatty = stderr_log_sink(LogLevel::debug);
  StderrInPipe pipe;
  quiet(LogLevel::info, "unheard");
  quiet(LogLevel::debug, "unheard");
  EXPECT_EQ(pipe.take(), "");
  chatty(LogLevel::debug, "heard");
  EXPECT_EQ(pipe.take(), "ferry debug: heard\n");
}

TEST(Log, LineIsWrittenAsItIsAndNotUsedAsAFormat) {
  LogSink sink = stderr_log_sink();
  StderrInPipe pipe;
  sink(LogLevel::error, "100%s %n");
  EXPECT_EQ(pipe.take(), "ferry error: 100%s %n\n");
}

TEST(Log, SinkMayBeAnyCallable) {
  std::string seen;
  LogSink sink = [&seen](LogLevel level, std::string_view line) {
    seen.append(to_string(level)).append("|").append(line);
  };
  sink(LogLevel::info, "hello");
  EXPECT_EQ(seen, "info|hello");
}

}  // namespace
}  // namespace ferry
