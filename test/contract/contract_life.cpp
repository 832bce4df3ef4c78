// C1 to C6: the order of callbacks, where they come from, and how a connection ends.
#include "contract_fixture.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

namespace ferry::test {

class ContractLife : public ContractTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, ContractLife, ::testing::ValuesIn(contract_worlds()),
                         contract_world_name);

TEST_P(ContractLife, C01_BothSidesHearMadeDataEofLost) {
  const Couple<> both = couple();
  const auto& near = both.near;
  const auto& far = both.far;
  near->write("question");
  run_until([&] { return far->bytes() == 8; });
  far->write("answer");
  run_until([&] { return near->bytes() == 6; });
  near->close();
  run_until([&] { return near->lost() && far->lost(); });
  settle();
  EXPECT_EQ(near->summary(), "made data:6 lost:ok");
  EXPECT_EQ(far->summary(), "made data:8 eof lost:ok");
}

TEST_P(ContractLife, C01_ConnectionMadeComesFirstAlsoWhenThePeerWritesAtOnce) {
  auto near = recording();
  auto far = recording();
  near->on_made = [&] { near->write("from near"); };
  far->on_made = [&] {
    far->write("from far");
    far->close();
  };
  connect(near, far);
  run_until([&] { return near->lost() && far->lost(); });
  EXPECT_EQ(near->summary(), "made data:8 eof lost:ok");
  EXPECT_EQ(near->data(), "from far");
}

TEST_P(ContractLife, C01_NothingIsCalledIfTheConnectionNeverComesAbout) {
  std::size_t made = 0;
  auto future = maker().connect_to_nobody(loop(), [&]() -> std::shared_ptr<Protocol> {
    ++made;
    return std::make_shared<RecordingProtocol>();
  });
  run_until([&] { return future.done(); });
  EXPECT_THROW(future.result(), IoError);
  EXPECT_EQ(made, 0u);
}

TEST_P(ContractLife, C02_NoCallbackComesFromInsideTheCallsOfTheTransport) {
  const Couple<> both = couple();
  const auto& near = both.near;
  const auto& far = both.far;
  far->write("waits in the kernel");
  run_until([&] { return far->transport()->get_write_buffer_size() == 0; });
  Transport& transport = *near->transport();
  const auto expect_quiet = [&](const char* call) {
    EXPECT_EQ(near->events().size(), 1u) << "inside " << call << ": " << near->summary();
  };
  // The loop does not run in between: whatever is called is called from inside.
  transport.pause_reading();
  transport.resume_reading();
  expect_quiet("resume_reading");
  transport.write("x");
  transport.writelines({"y", "z"});
  expect_quiet("write");
  transport.set_protocol(near);
  if (transport.can_write_eof()) transport.write_eof();
  expect_quiet("write_eof");
  near->close();
  expect_quiet("close");
  near->abort();
  expect_quiet("abort");
  run_until_lost(*near);
  EXPECT_EQ(near->summary(), "made lost:ok");
  run_until_lost(*far);
}

TEST_P(ContractLife, C02_OnlyPauseWritingMayComeFromInsideWrite) {
  const Couple<> both = couple();
  const auto& near = both.near;
  const auto& far = both.far;
  const std::size_t events = near->events().size();
  write_until_paused(*near, *far);
  EXPECT_EQ(near->events().size(), events + 1);
  EXPECT_EQ(near->events().back(), "pause");
  near->abort();
  EXPECT_FALSE(near->lost());
  far->resume_reading();
  run_until([&] { return near->lost() && far->lost(); });
}

TEST_P(ContractLife, C03_CloseFlushesThenIsLostWithoutError) {
  const Couple<> both = couple();
  const auto& near = both.near;
  const auto& far = both.far;
  const std::size_t written = write_until_paused(*near, *far);
  near->close();
  settle();
  EXPECT_FALSE(near->lost());
  far->resume_reading();
  run_until([&] { return near->lost() && far->lost(); });
  EXPECT_TRUE(far->data() == pattern(written));
  EXPECT_FALSE(near->error());
  EXPECT_FALSE(far->error());
}

TEST_P(ContractLife, C03_NoDataAfterClose) {
  const Couple<> both = couple();
  const auto& near = both.near;
  const auto& far = both.far;
  write_until_paused(*near, *far);
  far->write("unwanted");
  run_until([&] { return far->transport()->get_write_buffer_size() == 0; });
  near->close();
  settle();
  EXPECT_EQ(near->bytes(), 0u);
  near->abort();
  far->resume_reading();
  run_until([&] { return near->lost() && far->lost(); });
  EXPECT_EQ(near->bytes(), 0u);
}

