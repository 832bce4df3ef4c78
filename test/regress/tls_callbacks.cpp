#include "test_certificates.h"

#include <ferry/connect.h>
#include <ferry/event_loop.h>
#include <ferry/server.h>
#include <ferry/testing/recording_protocol.h>
#include <ferry/testing/sim_kernel.h>
#include <ferry/tls.h>

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ferry::test {

namespace {

using testing::RecordingFactory;
using testing::RecordingProtocol;

const std::vector<std::string> kNone;

/// Two ends of a TLS connection that may be half-closed. Little fits into the pipe between them.
class TlsCallbacks : public ::testing::Test {
 protected:
  TlsCallbacks() {
    TlsOptions options;
    options.half_close = true;
    ListenOptions listen;
    listen.hosts = {"127.0.0.1"};
    listen.wrap = tls_server(server_context(), options);
    server_ = loop_.run_until_complete(create_server(loop_, servers_.factory(), listen));
    options.server_hostname = "localhost";
    ConnectOptions connect;
    connect.host = "127.0.0.1";
    connect.port = server_->port();
    connect.wrap = tls_client(client_context(), options);
    loop_.run_until_complete(create_connection(loop_, clients_.factory(), connect));
    run();
  }
  ~TlsCallbacks() override { server_->close(); }

  RecordingProtocol& client() { return clients_.at(0); }
  RecordingProtocol& server() { return servers_.at(0); }
  void run() {
    loop_.call_later(std::chrono::seconds(1), [this] { loop_.stop(); });
    loop_.run_forever();
  }
  /// The client is paused, with less in its buffer than the new limits would mind.
  void pause_client() {
    server().pause_reading();
    client().transport()->set_write_buffer_limits(1000);
    client().write(std::string(20'000, 'x'));
    ASSERT_TRUE(client().writing_paused());
    client().transport()->set_write_buffer_limits(1'000'000, 500'000);
  }

 private:
  EventLoop loop_{testing::make_sim_kernel({.pipe_capacity = 4096})};
  RecordingFactory<> servers_;
  RecordingFactory<> clients_;
  std::shared_ptr<Server> server_;
};

}  // namespace

// resume_writing came from inside the program's own close.
TEST_F(TlsCallbacks, CloseCallsNobodyBackFromInside) {
  pause_client();
  client().close();
  EXPECT_EQ(client().violations(), kNone);
  server().resume_reading();
  run();
  EXPECT_TRUE(client().lost());
  EXPECT_EQ(server().data().size(), 20'000u);
  EXPECT_EQ(client().violations(), kNone);
}

TEST_F(TlsCallbacks, WriteEofDoesNotResumeWritingFromInside) {
  pause_client();
  client().write_eof();
  EXPECT_EQ(client().violations(), kNone);
  server().resume_reading();
  run();
  EXPECT_FALSE(client().writing_paused());
  EXPECT_EQ(server().data().size(), 20'000u);
  EXPECT_TRUE(server().eof());
}

}  // namespace ferry::test
