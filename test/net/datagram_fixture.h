#pragma once

#include "stream_fixture.h"

#include <ferry/datagram.h>

#include <memory>
#include <string>
#include <vector>

namespace ferry::test {

/// A DatagramProtocol that writes everything down and checks the order of its callbacks.
class RecordingDatagrams : public DatagramProtocol {
 public:
  void connection_made(std::shared_ptr<DatagramTransport> transport) override;
  void datagram_received(BytesView data, const DatagramInfo& info) override;
  void error_received(std::error_code error) override;
  void connection_lost(std::error_code error) override;
  void pause_writing() override;
  void resume_writing() override;

  /// Called after recording, if set. An exception out of one leaves the callback.
  Function<void(BytesView, const DatagramInfo&)> on_data;
  Function<void(std::error_code)> on_error;
  Function<void()> on_resume;
  /// False: datagrams are only counted.
  bool keep_data = true;

  /// "made", "data:...", "error:...", "pause", "resume", "lost:ok" or "lost:...".
  std::vector<std::string> events;
  std::vector<std::string> data;
  std::vector<DatagramInfo> infos;
  std::vector<std::error_code> errors;
  std::size_t received = 0;
  bool writing_paused = false;
  bool lost = false;
  std::error_code loss;
  std::shared_ptr<DatagramTransport> transport;

 private:
  void expect_open();
};

using Endpoint = DatagramEndpoint<RecordingDatagrams>;

/// A loop of one of the worlds on a ScriptedKernel, and datagram sockets on it.
class DatagramTest : public StreamFixture, public ::testing::WithParamInterface<World> {
 protected:
  World world() const override { return GetParam(); }
  void TearDown() override;

  /// The endpoint, or the exception of its future.
  Endpoint open(DatagramOptions options);
  /// Bound to a free port of 127.0.0.1.
  Endpoint open() { return open({.local_host = "127.0.0.1"}); }
  /// With that remote address.
  Endpoint open_to(const Address& remote);
  /// Runs until so many datagrams have come.
  void run_until_received(const Endpoint& endpoint, std::size_t count);
  /// The error code of the future that create_datagram_endpoint gives.
  std::error_code open_error(DatagramOptions options);
  /// A port of 127.0.0.1 where nobody is.
  Address nobody();
};

}  // namespace ferry::test
