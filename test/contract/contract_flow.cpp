// C7, C8 and C11: pausing both ways, and how much one connection may take at a time.
#include "contract_fixture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>

namespace ferry::test {

using namespace std::chrono_literals;

class ContractFlow : public ContractTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, ContractFlow, ::testing::ValuesIn(contract_worlds()),
                         contract_world_name);

TEST_P(ContractFlow, C07_NoDataAfterPauseReadingReturns) {
  const Couple<> both = couple();
  const auto& near = both.near;
  const auto& far = both.far;
  far->write("already in the kernel");
  run_until([&] { return far->transport()->get_write_buffer_size() == 0; });
  near->pause_reading();
  settle();
  EXPECT_EQ(near->bytes(), 0u);
  near->resume_reading();
  run_until([&] { return near->bytes() == 21; });
}

TEST_P(ContractFlow, C07_NotEvenForBytesAlreadyRead) {
  auto near = recording<RecordingBufferedProtocol>(std::size_t{10});
  auto far = recording();
  near->on_data = [&](BytesView) { near->pause_reading(); };
  connect(near, far);
  far->write(pattern(100));
  for (std::size_t expected = 10; expected <= 100; expected += 10) {
    run_until([&] { return near->bytes() >= expected; });
    settle();
    EXPECT_EQ(near->bytes(), expected);
    near->resume_reading();
  }
  EXPECT_EQ(near->data(), pattern(100));
}

TEST_P(ContractFlow, C08_PauseAndResumeAlternateAndNothingIsLost) {
  const std::size_t total = 5'000'000;
  const Couple<> both = couple();
  const auto& near = both.near;
  const auto& far = both.far;
  std::size_t written = 0;
  bool reading = true;
  run_until(
      [&, n = near.get(), f = far.get()] {
        while (!n->writing_paused() && written < total) {
          const std::size_t size = std::min<std::size_t>(total - written, 7777);
          n->write(pattern(size, written));
          written += size;
        }
        if (std::exchange(reading, !reading)) {
          f->pause_reading();
        } else {
          f->resume_reading();
        }
        return f->bytes() == total;
      },
      120s);
  EXPECT_TRUE(far->data() == pattern(total));
  EXPECT_FALSE(near->writing_paused());
  EXPECT_EQ(near->transport()->get_write_buffer_size(), 0u);
}

TEST_P(ContractFlow, C08_PauseComesAtOneByteMoreThanTheMost) {
  const Couple<> both = couple();
  const auto& near = both.near;
  const auto& far = both.far;
  Transport& transport = *near->transport();
  const WriteLimits limits = maker().limits();
  const std::size_t most = maker().most_unpaused();
  EXPECT_EQ(transport.get_write_buffer_limits().high, limits.high);
  EXPECT_EQ(transport.get_write_buffer_limits().low, limits.low);
  far->pause_reading();
  // From the moment something stays behind, each byte counts.
  for (int i = 0; i < 5000 && transport.get_write_buffer_size() == 0; ++i) {
    near->write(pattern(10'000));
    if (i % 10 == 0) tick(1);
  }
  ASSERT_GT(transport.get_write_buffer_size(), 0u);
  ASSERT_FALSE(near->writing_paused());
  near->write(pattern(most - transport.get_write_buffer_size()));
  EXPECT_EQ(transport.get_write_buffer_size(), most);
  EXPECT_FALSE(near->writing_paused());
  near->write("+");
  EXPECT_EQ(transport.get_write_buffer_size(), most + 1);
  EXPECT_TRUE(near->writing_paused());
  far->resume_reading();
  run_until([&, n = near.get()] { return !n->writing_paused(); });
  EXPECT_LE(transport.get_write_buffer_size(), limits.low);
}

TEST_P(ContractFlow, WhatPauseWritingWritesComesBehindAllOfWritelines) {
  for (const bool inside_a_callback : {false, true}) {
    SCOPED_TRACE(inside_a_callback);
    const Couple<> both = couple();
    RecordingProtocol& near = *both.near;
    RecordingProtocol& far = *both.far;
    near.on_pause = [&near] { near.write("<paused>"); };
    std::string written;
    const auto write_batch = [&] {
      const std::string batch = pattern(50'000, written.size());
      const BytesView all = batch;
      std::vector<BytesView> pieces;
      for (std::size_t at = 0; at < batch.size(); at += 10'000) {
        pieces.push_back(all.drop(at).first(10'000));
      }
      near.writelines(pieces);
      written += batch;
    };
    near.on_data = [&](BytesView) { write_batch(); };
    far.pause_reading();
    for (int i = 0; i < 5000 && !near.writing_paused(); ++i) {
      if (!inside_a_callback) {
        write_batch();
        continue;
      }
      const std::size_t before = near.bytes();
      far.write("w");
      run_until([&] { return near.bytes() > before; });
    }
    ASSERT_TRUE(near.writing_paused());
    written += "<paused>";
    far.resume_reading();
    run_until([&] { return far.bytes() == written.size(); });
    EXPECT_TRUE(far.data() == written);
    near.on_data = nullptr;
  }
}

TEST_P(ContractFlow, C02_CloseDoesNotCallResumeWriting) {
  const Couple<> both = couple();
  const std::size_t written = write_until_paused(*both.near, *both.far);
  {
    const auto scope = both.near->checker().write();
    both.near->transport()->set_write_buffer_limits(100'000'000, 99'000'000);
  }
  both.near->close();  // TearDown fails if that calls back
  both.far->resume_reading();
  run_until_lost(*both.near);
  run_until_lost(*both.far);
  EXPECT_EQ(both.far->bytes(), written);
}

TEST_P(ContractFlow, C08_BeyondTheHardLimitTheConnectionIsAborted) {
  const Couple<> both = couple();
  const auto& near = both.near;
  const auto& far = both.far;
  const std::size_t high = maker().limits().high;
  near->transport()->set_write_hard_limit(high + 130'000);
  write_until_paused(*near, *far);
  near->write(pattern(200'000));
  EXPECT_TRUE(near->transport()->is_closing());
  run_until_lost(*near);
  EXPECT_EQ(near->error(), errc::write_overflow);
  far->resume_reading();
  run_until_lost(*far);
}

TEST_P(ContractFlow, C11_AFirehoseDoesNotDelayAPing) {
  // Reads of 100 bytes out of a full kernel buffer: without a budget, hundreds would come first.
  auto thirsty = recording<RecordingBufferedProtocol>(std::size_t{100});
  auto hose = recording();
  connect(thirsty, hose);
  auto ping = couple();
  std::size_t reads = 0;
  std::size_t reads_before_ping = 0;
  thirsty->keep_data = false;
  thirsty->on_data = [&](BytesView) { ++reads; };
  ping.near->on_data = [&](BytesView) { reads_before_ping = reads; };
  for (int round = 0; round < 10; ++round) {
    thirsty->pause_reading();
    hose->write(pattern(50'000));
    settle();
    ping.far->write("p");
    reads = 0;
    const std::size_t pings = ping.near->bytes();
    thirsty->resume_reading();
    run_until([&] { return ping.near->bytes() > pings; });
    EXPECT_LE(reads_before_ping, 64u);
    const std::size_t total = static_cast<std::size_t>(round + 1) * 50'000;
    run_until([&] { return thirsty->bytes() == total; });
    EXPECT_GE(reads, 400u);
  }
}

}  // namespace ferry::test
