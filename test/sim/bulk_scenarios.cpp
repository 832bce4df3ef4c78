#include "scenarios.h"
#include "stage.h"

#include <ferry/testing/trial.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace ferry::test {

namespace {

using testing::Trial;
using Ending = Plan::Ending;

/// The loop's buffer for reading, and how often in a turn it is filled at most.
constexpr std::size_t kFullRead = 256 * 1024;
constexpr unsigned kFullReads = 16;
/// More than a turn may read.
constexpr std::size_t kTotal = 6 << 20;

/// Notes when all that a turn may read was there to be read.
class FullReads {
 public:
  explicit FullReads(Trial& trial) {
    trial.set_observer([this, &trial](std::string_view call, int fd, const IoResult& result) {
      if (call != "recv" || !result.ok() || result.count() < kFullRead) return;
      trial.reached("a read fills the whole buffer");
      if (!trial.simulated()) return;
      const std::uint64_t turn = trial.sim().stats().turns;
      count_ = turn == turn_ && fd == fd_ ? count_ + 1 : 1;
      turn_ = turn;
      fd_ = fd;
      if (count_ == kFullReads) trial.reached("a connection has read all it may in a turn");
    });
  }

 private:
  std::uint64_t turn_ = 0;
  int fd_ = -1;
  unsigned count_ = 0;
};

/// As much as the buffers of the system take, to one who reads it at once, or with rests.
void bulk(Stage& stage) {
  testing::Seed& lot = stage.lot();
  stage.server_plan.total = kTotal;
  stage.server_plan.chunk = lot.between(1 << 18, 2 << 20);
  stage.client_plan.total = 0;
  stage.client_plan.expected = kTotal;
  stage.client_plan.when_received = Ending::close;
  if (lot.permille(300)) {
    stage.client_plan.rest = std::chrono::microseconds(lot.between(1, 1000));
    stage.client_plan.rest_after = lot.between(1 << 18, 1 << 20);
  }
  const FullReads reads(stage.trial());
  if (stage.serve()) {
    stage.connect(1);
    stage.finish();
  }
  stage.trial().set_observer(nullptr);
}

}  // namespace

void add_bulk_scenarios(std::vector<testing::Scenario>& all) {
  const std::size_t first = all.size();
  add_staged(all, "bulk", kPlain, bulk, {.least_piece = 16 * 1024});
  for (std::size_t i = first; i < all.size(); ++i) all[i].options.sim.pipe_capacity = 2 * kTotal;
}

}  // namespace ferry::test
