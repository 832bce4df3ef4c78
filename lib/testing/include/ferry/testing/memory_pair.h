#pragma once

#include <ferry/connect.h>
#include <ferry/event_loop.h>
#include <ferry/testing/fault_kernel.h>
#include <ferry/testing/sim_kernel.h>
#include <ferry/testing/sim_network.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ferry::testing {

struct MemoryPairOptions {
  /// Bytes that one direction holds before the writer's own buffer fills, and at last tells it to
  /// pause.
  std::size_t capacity = 64 * 1024;
  /// How bytes are cut and how long they take; absent: at once, and as they were sent.
  std::optional<SimLink> link{};
  ProtocolWrap near_wrap{};
  ProtocolWrap far_wrap{};
  /// What is drawn by lot depends on it. Of a MemoryPair, whose loop it is.
  std::uint64_t seed = 0;
};

/// Both ends of what `join_in_memory` made, as create_connection gives them.
struct MemoryEnds {
  Future<Connection<>> near;
  Future<Connection<>> far;
};

/// Joins two protocols on a loop whose kernel is a SimKernel, or one round that; throws
/// std::invalid_argument if it is not. connection_made comes from the loop.
MemoryEnds join_in_memory(EventLoop& loop, std::shared_ptr<Protocol> near,
                          std::shared_ptr<Protocol> far, MemoryPairOptions options = {});

/// Two protocols that talk to each other in memory, on a loop of their own. Both have the transport
/// that ships, over simulated sockets on a virtual clock: all it promises holds, flow control and
/// half-close included, and what the network and the kernel do to it can be said (`network`,
/// `faults`).
///
///     auto client = std::make_shared<MyClient>();
///     MemoryPair pair(client, std::make_shared<MyServer>(),
///                     {.link = SimLink{.pieces = SimLink::Pieces::single}});
///     client->ask("question");
///     EXPECT_TRUE(pair.run_until([&] { return client->answered(); }));
///
/// Time passes only where nothing else is to be done, so what takes no time is over before a timer
/// fires, and `run_for(1ms)` runs until all is quiet. Two that never stop answering each other run
/// for ever.
class MemoryPair {
 public:
  /// Runs until both connection_made have returned, and the wraps are ready (TLS: the handshake);
  /// throws what kept a connection from being made.
  MemoryPair(std::shared_ptr<Protocol> near, std::shared_ptr<Protocol> far,
             MemoryPairOptions options = {});
  MemoryPair(const MemoryPair&) = delete;
  MemoryPair& operator=(const MemoryPair&) = delete;
  /// What is still open hears connection_lost with errc::loop_closed.
  ~MemoryPair();

  /// What the protocols were given; for what a test does from outside: `pair.near().close()`.
  Transport& near() noexcept { return *near_; }
  Transport& far() noexcept { return *far_; }

  /// Until both connections are lost: true, or the limit, of virtual time, has passed.
  bool run(Duration limit = std::chrono::minutes(1));
  /// Until the condition holds, which is asked in each turn of the loop.
  bool run_until(Function<bool()> condition, Duration limit = std::chrono::minutes(1));
  void run_for(Duration time);
  /// Virtual time since it was made.
  Duration elapsed() const { return loop_->time() - start_; }

  EventLoop& loop() noexcept { return *loop_; }
  SimKernel& kernel() noexcept { return *kernel_; }
  /// What lies between the two: cut it, stall it, slow it down.
  SimNetwork& network() noexcept { return kernel_->network(); }
  /// Makes system calls fail, of both.
  FaultKernel& faults() noexcept { return *faults_; }
  /// What came out of callbacks, as sentences.
  const std::vector<std::string>& exceptions() const noexcept { return exceptions_; }

 private:
  SimKernel* kernel_;  // the loop owns both
  FaultKernel* faults_;
  std::vector<std::string> exceptions_;
  std::unique_ptr<EventLoop> loop_;
  TimePoint start_;
  std::shared_ptr<Transport> near_;
  std::shared_ptr<Transport> far_;
};

}  // namespace ferry::testing
