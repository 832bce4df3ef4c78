// Ten thousand connections between two processes.
#include "fault_fixture.h"

#include <gtest/gtest.h>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <string>
#include <vector>

namespace ferry::test {

using namespace std::chrono_literals;

constexpr std::size_t kCrowd = 10'000;

/// Room for `descriptors`, for as long as it lives. `enough` is false if the system refuses.
class RoomForDescriptors {
 public:
  explicit RoomForDescriptors(std::size_t descriptors) {
    getrlimit(RLIMIT_NOFILE, &old_);
    rlimit wide = old_;
    wide.rlim_cur = std::max<rlim_t>(wide.rlim_cur, descriptors);
    wide.rlim_max = std::max(wide.rlim_max, wide.rlim_cur);
    enough = setrlimit(RLIMIT_NOFILE, &wide) == 0;
  }
  RoomForDescriptors(const RoomForDescriptors&) = delete;
  RoomForDescriptors& operator=(const RoomForDescriptors&) = delete;
  ~RoomForDescriptors() { setrlimit(RLIMIT_NOFILE, &old_); }
  bool enough = false;

 private:
  rlimit old_{};
};

/// The client process: opens all connections, has two rounds of echo on each, closes them. Its exit
/// code.
int crowd_client(std::uint16_t port) {
  try {
    std::vector<BlockingClient> clients;
    clients.reserve(kCrowd);
    for (std::size_t i = 0; i < kCrowd; ++i) clients.emplace_back(port);
    for (int round = 0; round < 2; ++round) {
      for (std::size_t i = 0; i < kCrowd; ++i) clients[i].send(pattern(64, i * 64));
      for (std::size_t i = 0; i < kCrowd; ++i) {
        if (clients[i].receive(64) != pattern(64, i * 64)) return 2;
      }
    }
    return 0;
  } catch (const std::exception&) {
    return 1;
  }
}

TEST_F(FaultTest, TenThousandConnectionsAreServedAtOnce) {
  const RoomForDescriptors room(kCrowd + 500);
  if (!room.enough) {
    GTEST_SKIP() << "the hard limit of descriptors (ulimit -Hn) is below " << kCrowd + 500;
  }
  ListenOptions options;
  options.backlog = 1024;
  auto server = serve([] { return std::make_shared<Echo>(); }, std::move(options));
  const std::size_t descriptors = open_descriptors();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(crowd_client(server->port()));
  std::size_t most = 0;
  int status = -1;
  run_until(
      [&] {
        most = std::max(most, server->connections());
        return waitpid(child, &status, WNOHANG) == child;
      },
      120s);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(most, kCrowd);
  run_until([&] { return server->connections() == 0; }, 60s);
  EXPECT_EQ(open_descriptors(), descriptors);
  server->close();
}

}  // namespace ferry::test
