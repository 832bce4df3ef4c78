#include "test_certificates.h"

#include <ferry/connect.h>
#include <ferry/event_loop.h>
#include <ferry/server.h>
#include <ferry/testing/recording_protocol.h>
#include <ferry/testing/sim_kernel.h>
#include <ferry/tls.h>

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace ferry::test {

namespace {

using testing::RecordingFactory;
using testing::RecordingProtocol;

const std::vector<std::string> kNone;

/// Gives its place to another protocol when it is asked for its buffer, which goes with it.
class Leaving final : public BufferedProtocol {
 public:
  Leaving(Transport& transport, std::shared_ptr<Protocol> next)
      : transport_(transport), next_(std::move(next)) {}
  MutableBytes get_buffer(std::size_t) override {
    transport_.set_protocol(std::move(next_));
    return buffer_;
  }
  void buffer_updated(std::size_t) override { ADD_FAILURE() << "it has another protocol"; }

 private:
  Transport& transport_;  // the test's
  std::shared_ptr<Protocol> next_;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(1000);
};

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

  EventLoop& loop() { return loop_; }
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

// TLS wrote into the buffer of a protocol that was gone, and told the next one of it, which may
// have none: that was a null pointer.
TEST_F(TlsCallbacks, AProtocolMayGiveItsPlaceAwayWhenItIsAskedForItsBuffer) {
  const auto next = std::make_shared<RecordingProtocol>();
  const auto last = std::make_shared<testing::RecordingBufferedProtocol>();
  next->checker().adopt();
  last->checker().adopt();
  const auto transport = server().transport();
  transport->set_protocol(std::make_shared<Leaving>(*transport, next));
  client().write("to the next");
  run();
  EXPECT_EQ(next->data(), "to the next");
  transport->set_protocol(std::make_shared<Leaving>(*transport, last));
  client().write("to the last");
  run();
  EXPECT_EQ(last->data(), "to the last");
  client().close();
  run();
  EXPECT_TRUE(last->lost());
  EXPECT_EQ(next->violations(), kNone);
  EXPECT_EQ(last->violations(), kNone);
}

// As it was paused, the connection went on as if nothing had happened.
TEST_F(TlsCallbacks, AnExceptionOutOfGetBufferEndsTheConnectionThatItPausedToo) {
  class Failing final : public BufferedProtocol {
   public:
    Failing(Transport& transport, std::error_code& error) : transport_(transport), error_(error) {}
    MutableBytes get_buffer(std::size_t) override {
      transport_.pause_reading();
      throw std::runtime_error("no room");
    }
    void buffer_updated(std::size_t) override {}
    void connection_lost(std::error_code error) override { error_ = error; }

   private:
    Transport& transport_;  // the test's, as the next
    std::error_code& error_;
  };
  std::error_code error;
  int reports = 0;
  loop().set_exception_handler([&](EventLoop&, const ExceptionContext&) { ++reports; });
  const auto transport = server().transport();
  transport->set_protocol(std::make_shared<Failing>(*transport, error));
  client().write("x");
  run();
  EXPECT_EQ(error, errc::protocol_failed);
  EXPECT_EQ(reports, 1);
}

}  // namespace ferry::test
