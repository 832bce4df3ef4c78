#include <ferry/testing/recording_protocol.h>

#include <ferry/testing/sim_kernel.h>

#include <gtest/gtest.h>

#include <stdexcept>

namespace ferry::testing {
namespace {

using Events = std::vector<std::string>;

/// A transport that does nothing but call back from inside its calls, which none may.
class RudeTransport final : public Transport {
 public:
  explicit RudeTransport(EventLoop& loop) : loop_(&loop) {}

  EventLoop& loop() const noexcept override { return *loop_; }
  void write(BytesView) override { protocol->pause_writing(); }
  void writelines(std::span<const BytesView>) override { protocol->data_received("w"); }
  void write_eof() override { protocol->resume_writing(); }
  bool can_write_eof() const noexcept override { return true; }
  void close() override { protocol->connection_lost({}); }
  void abort() override {}
  bool is_closing() const noexcept override { return false; }
  void pause_reading() override { protocol->data_received("p"); }
  void resume_reading() override { protocol->data_received("r"); }
  bool is_reading() const noexcept override { return true; }
  void set_write_buffer_limits(std::optional<std::size_t>, std::optional<std::size_t>) override {}
  WriteLimits get_write_buffer_limits() const noexcept override { return {}; }
  std::size_t get_write_buffer_size() const noexcept override { return buffered; }
  void set_write_hard_limit(std::size_t) override {}
  void set_protocol(std::shared_ptr<Protocol> next) override { protocol = std::move(next); }
  std::shared_ptr<Protocol> get_protocol() const override { return protocol; }
  const Address& sockname() const noexcept override { return address_; }
  const Address& peername() const noexcept override { return address_; }
  int native_handle() const noexcept override { return -1; }
  const Error& error() const noexcept override { return failed; }

  std::shared_ptr<Protocol> protocol;
  std::size_t buffered = 0;
  Error failed;

 private:
  EventLoop* loop_;
  Address address_;
};

class Recording : public ::testing::Test {
 protected:
  template <class P>
  std::shared_ptr<P> connect(std::shared_ptr<P> protocol) {
    transport_->protocol = protocol;
    protocol->connection_made(transport_);
    return protocol;
  }
  void TearDown() override { transport_->protocol.reset(); }

