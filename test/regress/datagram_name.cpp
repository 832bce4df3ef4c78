#include <ferry/datagram.h>
#include <ferry/event_loop.h>
#include <ferry/testing/fault_kernel.h>
#include <ferry/testing/sim_kernel.h>

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

namespace ferry::test {

// A datagram socket that could not learn its own name came about all the same, and then refused to
// send to anybody, as if the address were of another family: an exception out of sendto.
TEST(DatagramName, ASocketWithoutAnAddressIsNotMade) {
  auto kernel = std::make_unique<testing::FaultKernel>(testing::make_sim_kernel());
  testing::FaultKernel& faults = *kernel;
  EventLoop loop(std::move(kernel));
  DatagramOptions options;
  options.local_host = "127.0.0.1";
  const auto fault = faults.inject({.call = "getsockname", .error = ENOBUFS});
  const auto opening = create_datagram_endpoint(
      loop, [] { return std::make_shared<DatagramProtocol>(); }, options);
  try {
    loop.run_until_complete(opening);
    ADD_FAILURE() << "it came about";
  } catch (const IoError& error) {
    EXPECT_EQ(error.code(), std::errc::no_buffer_space);
    EXPECT_EQ(error.operation(), std::string("getsockname"));
  }
}

}  // namespace ferry::test
