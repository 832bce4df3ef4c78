#pragma once

#include "blocking_client.h"
#include "stream_fixture.h"

#include <ferry/server.h>

#include <memory>

namespace ferry::test {

/// Real sockets of the real kernel only.
class FaultTest : public StreamFixture {
 protected:
  World world() const override { return World::asio; }

  /// A server on 127.0.0.1, listening.
  std::shared_ptr<Server> serve(ProtocolFactory factory, ListenOptions options = {});
  /// Processor time this thread has used, user and system.
  static Duration cpu_time();
};

/// Sends back what it gets.
class Echo final : public Protocol {
 public:
  void connection_made(std::shared_ptr<Transport> transport) override;
  void data_received(BytesView data) override { transport_->write(data); }
  void pause_writing() override { transport_->pause_reading(); }
  void resume_writing() override { transport_->resume_reading(); }

 private:
  std::shared_ptr<Transport> transport_;
};

}  // namespace ferry::test
