#include <ferry/testing/memory_pair.h>
#include <ferry/testing/pattern_stream.h>
#include <ferry/testing/recording_protocol.h>

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

namespace ferry::test {
namespace {

using namespace std::chrono_literals;
using testing::FaultKernel;
using testing::join_in_memory;
using testing::make_sim_kernel;
using testing::MemoryPair;
using testing::MemoryPairOptions;
using testing::PatternReader;
using testing::PatternWriter;
using testing::RecordingProtocol;
using testing::SimLink;
using Pieces = SimLink::Pieces;

/// Two recording protocols that are joined; they must have kept the contract.
struct Recorded {
  explicit Recorded(MemoryPairOptions options = {}) : pair(near, far, std::move(options)) {}
  ~Recorded() {
    for (const auto& side : {near, far}) {
      EXPECT_EQ(side->violations(), std::vector<std::string>()) << side->summary();
    }
    EXPECT_EQ(pair.exceptions(), std::vector<std::string>());
  }

  std::shared_ptr<RecordingProtocol> near = std::make_shared<RecordingProtocol>();
  std::shared_ptr<RecordingProtocol> far = std::make_shared<RecordingProtocol>();
  MemoryPair pair;
};

/// The sizes of the data events of a protocol.
std::vector<std::size_t> sizes(const RecordingProtocol& protocol) {
  std::vector<std::size_t> all;
  for (const std::string& event : protocol.events()) {
    if (event.starts_with("data:")) all.push_back(std::stoul(event.substr(5)));
  }
  return all;
}

TEST(MemoryPair, BothHearMadeDataAndTheEnd) {
  Recorded both;
  EXPECT_TRUE(both.near->made());
  EXPECT_TRUE(both.far->made());
  both.near->write("question");
  EXPECT_TRUE(both.pair.run_until([&] { return both.far->bytes() == 8; }));
  both.far->write("answer");
  both.far->close();
  EXPECT_TRUE(both.pair.run());
  EXPECT_EQ(both.near->summary(), "made data:6 eof lost:ok");
  EXPECT_EQ(both.far->summary(), "made data:8 lost:ok");
  EXPECT_EQ(both.pair.elapsed(), 0s);
}

TEST(MemoryPair, NothingIsDeliveredFromInsideAWrite) {
  Recorded both;
  both.near->write("x");
  EXPECT_EQ(both.far->bytes(), 0u);
  both.pair.run_for(1ms);
  EXPECT_EQ(both.far->data(), "x");
}

TEST(MemoryPair, TheTransportsAreThoseTheProtocolsHave) {
  Recorded both;
  EXPECT_EQ(&both.pair.near(), both.near->transport().get());
  EXPECT_EQ(&both.pair.far(), both.far->transport().get());
  EXPECT_EQ(both.pair.near().peername(), both.pair.far().sockname());
  EXPECT_EQ(both.pair.near().sockname(), both.pair.far().peername());
  EXPECT_TRUE(both.pair.near().sockname().is_ip());
}

TEST(MemoryPair, PiecesAreCutAsTheLinkSays) {
  const std::string text = "abcdefghijklmnopqrstuvwxyz";
  for (const Pieces pieces : {Pieces::whole, Pieces::single, Pieces::random, Pieces::fixed}) {
    Recorded both({.link = SimLink{.pieces = pieces, .piece_size = 5}, .seed = 3});
    both.near->write(text);
    both.pair.run_until([&] { return both.far->bytes() == text.size(); });
    EXPECT_EQ(both.far->data(), text);
    const std::vector<std::size_t> got = sizes(*both.far);
    switch (pieces) {
      case Pieces::whole:
        EXPECT_EQ(got, std::vector<std::size_t>{26});
        break;
      case Pieces::single:
        EXPECT_EQ(got, std::vector<std::size_t>(26, 1));
        break;
      case Pieces::random:
        EXPECT_GT(got.size(), 5u);
        EXPECT_LT(got.size(), 26u);
        break;
      case Pieces::boundary:
      case Pieces::fixed:
        EXPECT_EQ(got, (std::vector<std::size_t>{5, 5, 5, 5, 5, 1}));
        break;
    }
  }
}

TEST(MemoryPair, LatencyPassesOnTheVirtualClock) {
  Recorded both({.link = SimLink{.latency_min = 250ms}});
  const Duration before = both.pair.elapsed();
  both.near->write("ping");
  both.far->on_data = [&](BytesView data) { both.far->write(data); };
  EXPECT_TRUE(both.pair.run_until([&] { return both.near->bytes() == 4; }));
  EXPECT_EQ(both.pair.elapsed() - before, 500ms);
}

TEST(MemoryPair, ASmallCapacityPausesTheWriterUntilTheReaderReads) {
  for (const std::size_t capacity : {std::size_t{1}, std::size_t{100}, std::size_t{4096}}) {
    Recorded both({.capacity = capacity});
    both.near->transport()->set_write_buffer_limits(0);
    both.far->pause_reading();
    both.pair.run_for(1ms);
    std::size_t written = 0;
    PatternWriter writer(1);
    while (!both.near->writing_paused()) {
      both.near->write(writer.next(10));
      written += 10;
      ASSERT_LE(written, capacity + 20);
    }
    EXPECT_GE(written, capacity);
    both.pair.run_for(1h);
    EXPECT_TRUE(both.near->writing_paused());
    both.far->resume_reading();
    EXPECT_TRUE(both.pair.run_until([&] { return both.far->bytes() == written; }));
    EXPECT_FALSE(both.near->writing_paused());
    PatternReader reader(1);
    EXPECT_TRUE(reader.take(both.far->data())) << reader.to_string();
  }
}

TEST(MemoryPair, LargeStreamsCrossBothWaysInAnyPieces) {
  constexpr std::size_t kTotal = 300'000;
  for (const Pieces pieces : {Pieces::whole, Pieces::random, Pieces::fixed}) {
    Recorded both({.capacity = 10'000,
                   .link = SimLink{.latency_min = 1ms, .latency_max = 9ms, .pieces = pieces},
                   .seed = 5});
    both.near->write(PatternWriter(1).next(kTotal));
    both.near->write_eof();
    both.far->keep_open_on_eof = true;
    both.far->write(PatternWriter(2).next(kTotal));
    both.far->on_eof = [&] { both.far->close(); };
    EXPECT_TRUE(both.pair.run());
    for (const auto& [side, id] : {std::pair(both.near, 2), std::pair(both.far, 1)}) {
      PatternReader reader(static_cast<std::uint16_t>(id));
      reader.take(side->data());
      EXPECT_TRUE(reader.end(kTotal)) << reader.to_string();
      EXPECT_FALSE(side->error());
    }
  }
}

TEST(MemoryPair, TheEndOfThePairIsTheEndOfTheLoop) {
  const auto near = std::make_shared<RecordingProtocol>();
  const auto far = std::make_shared<RecordingProtocol>();
  { const MemoryPair pair(near, far); }
  EXPECT_EQ(near->error(), errc::loop_closed);
  EXPECT_EQ(far->error(), errc::loop_closed);
}

TEST(MemoryPair, TheNetworkBetweenThemCanBeCut) {
  Recorded both;
  both.near->write("x");
  both.pair.run_for(1ms);
  EXPECT_EQ(both.pair.network().cut(), 1u);
  EXPECT_TRUE(both.pair.run());
  EXPECT_EQ(both.near->error(), std::errc::connection_reset);
  EXPECT_EQ(both.far->error(), std::errc::connection_reset);
}

TEST(MemoryPair, SystemCallsCanBeMadeToFail) {
  Recorded both;
  const auto guard = both.pair.faults().inject({.call = "recv", .error = ETIMEDOUT, .times = 1});
  both.near->write("x");
  EXPECT_TRUE(both.pair.run());
  EXPECT_EQ(both.far->error(), std::errc::timed_out);
}

TEST(MemoryPair, ExceptionsOfCallbacksAreKept) {
  const auto near = std::make_shared<RecordingProtocol>();
  const auto far = std::make_shared<RecordingProtocol>();
  MemoryPair pair(near, far);
  far->on_data = [](BytesView) { throw std::runtime_error("too hot"); };
  near->write("x");
  EXPECT_TRUE(pair.run());
  ASSERT_EQ(pair.exceptions().size(), 1u);
  EXPECT_NE(pair.exceptions()[0].find("too hot"), std::string::npos);
  EXPECT_EQ(far->error(), errc::protocol_failed);
}

TEST(MemoryPair, ARunHasALimitOfVirtualTime) {
  Recorded both;
  int ticks = 0;
  Function<void()> tick = [&] {
    ++ticks;
    both.pair.loop().call_later(1s, [&] { tick(); });
  };
  both.pair.loop().call_later(1s, [&] { tick(); });
  EXPECT_FALSE(both.pair.run(2500ms));
  EXPECT_EQ(ticks, 2);
  EXPECT_EQ(both.pair.elapsed(), 2500ms);
  both.pair.run_for(1h);
  EXPECT_EQ(ticks, 3602);
}

TEST(MemoryPair, AProtocolThatStopsTheLoopEndsNoRun) {
  Recorded both;
  both.far->on_data = [&](BytesView) { both.pair.loop().stop(); };
  both.near->write("x");
  both.pair.loop().call_later(1s, [&] { both.near->close(); });
  EXPECT_TRUE(both.pair.run());
}

TEST(MemoryPair, TwoAreJoinedOnALoopThatIsThereAlready) {
  EventLoop loop(std::make_unique<FaultKernel>(make_sim_kernel()));
  const auto near = std::make_shared<RecordingProtocol>();
  const auto far = std::make_shared<RecordingProtocol>();
  const auto ends = join_in_memory(loop, near, far, {.capacity = 100});
  EXPECT_FALSE(near->made()) << "connection_made comes from the loop";
  EXPECT_EQ(loop.run_until_complete(ends.near).protocol, near);
  EXPECT_EQ(loop.run_until_complete(ends.far).transport, far->transport());
}

TEST(MemoryPair, ALoopOnTheRealKernelIsRefused) {
  EventLoop loop;
  const auto protocol = std::make_shared<RecordingProtocol>();
  EXPECT_THROW(join_in_memory(loop, protocol, protocol), std::invalid_argument);
  EventLoop simulated(make_sim_kernel());
  EXPECT_THROW(join_in_memory(simulated, protocol, nullptr), std::invalid_argument);
}

TEST(MemoryPair, TheSameSeedGivesTheSamePieces) {
  const auto pieces = [](std::uint64_t seed) {
    Recorded both({.link = SimLink{.pieces = Pieces::random, .piece_size = 100}, .seed = seed});
    both.near->write(std::string(3000, 'x'));
    both.pair.run_for(1ms);
    return sizes(*both.far);
  };
  const std::vector<std::size_t> first = pieces(1);
  EXPECT_EQ(std::accumulate(first.begin(), first.end(), std::size_t{0}), 3000u);
  EXPECT_EQ(first, pieces(1));
  EXPECT_NE(first, pieces(2));
}

}  // namespace
}  // namespace ferry::test
