// A datagram socket whose own name could not be found out.

#include <ferry/datagram.h>
#include <ferry/testing/fault_kernel.h>
#include <ferry/testing/sim_kernel.h>

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

namespace ferry::test {
namespace {

struct Collector : DatagramProtocol {
  std::shared_ptr<DatagramTransport> transport;
  std::string got;
  void connection_made(std::shared_ptr<DatagramTransport> made) override {
    transport = std::move(made);
  }
  void datagram_received(BytesView data, const DatagramInfo&) override { got += data.text(); }
};

TEST(DatagramNames, WhereGetsocknameFailsDatagramsAreSentAllTheSame) {
  auto kernel = std::make_unique<testing::FaultKernel>(testing::make_sim_kernel());
  testing::FaultKernel& faults = *kernel;
  EventLoop loop(std::move(kernel));
  const auto open = [&loop] {
    DatagramOptions options;
    options.local_host = "127.0.0.1";
    return loop
        .run_until_complete(create_datagram_endpoint(
            loop, [] { return std::make_shared<Collector>(); }, std::move(options)))
        .protocol;
  };
  const auto to = open();
  const auto fault = faults.inject({.call = "getsockname", .error = ENOBUFS});
  const auto from = open();
  EXPECT_TRUE(from->transport->sockname().empty());
  from->transport->sendto("hello", to->transport->sockname());
  const Future<void> soon(loop);
  loop.call_later(std::chrono::milliseconds(1), [soon] { soon.set_result(); });
  loop.run_until_complete(soon);
  EXPECT_EQ(to->got, "hello");
}

}  // namespace
}  // namespace ferry::test
