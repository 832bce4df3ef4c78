#pragma once

#include "scripted_kernel.h"
#include "task_fixture.h"

#include <ferry/datagram_stream.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ferry::test {

/// A loop of one of the worlds on a ScriptedKernel, and datagram streams on it.
class DatagramStreamTest : public TaskTest {
 protected:
  std::unique_ptr<Kernel> make_loop_kernel() override {
    auto kernel = std::make_unique<ScriptedKernel>(LoopFixture::make_loop_kernel());
    kernel_ = kernel.get();
    return kernel;
  }
  ScriptedKernel& kernel() { return *kernel_; }

  static DatagramOptions local(std::uint16_t port = 0) {
    DatagramOptions options;
    options.local_host = "127.0.0.1";
    options.local_port = port;
    return options;
  }
  static DatagramOptions remote(const Address& to) {
    DatagramOptions options;
    options.remote_host = to.host();
    options.remote_port = to.port();
    return options;
  }
  DatagramStream open(DatagramOptions options, ReceiveLimits limits = ReceiveLimits()) {
    return run(open_datagram_stream(std::move(options), limits));
  }
  DatagramStream open() { return open(local()); }
  /// A port of 127.0.0.1 where nobody is.
  Address nobody() {
    const DatagramStream stream = open();
    stream.close();
    run(closed(stream));
    return stream.sockname();
  }
  void run_until_queued(const DatagramStream& stream, std::size_t count) {
    run_until([&] { return stream.queued() >= count; });
  }

  // What coroutines do with a stream; a handle by value holds it.
  static Coro<std::string> recv(DatagramStream stream) { co_return co_await stream.recv(); }
  static Coro<Datagram> recvfrom(DatagramStream stream) { co_return co_await stream.recvfrom(); }
  static Coro<std::vector<std::string>> recv_each(DatagramStream stream, std::size_t count) {
    std::vector<std::string> all;
    while (all.size() < count) all.push_back(co_await stream.recv());
    co_return all;
  }
  static Coro<> drain(DatagramStream stream) { co_await stream.drain(); }
  static Coro<> closed(DatagramStream stream) { co_await stream.wait_closed(); }

  /// The code of the IoError that a task ended by.
  template <class T>
  static std::error_code error_of(const Future<T>& task) {
    const std::exception_ptr failure = task.state()->failure();
    if (!failure) return {};
    try {
      std::rethrow_exception(failure);
    } catch (const IoError& error) {
      return error.code();
    } catch (...) {
      ADD_FAILURE() << failure_text(task);
      return {};
    }
  }

 private:
  ScriptedKernel* kernel_ = nullptr;  // the loop owns it
};

}  // namespace ferry::test
