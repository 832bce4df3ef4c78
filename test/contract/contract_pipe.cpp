// The rows of the contract that make sense for a pipe, which goes one way only: `out` writes, `in`
// reads. (C9, C10 and C13 are the loop's, C12 and C14 are not a pipe's.)
#include "far_end.h"
#include "world.h"

#include <ferry/pipe.h>
#include <ferry/testing/recording_protocol.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace ferry::test {

using ferry::testing::ConnectionRecord;
using ferry::testing::RecordingBufferedProtocol;
using ferry::testing::RecordingProtocol;
using namespace std::chrono_literals;

class ContractPipe : public LoopTest {
 protected:
  void TearDown() override {
    LoopTest::TearDown();
    for (const auto& record : std::exchange(records_, {})) {
      EXPECT_EQ(record->checker().final_violations(), std::vector<std::string>())
          << record->summary();
    }
  }

  template <class P = RecordingProtocol, class... Args>
  std::shared_ptr<P> recording(Args... args) {
    auto made = std::make_shared<P>(args...);
    records_.push_back(made);
    return made;
  }
  void connect(std::shared_ptr<Protocol> out, std::shared_ptr<Protocol> in) {
    int ends[2];
    ASSERT_TRUE(loop().kernel().pipe(ends[0], ends[1]).ok());
    const auto reader = connect_read_pipe(
        loop(), [in] { return in; }, ends[0]);
    const auto writer = connect_write_pipe(
        loop(), [out] { return out; }, ends[1]);
    run_until([&] { return reader.done() && writer.done(); });
  }
  struct Pair {
    std::shared_ptr<RecordingProtocol> out;
    std::shared_ptr<RecordingProtocol> in;
  };
  Pair pair() {
    Pair made{recording(), recording()};
    connect(made.out, made.in);
    return made;
  }
  /// The number of bytes written, `in` not reading.
  std::size_t write_until_paused(const Pair& both) {
    both.in->pause_reading();
    std::size_t written = 0;
    while (!both.out->writing_paused() && written < 50'000'000) {
      both.out->write(pattern(10'000, written));
      written += 10'000;
    }
    return written;
  }
  void run_until_both_lost(const Pair& both) {
    run_until([&] { return both.out->lost() && both.in->lost(); });
  }
  void settle() {
    run_for(20ms);
    tick(8);
  }

 private:
  std::vector<std::shared_ptr<ConnectionRecord>> records_;
};
INSTANTIATE_TEST_SUITE_P(Worlds, ContractPipe, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(ContractPipe, C01_MadeDataEofLost) {
  const Pair both = pair();
  both.out->write("message");
  run_until([&] { return both.in->bytes() == 7; });
  both.out->close();
  run_until_both_lost(both);
  EXPECT_EQ(both.out->summary(), "made lost:ok");
  EXPECT_EQ(both.in->summary(), "made data:7 eof lost:ok");
}

TEST_P(ContractPipe, C01_ConnectionMadeComesFirstAlsoWhenTheWriterWritesAtOnce) {
  auto out = recording();
  auto in = recording();
  out->on_made = [&] {
    out->write("at once");
    out->close();
  };
  connect(out, in);
  run_until([&] { return out->lost() && in->lost(); });
  EXPECT_EQ(in->summary(), "made data:7 eof lost:ok");
}

TEST_P(ContractPipe, C02_NoCallbackComesFromInsideTheCallsOfTheTransport) {
  for (const bool abort : {false, true}) {
    const Pair both = pair();
    Transport& in = *both.in->transport();
    Transport& out = *both.out->transport();
    both.out->write("waits in the pipe");
    in.pause_reading();
    in.resume_reading();
    out.writelines({"y", "z"});
    if (abort) {
      out.abort();
      in.abort();
    } else {
      out.write_eof();
      out.close();
      in.close();
    }
    EXPECT_EQ(both.in->summary(), "made");
    EXPECT_EQ(both.out->summary(), "made");
    run_until_both_lost(both);
    EXPECT_EQ(both.in->summary(), "made lost:ok");
    EXPECT_EQ(both.out->summary(), "made lost:ok");
  }
}

TEST_P(ContractPipe, C02_OnlyPauseWritingMayComeFromInsideWrite) {
  const Pair both = pair();
  write_until_paused(both);
  EXPECT_EQ(both.out->summary(), "made pause");
  both.out->abort();
  EXPECT_FALSE(both.out->lost());
  both.in->resume_reading();
  run_until_both_lost(both);
}

TEST_P(ContractPipe, C03_CloseFlushesThenIsLostWithoutError) {
  const Pair both = pair();
  const std::size_t written = write_until_paused(both);
  both.out->close();
  both.out->write("dropped");
  settle();
  EXPECT_FALSE(both.out->lost());
  both.in->resume_reading();
  run_until_both_lost(both);
  EXPECT_TRUE(both.in->data() == pattern(written));
  EXPECT_FALSE(both.out->error());
}

TEST_P(ContractPipe, C03_NoDataAfterTheReadersClose) {
  const Pair both = pair();
  both.out->write("unwanted");
  both.in->close();
  run_until_both_lost(both);
  EXPECT_EQ(both.in->bytes(), 0u);
}

TEST_P(ContractPipe, C03_AbortDropsTheQueue) {
  const Pair both = pair();
  const std::size_t written = write_until_paused(both);
  both.out->abort();
  EXPECT_EQ(both.out->transport()->get_write_buffer_size(), 0u);
  both.in->resume_reading();
  run_until_both_lost(both);
  EXPECT_FALSE(both.out->error());
  EXPECT_LT(both.in->bytes(), written);
}

TEST_P(ContractPipe, C04_ACallbackMayEndAnotherPipeOfTheSameTurn) {
  const Pair one = pair();
  const Pair two = pair();
  one.in->on_data = [&](BytesView) { two.in->abort(); };
  two.in->on_data = [&](BytesView) { one.in->abort(); };
  one.out->write("a");
  two.out->write("b");
  run_until([&] { return one.in->lost() || two.in->lost(); });
  settle();
  EXPECT_EQ(one.in->bytes() + two.in->bytes(), 1u);
  one.out->close();
  two.out->close();
  run_until_both_lost(one);
  run_until_both_lost(two);
}

TEST_P(ContractPipe, C05_AnExceptionEndsThatPipeAlone) {
  const Pair one = pair();
  const Pair two = pair();
  one.in->on_data = [](BytesView) { throw std::runtime_error("no good"); };
  one.out->write("?");
  run_until_both_lost(one);
  EXPECT_EQ(one.in->error(), errc::protocol_failed);
  ASSERT_EQ(take_exceptions().size(), 1u);
  two.out->write("alive");
  run_until([&] { return two.in->bytes() == 5; });
}

TEST_P(ContractPipe, C06_WriteNeverThrowsForWhatTheReaderDid) {
  const Pair both = pair();
  both.in->abort();
  for (int i = 0; i < 100 && !both.out->lost(); ++i) {
    EXPECT_NO_THROW(both.out->write(pattern(1000)));
    EXPECT_NO_THROW(both.out->transport()->writelines({"a", "b"}));
    tick(1);
  }
  run_until_both_lost(both);
  EXPECT_NO_THROW(both.out->write("too late"));
  EXPECT_EQ(both.out->transport()->get_write_buffer_size(), 0u);
  take_log();
}

TEST_P(ContractPipe, C06_WritelinesIsTheConcatenation) {
  const Pair both = pair();
  std::string all;
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < 500; ++i) {
    lines.push_back(pattern(i * 7 % 1000, all.size()));
    all += lines.back();
  }
  both.out->writelines(std::vector<BytesView>(lines.begin(), lines.end()));
  run_until([&] { return both.in->bytes() == all.size(); });
  EXPECT_TRUE(both.in->data() == all);
}

TEST_P(ContractPipe, C07_NoDataWhilePausedNotEvenForBytesAlreadyRead) {
  auto out = recording();
  auto in = recording<RecordingBufferedProtocol>(std::size_t{10});
  in->on_data = [&](BytesView) { in->pause_reading(); };
  connect(out, in);
  out->write(pattern(100));
  for (std::size_t expected = 10; expected <= 100; expected += 10) {
    run_until([&] { return in->bytes() >= expected; });
    settle();
    EXPECT_EQ(in->bytes(), expected);
    in->resume_reading();
  }
  EXPECT_EQ(in->data(), pattern(100));
}

TEST_P(ContractPipe, C08_PauseAndResumeAlternateAndNothingIsLost) {
  const std::size_t total = 3'000'000;
  const Pair both = pair();
  std::size_t written = 0;
  bool reading = true;
  run_until(
      [&] {
        while (!both.out->writing_paused() && written < total) {
          const std::size_t size = std::min<std::size_t>(total - written, 7777);
          both.out->write(pattern(size, written));
          written += size;
        }
        if (std::exchange(reading, !reading)) {
          both.in->pause_reading();
        } else {
          both.in->resume_reading();
        }
        return both.in->bytes() == total;
      },
      120s);
  EXPECT_TRUE(both.in->data() == pattern(total));
  EXPECT_FALSE(both.out->writing_paused());
}

TEST_P(ContractPipe, C08_PauseComesOneByteAboveHighAndResumeAtLow) {
  const Pair both = pair();
  Transport& out = *both.out->transport();
  both.in->pause_reading();
  for (int i = 0; i < 5000 && out.get_write_buffer_size() == 0; ++i) {
    both.out->write(pattern(10'000));
  }
  const WriteLimits limits = out.get_write_buffer_limits();
  both.out->write(pattern(limits.high - out.get_write_buffer_size()));
  EXPECT_EQ(out.get_write_buffer_size(), limits.high);
  EXPECT_FALSE(both.out->writing_paused());
  both.out->write("+");
  EXPECT_TRUE(both.out->writing_paused());
  both.in->resume_reading();
  run_until([&] { return !both.out->writing_paused(); });
  EXPECT_LE(out.get_write_buffer_size(), limits.low);
}

TEST_P(ContractPipe, C08_BeyondTheHardLimitThePipeIsAborted) {
  const Pair both = pair();
  both.out->transport()->set_write_hard_limit(200'000);
  write_until_paused(both);
  both.out->write(pattern(200'000));
  both.in->resume_reading();
  run_until_both_lost(both);
  EXPECT_EQ(both.out->error(), errc::write_overflow);
}

TEST_P(ContractPipe, C11_AFirehoseDoesNotDelayAPing) {
  auto hose = recording();
  auto thirsty = recording<RecordingBufferedProtocol>(std::size_t{100});
  connect(hose, thirsty);
  const Pair ping = pair();
  std::size_t reads = 0;
  std::size_t reads_before_ping = 0;
  thirsty->keep_data = false;
  thirsty->on_data = [&](BytesView) { ++reads; };
  ping.in->on_data = [&](BytesView) { reads_before_ping = reads; };
  thirsty->pause_reading();
  hose->write(pattern(50'000));
  settle();
  ping.out->write("p");
  thirsty->resume_reading();
  run_until([&] { return ping.in->bytes() == 1; });
  EXPECT_LE(reads_before_ping, 64u);
  run_until([&] { return thirsty->bytes() == 50'000; });
  EXPECT_GE(reads, 400u);
}

TEST_P(ContractPipe, C15_ALostReaderNamesCodeAndOperation) {
  const Pair both = pair();
  write_until_paused(both);
  both.in->abort();
  run_until_both_lost(both);
  const Error& error = both.out->transport()->error();
  EXPECT_EQ(error.code, std::errc::broken_pipe);
  EXPECT_STRNE(error.operation, "");
  EXPECT_TRUE(error.address.empty());  // a pipe has none
}

}  // namespace ferry::test
