// A traffic log while there is no memory.
#include "counting_new.h"
#include "socket_pair.h"
#include "world.h"

#include <ferry/connect.h>
#include <ferry/traffic_log.h>

#include <unistd.h>

#include <string>

namespace ferry::test {

namespace {

class TrafficLogMemory : public LoopFixture {
 protected:
  World world() const override { return World::asio; }
};

}  // namespace

// Half a block was in the log, write threw, and the end of the block ended the program.
TEST_F(TrafficLogMemory, APacketThatThereIsNoMemoryForIsLeftOut) {
  const std::string path = ::testing::TempDir() + "ferry-log-" + std::to_string(::getpid());
  const auto log = TrafficLog::open(loop(), {.path = path});
  auto [mine, theirs] = stream_pair(loop().kernel());
  const auto connecting = connect_accepted_socket(
      loop(), [] { return std::make_shared<Protocol>(); }, mine.release(), log->client());
  run_until([&] { return connecting.done(); });
  Transport& wire = *connecting.result().transport;
  const std::string large(60'000, 'x');
  bool left_out = false;
  for (int i = 0; i < 20 && !left_out; ++i) {
    fail_allocation(0);
    EXPECT_NO_THROW(wire.write(large));
    fail_no_allocation();
    left_out = log->stats().dropped > 0;
  }
  EXPECT_TRUE(left_out);
  wire.abort();
  const auto written = log->close();
  run_until([&] { return written.done() && loop().stats().transports == 0; });
  EXPECT_EQ(log->error(), std::error_code());
  ::unlink(path.c_str());
}

}  // namespace ferry::test
