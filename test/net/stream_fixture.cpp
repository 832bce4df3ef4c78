#include "stream_fixture.h"

#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

namespace ferry::test {

using namespace std::chrono_literals;

std::string stream_world_name(const ::testing::TestParamInfo<StreamWorld>& info) {
  return std::string(info.param.world == World::asio ? "Asio" : "Sim") +
         (info.param.wire == Wire::tcp ? "Tcp" : "Unix");
}

std::size_t times(const ConnectionRecord& record, std::string_view event) {
  return static_cast<std::size_t>(
      std::count(record.events().begin(), record.events().end(), event));
}

std::string what(const std::exception_ptr& exception) {
  if (!exception) return "";
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "not a std::exception";
  }
}

std::unique_ptr<Kernel> StreamFixture::make_loop_kernel() {
  auto kernel = std::make_unique<ScriptedKernel>(LoopFixture::make_loop_kernel());
  kernel_ = kernel.get();
  return kernel;
}

void StreamFixture::TearDown() {
  LoopFixture::TearDown();
  for (const auto& record : std::exchange(records_, {})) {
    EXPECT_EQ(record->checker().final_violations(), std::vector<std::string>())
        << record->summary();
  }
}

std::shared_ptr<RecordingProtocol> StreamFixture::recording() {
  auto made = std::make_shared<RecordingProtocol>();
  records_.push_back(made);
  return made;
}

std::shared_ptr<RecordingBufferedProtocol> StreamFixture::recording_buffered(
    std::size_t buffer_size) {
  auto made = std::make_shared<RecordingBufferedProtocol>(buffer_size);
  records_.push_back(made);
  return made;
}

void StreamFixture::expect_replaced(const ConnectionRecord& record) {
  EXPECT_FALSE(record.lost());
  EXPECT_EQ(record.violations(), std::vector<std::string>()) << record.summary();
  std::erase_if(records_, [&](const auto& kept) { return kept.get() == &record; });
}

ConnectedSockets StreamFixture::connect_sockets(int buffer) {
  Kernel& inner = kernel_->inner();
  auto [near, far] = stream_pair(inner, wire() == Wire::tcp ? AF_INET : AF_UNIX);
  if (buffer > 0) {
    for (const int fd : {near.get(), far.get()}) {
      inner.set_option(fd, SOL_SOCKET, SO_SNDBUF, buffer);
      inner.set_option(fd, SOL_SOCKET, SO_RCVBUF, buffer);
    }
  }
  return {near.release(), std::make_shared<FarEnd>(inner, std::move(far))};
}

std::shared_ptr<Transport> StreamFixture::adopt(int fd, std::shared_ptr<Protocol> protocol) {
  auto connected = connect_accepted_socket(
      loop(), [protocol] { return protocol; }, fd);
  run_until([&] { return connected.done(); });
  return connected.result().transport;
}

Link StreamFixture::open(std::shared_ptr<Protocol> protocol, int buffer) {
  ConnectedSockets sockets = connect_sockets(buffer);
  return {adopt(sockets.near, std::move(protocol)), std::move(sockets.far)};
}

TransportPair StreamFixture::open_pair(std::shared_ptr<Protocol> near,
                                       std::shared_ptr<Protocol> far, int buffer) {
  ConnectedSockets sockets = connect_sockets(buffer);
  const int far_fd = sockets.far->take().release();
  auto first = adopt(sockets.near, std::move(near));
  return {std::move(first), adopt(far_fd, std::move(far))};
}

void StreamFixture::run_until_lost(const ConnectionRecord& probe, Duration limit) {
  run_until([&] { return probe.lost(); }, limit);
}

void StreamFixture::run_until_received(FarEnd& peer, std::size_t size, Duration limit) {
  run_until([&] { return peer.read().size() >= size || peer.ended(); }, limit);
}

void StreamFixture::run_until_ended(FarEnd& peer, Duration limit) {
  run_until(
      [&] {
        peer.pump();
        return peer.ended();
      },
      limit);
}

void StreamFixture::settle() {
  run_for(20ms);
  tick(8);
}

}  // namespace ferry::test
