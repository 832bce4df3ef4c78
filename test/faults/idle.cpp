// Connections on which nothing happens cost no processor time, whatever state they are in.
#include "fault_fixture.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace ferry::test {

using namespace std::chrono_literals;

enum class IdleState {
  open,
  paused_with_data,
  half_closed_by_peer,
  half_closed_by_us,
  half_closed_by_both,
  blocked
};

std::string idle_name(const ::testing::TestParamInfo<IdleState>& state) {
  const char* names[] = {"Open",           "PausedWithData",   "HalfClosedByPeer",
                         "HalfClosedByUs", "HalfClosedByBoth", "Blocked"};
  return names[static_cast<std::size_t>(state.param)];
}

class Idle : public FaultTest, public ::testing::WithParamInterface<IdleState> {};
INSTANTIATE_TEST_SUITE_P(States, Idle,
                         ::testing::Values(IdleState::open, IdleState::paused_with_data,
                                           IdleState::half_closed_by_peer,
                                           IdleState::half_closed_by_us,
                                           IdleState::half_closed_by_both, IdleState::blocked),
                         idle_name);

TEST_P(Idle, AHundredConnectionsUseNoProcessorTime) {
  std::vector<std::shared_ptr<RecordingProtocol>> probes;
  std::vector<Link> links;
  for (int i = 0; i < 100; ++i) {
    probes.push_back(recording());
    probes.back()->keep_open_on_eof = true;
    links.push_back(open(probes.back()));
  }
  for (std::size_t i = 0; i < probes.size(); ++i) {
    switch (GetParam()) {
      case IdleState::open:
        break;
      case IdleState::paused_with_data:
        probes[i]->pause_reading();
        links[i].peer->send(pattern(10'000));
        break;
      case IdleState::half_closed_by_peer:
        links[i].peer->shutdown_write();
        break;
      case IdleState::half_closed_by_us:
        probes[i]->write_eof();
        break;
      case IdleState::half_closed_by_both:
        links[i].peer->shutdown_write();
        probes[i]->write_eof();
        break;
      case IdleState::blocked:
        probes[i]->write(pattern(10'000'000));
        break;
    }
  }
  settle();
  const Duration before = cpu_time();
  const auto turns = loop().stats().turns;
  const std::size_t recvs = kernel().recv_calls();
  const std::size_t sends = kernel().send_calls();
  run_for(500ms);
  EXPECT_LT(cpu_time() - before, 100ms);
  EXPECT_LE(loop().stats().turns, turns + 20);
  EXPECT_LE(kernel().recv_calls(), recvs + 200);
  EXPECT_LE(kernel().send_calls(), sends + 200);
  for (const auto& probe : probes) probe->abort();
  tick();
}

}  // namespace ferry::test
