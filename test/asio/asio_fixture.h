#pragma once

#include "world.h"

#include <ferry/asio.h>
#include <ferry/async.h>

#include <asio/ip/tcp.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace ferry::test {

using namespace std::chrono_literals;
using asio::ip::tcp;

using Log = std::vector<std::string>;

/// Whose io_context it is, and who runs it.
enum class Drive {
  own,    ///< The loop's, run by it.
  loop,   ///< The application's, run by the loop.
  guest,  ///< The application's, run by it.
};
inline constexpr Drive kDrives[] = {Drive::own, Drive::loop, Drive::guest};
inline constexpr Drive kShared[] = {Drive::loop, Drive::guest};
inline std::string drive_name(const ::testing::TestParamInfo<Drive>& info) {
  return info.param == Drive::own ? "Own" : info.param == Drive::loop ? "ByLoop" : "ByContext";
}

/// A loop on Asio, with what LoopFixture checks at its end.
class AsioFixture : public LoopFixture {
 protected:
  AsioFixture() {
    // What opens descriptors that the io_context keeps.
    const asio::steady_timer reactor(context_);
    const asio::signal_set signals(context_);
  }

  World world() const override { return World::asio; }
  virtual Drive drive() const = 0;
  std::unique_ptr<Kernel> make_loop_kernel() override {
    return drive() == Drive::own ? make_asio_kernel() : make_asio_kernel(context_);
  }
  asio::io_context& io() { return io_context(loop()); }
  /// The application's, also when the loop is gone. Unused with Drive::own.
  asio::io_context& application() { return context_; }

  /// Runs whatever runs until the condition holds.
  void until(Function<bool()> condition) {
    if (drive() != Drive::guest) return run_until(std::move(condition));
    const auto limit = std::chrono::steady_clock::now() + 10s;
    while (!condition()) {
      if (context_.stopped()) context_.restart();
      context_.run_one_for(10ms);
      if (std::chrono::steady_clock::now() > limit) {
        ADD_FAILURE() << "the condition did not come true within 10 s";
        return;
      }
    }
  }
  template <class T>
  void finish(const Future<T>& future) {
    until([&future] { return future.done(); });
  }
  template <class T>
  T run(Coro<T> coro) {
    const Task<T> task = start(std::move(coro));
    finish(task);
    if constexpr (std::is_void_v<T>) {
      task.result();
    } else {
      return std::move(task.result());
    }
  }
  template <class T>
  Task<T> start(Coro<T> coro) {
    return create_task(loop(), std::move(coro));
  }
  /// What is ready has its turn, and nobody waits.
  void turns(int count = 3) {
    if (drive() != Drive::guest) return tick(count);
    if (context_.stopped()) context_.restart();
    for (int turn = 0; turn < count; ++turn) context_.poll_one();
  }

  /// Two ends of a connection.
  struct Pair {
    tcp::socket near;
    tcp::socket far;
  };
  Pair connected_pair() {
    tcp::acceptor acceptor(io(), {asio::ip::address_v4::loopback(), 0});
    Pair pair{tcp::socket(io()), tcp::socket(io())};
    pair.near.connect(acceptor.local_endpoint());
    acceptor.accept(pair.far);
    return pair;
  }

 private:
  asio::io_context context_;  // outlives the loop, which TearDown destroys
};

/// In all three ways.
class AsioTest : public AsioFixture, public ::testing::WithParamInterface<Drive> {
 protected:
  Drive drive() const override { return GetParam(); }
};

}  // namespace ferry::test
