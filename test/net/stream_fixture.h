#pragma once

#include "far_end.h"
#include "scripted_kernel.h"
#include "world.h"

#include <ferry/connect.h>
#include <ferry/testing/recording_protocol.h>
#include <ferry/transport.h>

#include <memory>
#include <string>
#include <vector>

namespace ferry::test {

using ferry::testing::ConnectionRecord;
using ferry::testing::RecordingBufferedProtocol;
using ferry::testing::RecordingProtocol;

/// The kinds of stream socket one StreamTransport serves.
enum class Wire { tcp, unix_socket };

/// What the stream suites are run with: ::testing::ValuesIn(kStreamWorlds), stream_world_name.
struct StreamWorld {
  World world;
  Wire wire;
};
inline constexpr StreamWorld kStreamWorlds[] = {{World::asio, Wire::tcp},
                                                {World::asio, Wire::unix_socket},
                                                {World::sim, Wire::tcp},
                                                {World::sim, Wire::unix_socket}};
std::string stream_world_name(const ::testing::TestParamInfo<StreamWorld>& info);

/// Two connected, non-blocking sockets of the kernel below the script: `near` is meant for a
/// transport (not owned here), `far` for the test.
struct ConnectedSockets {
  int near = -1;
  std::shared_ptr<FarEnd> far;
};

/// A transport and the other end of its wire.
struct Link {
  std::shared_ptr<Transport> transport;
  std::shared_ptr<FarEnd> peer;
};

/// Two transports that talk to each other.
struct TransportPair {
  std::shared_ptr<Transport> near;
  std::shared_ptr<Transport> far;
};

/// A loop on a ScriptedKernel, and transports on it. At the end every protocol it made must have
/// kept the contract.
class StreamFixture : public LoopFixture {
 protected:
  void TearDown() override;
  std::unique_ptr<Kernel> make_loop_kernel() override;
  virtual Wire wire() const { return Wire::tcp; }
  ScriptedKernel& kernel() { return *kernel_; }

  /// New protocols, checked and let go of by TearDown.
  std::shared_ptr<RecordingProtocol> recording();
  std::shared_ptr<RecordingBufferedProtocol> recording_buffered(std::size_t buffer_size);
  /// The transport has another protocol now: `record` has kept the contract up to here, and never
  /// hears of the end.
  void expect_replaced(const ConnectionRecord& record);

  /// `buffer` is asked for as SO_SNDBUF and SO_RCVBUF of both ends; 0: the system's default.
  ConnectedSockets connect_sockets(int buffer = 0);
  /// A transport over `fd`, connection_made having returned.
  std::shared_ptr<Transport> adopt(int fd, std::shared_ptr<Protocol> protocol);
  Link open(std::shared_ptr<Protocol> protocol, int buffer = 0);
  TransportPair open_pair(std::shared_ptr<Protocol> near, std::shared_ptr<Protocol> far,
                          int buffer = 0);
  /// Runs until the connection of `probe` is lost.
  void run_until_lost(const ConnectionRecord& probe, Duration limit = std::chrono::seconds(10));
  /// Runs until `peer` has read `size` bytes in all, or has seen the end.
  void run_until_received(FarEnd& peer, std::size_t size,
                          Duration limit = std::chrono::seconds(10));
  /// Runs until `peer` has seen EOF or an error.
  void run_until_ended(FarEnd& peer, Duration limit = std::chrono::seconds(10));
  /// Lets in all that is under way: several turns, and in real time a little of that.
  void settle();

 private:
  ScriptedKernel* kernel_ = nullptr;  // the loop owns it
  std::vector<std::shared_ptr<ConnectionRecord>> records_;
};

/// StreamFixture for suites whose parameter is a StreamWorld.
class StreamTest : public StreamFixture, public ::testing::WithParamInterface<StreamWorld> {
 protected:
  World world() const override { return GetParam().world; }
  Wire wire() const override { return GetParam().wire; }
};

/// How often `event` (one of ConnectionRecord::events) happened.
std::size_t times(const ConnectionRecord& record, std::string_view event);
/// What `exception` says; "" for null.
std::string what(const std::exception_ptr& exception);

}  // namespace ferry::test