TEST_P(ContractLife, C03_AbortDropsTheQueue) {
  const Couple<> both = couple();
  const auto& near = both.near;
  const auto& far = both.far;
  const std::size_t written = write_until_paused(*near, *far);
  near->abort();
  EXPECT_EQ(near->transport()->get_write_buffer_size(), 0u);
  run_until_lost(*near);
  EXPECT_FALSE(near->error());
  far->resume_reading();
  run_until_lost(*far);
  EXPECT_LT(far->bytes(), written);
}

TEST_P(ContractLife, C03_BytesWrittenAfterCloseAreDropped) {
  const Couple<> both = couple();
  const auto& near = both.near;
  const auto& far = both.far;
  near->write("before");
  near->close();
  near->write("after");
  const BytesView more[] = {"and", "after"};
  near->writelines(more);
  run_until([&] { return near->lost() && far->lost(); });
  EXPECT_EQ(far->data(), "before");
}

TEST_P(ContractLife, C04_ACallbackMayEndAnotherConnectionOfTheSameTurn) {
  auto one = couple();
  auto two = couple();
  one.near->on_data = [&](BytesView) { two.near->abort(); };
  two.near->on_data = [&](BytesView) { one.near->abort(); };
  one.far->write("a");
  two.far->write("b");
  run_until([&] { return one.near->lost() || two.near->lost(); });
  settle();
  EXPECT_EQ(one.near->bytes() + two.near->bytes(), 1u);
  one.far->close();
  two.far->close();
  run_until(
      [&] { return one.near->lost() && two.near->lost() && one.far->lost() && two.far->lost(); });
}

TEST_P(ContractLife, C04_ACallbackMayStopTheLoop) {
  const Couple<> both = couple();
  const auto& near = both.near;
  const auto& far = both.far;
  near->on_data = [&](BytesView) { loop().stop(); };
  far->write("stop");
  loop().run_forever();
  EXPECT_EQ(near->data(), "stop");
  EXPECT_FALSE(near->lost());
  near->on_data = nullptr;
  far->write(" go on");
  run_until([&] { return near->bytes() == 10; });
}

TEST_P(ContractLife, C05_AnExceptionEndsThatConnectionAlone) {
  auto one = couple();
  auto two = couple();
  one.near->on_data = [](BytesView) { throw std::runtime_error("no good"); };
  one.far->write("?");
  run_until([&] { return one.near->lost() && one.far->lost(); });
  EXPECT_EQ(one.near->error(), errc::protocol_failed);
  const auto told = take_exceptions();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_NE(told[0].to_string().find("no good"), std::string::npos) << told[0].to_string();
  two.far->write("alive");
  run_until([&] { return two.near->bytes() == 5; });
}

TEST_P(ContractLife, C05_AnExceptionOutOfConnectionMadeIsAnEndToo) {
  auto near = recording();
  auto far = recording();
  far->on_made = [] { throw std::runtime_error("not today"); };
  connect(near, far);
  run_until([&] { return near->lost() && far->lost(); });
  EXPECT_EQ(far->summary().substr(0, 9), "made lost");
  EXPECT_EQ(far->error(), errc::protocol_failed);
  EXPECT_EQ(take_exceptions().size(), 1u);
}

TEST_P(ContractLife, C06_WriteNeverThrowsForWhatThePeerDid) {
  const Couple<> both = couple();
  const auto& near = both.near;
  const auto& far = both.far;
  far->abort();
  for (int i = 0; i < 100 && !near->lost(); ++i) {
    EXPECT_NO_THROW(near->write(pattern(1000)));
    const BytesView pieces[] = {"a", "b"};
    EXPECT_NO_THROW(near->writelines(pieces));
    tick(1);
  }
  run_until([&] { return near->lost() && far->lost(); });
  EXPECT_NO_THROW(near->write("too late"));
  EXPECT_EQ(near->transport()->get_write_buffer_size(), 0u);
  take_log();
}

TEST_P(ContractLife, C06_WritelinesIsTheConcatenation) {
  const Couple<> both = couple();
  const auto& near = both.near;
  const auto& far = both.far;
  std::string all;
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < 500; ++i) {
    lines.push_back(pattern(i * 7 % 1000, all.size()));
    all += lines.back();
  }
  near->writelines(std::vector<BytesView>(lines.begin(), lines.end()));
  run_until([&] { return far->bytes() == all.size(); });
  EXPECT_TRUE(far->data() == all);
}

}  // namespace ferry::test
