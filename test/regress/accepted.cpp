// Connections that a server cannot take.

#include <ferry/event_loop.h>
#include <ferry/server.h>
#include <ferry/testing/fault_kernel.h>
#include <ferry/testing/recording_protocol.h>
#include <ferry/testing/sim_kernel.h>

#include <gtest/gtest.h>

#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

namespace ferry::test {
namespace {

using testing::FaultKernel;
using testing::RecordingFactory;

// Nobody was told: a connection came to nothing as if that had been the client's fault.
TEST(Accepted, AServerSaysThatTheSystemHasNoRoomForAnotherWatch) {
  auto made = std::make_unique<FaultKernel>(testing::make_sim_kernel());
  FaultKernel& kernel = *made;
  EventLoop loop(std::move(made));
  std::vector<std::string> told;
  loop.set_exception_handler([&told](EventLoop&, const ExceptionContext& context) {
    told.push_back(context.to_string());
  });
  RecordingFactory<> taken;
  ListenOptions options;
  options.hosts = {"127.0.0.1"};
  const auto listening = create_server(loop, taken.factory(), options);
  const auto server = loop.run_until_complete(listening);
  const auto connect = [&] {
    Socket client(kernel, kernel.socket(AF_INET, SOCK_STREAM, 0).fd());
    kernel.connect(client.get(), *Address::ip("127.0.0.1", server->port()));
    for (int turn = 0; turn < 10; ++turn) {
      loop.call_soon([&loop] { loop.stop(); });
      loop.run_forever();
    }
    return client;
  };
  {
    const auto full = kernel.inject({.call = "epoll_ctl", .error = ENOSPC, .times = 1});
    const Socket refused = connect();
  }
  ASSERT_EQ(told.size(), 1u);
  EXPECT_NE(told[0].find("could not be taken"), std::string::npos) << told[0];
  const Socket client = connect();
  ASSERT_EQ(taken.size(), 2u);  // the first never began
  EXPECT_FALSE(taken.at(0).made());
  EXPECT_TRUE(taken.at(1).made());
  server->close();
}

}  // namespace
}  // namespace ferry::test