  EventLoop loop_{make_sim_kernel()};
  std::shared_ptr<RudeTransport> transport_ = std::make_shared<RudeTransport>(loop_);
};

TEST_F(Recording, EverythingIsWrittenDown) {
  const auto p = connect(std::make_shared<RecordingProtocol>());
  EXPECT_EQ(p->transport(), transport_);
  p->data_received("abc");
  p->data_received("de");
  transport_->buffered = 64 * 1024 + 1;
  p->pause_writing();
  EXPECT_TRUE(p->writing_paused());
  transport_->buffered = 16 * 1024;
  p->resume_writing();
  p->data_received("f");
  EXPECT_FALSE(p->eof_received());
  p->connection_lost(std::make_error_code(std::errc::connection_reset));
  EXPECT_EQ(p->events(),
            (Events{"made", "data:3", "data:2", "pause", "resume", "data:1", "eof",
                    "lost:" + std::make_error_code(std::errc::connection_reset).message()}));
  EXPECT_EQ(p->summary().substr(0, 38), "made data:5 pause resume data:1 eof lo");
  EXPECT_EQ(p->data(), "abcdef");
  EXPECT_EQ(p->bytes(), 6u);
  EXPECT_EQ(p->error(), std::errc::connection_reset);
  EXPECT_EQ(p->violations(), Events{});
}

TEST_F(Recording, FlagsSayWhatToAnswerAndToKeep) {
  const auto p = connect(std::make_shared<RecordingProtocol>());
  p->keep_open_on_eof = true;
  p->keep_data = false;
  p->data_received("abc");
  EXPECT_TRUE(p->eof_received());
  EXPECT_EQ(p->data(), "");
  EXPECT_EQ(p->bytes(), 3u);
}

TEST_F(Recording, HooksComeAfterRecording) {
  const auto p = std::make_shared<RecordingProtocol>();
  std::string seen;
  const auto hook = [&, record = p.get()] { seen += record->events().back() + ' '; };
  p->on_made = hook;
  p->on_data = [hook](BytesView) mutable { hook(); };
  p->on_eof = hook;
  p->on_pause = hook;
  p->on_resume = hook;
  p->on_lost = [hook](std::error_code) mutable { hook(); };
  connect(p);
  p->data_received("x");
  p->pause_writing();
  p->resume_writing();
  p->eof_received();
  p->connection_lost({});
  EXPECT_EQ(seen, "made data:1 pause resume eof lost:ok ");
}

TEST_F(Recording, ExceptionOutOfAHookLeavesTheCallbackInOrder) {
  const auto p = connect(std::make_shared<RecordingProtocol>());
  p->on_data = [](BytesView) { throw std::runtime_error("no"); };
  EXPECT_THROW(p->data_received("x"), std::runtime_error);
  p->connection_lost({});
  EXPECT_EQ(p->summary(), "made data:1 lost:ok");
  EXPECT_EQ(p->violations(), Events{});
}

TEST_F(Recording, CallsThroughTheRecordAreGuarded) {
  const auto p = connect(std::make_shared<RecordingProtocol>());
  transport_->buffered = 100'000;
  p->write("x");
  transport_->buffered = 0;
  EXPECT_EQ(p->violations(), Events{});
  p->write_eof();
  p->pause_reading();
  p->resume_reading();
  p->close();
  EXPECT_EQ(p->violations(), (Events{"resume_writing was called inside write_eof",
                                     "data_received was called while reading is paused",
                                     "data_received was called inside pause_reading",
                                     "data_received was called inside resume_reading",
                                     "connection_lost was called inside close"}));
}

TEST_F(Recording, FlowControlComesAtTheMarks) {
  const auto p = connect(std::make_shared<RecordingProtocol>());
  transport_->buffered = 64 * 1024 - 1;
  p->pause_writing();
  transport_->buffered = 16 * 1024 + 1;
  p->resume_writing();
  EXPECT_EQ(p->violations(), (Events{"pause_writing was called below the high-water mark",
                                     "resume_writing was called above the low-water mark"}));
}

TEST_F(Recording, AnErrorAfterAbortIsOneOnlyIfItCameBefore) {
  const std::error_code reset = std::make_error_code(std::errc::connection_reset);
  const auto well = connect(std::make_shared<RecordingProtocol>());
  well->abort();
  well->connection_lost(reset);
  EXPECT_EQ(well->violations(),
            (Events{"connection_lost was given '" + reset.message() + "' after abort"}));
  const auto failed = connect(std::make_shared<RecordingProtocol>());
  transport_->failed.code = reset;
  failed->abort();
  failed->connection_lost(reset);
  EXPECT_EQ(failed->violations(), Events{});
}

TEST_F(Recording, BeforeConnectionMadeThereIsNothingToCall) {
  RecordingProtocol p;
  const BytesView pieces[] = {"a", "b"};
  EXPECT_THROW(p.write("a"), std::logic_error);
  EXPECT_THROW(p.writelines(pieces), std::logic_error);
  EXPECT_THROW(p.write_eof(), std::logic_error);
  EXPECT_THROW(p.resume_reading(), std::logic_error);
  EXPECT_THROW(p.pause_reading(), std::logic_error);
  EXPECT_THROW(p.close(), std::logic_error);
  EXPECT_THROW(p.abort(), std::logic_error);
  // They were not made, so nothing follows from them.
  EXPECT_FALSE(p.checker().reading_paused());
  p.connection_made(transport_);
  p.data_received("a");
  EXPECT_EQ(p.violations(), Events());
}

TEST_F(Recording, BufferedProtocolLendsItsBuffer) {
  const auto p = connect(std::make_shared<RecordingBufferedProtocol>(8));
  EXPECT_EQ(p->as_buffered(), p.get());
  const MutableBytes lent = p->get_buffer(100);
  ASSERT_EQ(lent.size(), 8u);
  std::memcpy(lent.data(), "buffered", 8);
  p->buffer_updated(6);
  p->data_received("-copied too");  // through the buffer, in two pieces
  EXPECT_EQ(p->data(), "buffer-copied too");
  EXPECT_EQ(p->hints().front(), 100u);
  EXPECT_EQ(p->violations(), Events{});
}

TEST_F(Recording, BufferedProtocolSeesMoreThanItLent) {
  const auto p = connect(std::make_shared<RecordingBufferedProtocol>(8));
  p->get_buffer(0);
  p->buffer_updated(9);
  EXPECT_EQ(p->violations(), Events{"buffer_updated was called with more bytes than were lent"});
}

TEST_F(Recording, BufferedProtocolMayLendSomethingElse) {
  const auto p = connect(std::make_shared<RecordingBufferedProtocol>());
  std::byte mine[2] = {std::byte('o'), std::byte('k')};
  p->on_get_buffer = [&](std::size_t) { return MutableBytes(mine); };
  EXPECT_EQ(p->get_buffer(0).data(), mine);
  p->buffer_updated(2);
  EXPECT_EQ(p->data(), "ok");
}

TEST_F(Recording, FactoryKeepsWhatItMakes) {
  RecordingFactory<> made;
  made.prepare = [](RecordingProtocol& p) { p.keep_open_on_eof = true; };
  ProtocolFactory factory = made.factory();
  const auto first = factory();
  factory();
  EXPECT_EQ(made.size(), 2u);
  EXPECT_EQ(&made.at(0), first.get());
  EXPECT_TRUE(made.at(1).keep_open_on_eof);
  made.at(1).data_received("early");
  EXPECT_EQ(made.violations(), Events{"data_received was called before connection_made"});
}

}  // namespace
}  // namespace ferry::testing
