#pragma once

#include "socket_pair.h"
#include "world.h"

#include <ferry/group_server.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace ferry::test {

using namespace std::chrono_literals;

/// What the protocols of a test count, on whatever thread they are.
struct GroupCounts {
  std::atomic<std::size_t> made = 0;
  std::atomic<std::size_t> lost = 0;
  std::atomic<std::size_t> on_wrong_thread = 0;
};

/// A group of loops, a home loop beside it, and echo servers.
class GroupTest : public LoopFixture {
 protected:
  World world() const override { return World::asio; }
  void SetUp() override;
  void TearDown() override;

  /// Of `loops` loops, running. The test's group from now on.
  LoopGroup& start_group(std::size_t loops = 3, LoopGroupOptions options = {});
  LoopGroup& group() { return *group_; }
  /// Stops it, waits, and destroys it.
  void end_group();
  /// Makes echo protocols, which see whether all their callbacks are on the loop they were made on.
  GroupProtocolFactory echo();
  std::shared_ptr<Server> serve(Spread spread, ListenOptions options = {});
  template <class T>
  T wait(Future<T> future) {
    run_until([&] { return future.done(); });
    return future.result();
  }

  /// Connects, and waits until the echo of a byte has come.
  RawPeer dial(const Server& server);
  std::vector<RawPeer> dial(const Server& server, std::size_t count);
  /// Begins to connect and to send; `run_until_echoed` sees it to its end.
  std::vector<RawPeer> begin_to_dial(const Server& server, std::size_t count);
  void run_until_echoed(std::vector<RawPeer>& peers);
  /// Runs until the peer sees the end of the stream, or an error.
  void run_until_ended(RawPeer& peer);
  /// Runs until so many connections are open, on all loops.
  void run_until_open(const Server& server, std::size_t count);
  std::vector<std::size_t> loads();

  GroupCounts& counts() { return *counts_; }

 private:
  std::size_t descriptors_before_ = 0;
  std::unique_ptr<LoopGroup> group_;
  std::shared_ptr<GroupCounts> counts_ = std::make_shared<GroupCounts>();
};

}  // namespace ferry::test
