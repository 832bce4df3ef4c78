#include "group_fixture.h"

#include <algorithm>

namespace ferry::test {

namespace {

class Echo final : public Protocol {
 public:
  Echo(EventLoop& loop, std::shared_ptr<GroupCounts> counts)
      : loop_(loop), counts_(std::move(counts)) {
    check_thread();
  }
  ~Echo() override { check_thread(); }

  void connection_made(std::shared_ptr<Transport> transport) override {
    check_thread();
    ++counts_->made;
    transport_ = std::move(transport);
  }
  void data_received(BytesView data) override {
    check_thread();
    transport_->write(data);
  }
  void connection_lost(std::error_code) override {
    check_thread();
    ++counts_->lost;
  }

 private:
  void check_thread() {
    // A closing loop does not run any more, but is on its thread.
    const EventLoop* running = running_loop();
    if (running && running != &loop_) ++counts_->on_wrong_thread;
  }

  EventLoop& loop_;
  std::shared_ptr<GroupCounts> counts_;
  std::shared_ptr<Transport> transport_;
};

}  // namespace

void GroupTest::SetUp() {
  descriptors_before_ = open_descriptors();
  LoopFixture::SetUp();
}

void GroupTest::TearDown() {
  end_group();
  LoopFixture::TearDown();
  EXPECT_EQ(counts().on_wrong_thread, 0u);
  EXPECT_EQ(counts().made, counts().lost);
  EXPECT_EQ(open_descriptors(), descriptors_before_);
}

LoopGroup& GroupTest::start_group(std::size_t loops, LoopGroupOptions options) {
  options.loops = loops;
  group_ = std::make_unique<LoopGroup>(std::move(options));
  group_->start();
  return *group_;
}

void GroupTest::end_group() {
  group_.reset();
}

GroupProtocolFactory GroupTest::echo() {
  return [counts = counts_](EventLoop& on) { return std::make_shared<Echo>(on, counts); };
}

std::shared_ptr<Server> GroupTest::serve(Spread spread, ListenOptions options) {
  if (options.sockets.empty()) options.hosts = {"127.0.0.1"};
  return wait(create_server(loop(), group(), echo(), std::move(options), spread));
}

std::vector<RawPeer> GroupTest::begin_to_dial(const Server& server, std::size_t count) {
  std::vector<RawPeer> peers;
  for (std::size_t i = 0; i < count; ++i) {
    peers.push_back(RawPeer::connect(loop().kernel(), server.sockets().front()));
    peers.back().send_later("x");
  }
  return peers;
}

void GroupTest::run_until_echoed(std::vector<RawPeer>& peers) {
  run_until([&] {
    return std::all_of(peers.begin(), peers.end(), [](RawPeer& peer) {
      if (peer.connected()) peer.pump();
      return peer.received() == "x" || peer.error();
    });
  });
  for (const RawPeer& peer : peers) EXPECT_FALSE(peer.error()) << peer.error().message();
}

RawPeer GroupTest::dial(const Server& server) {
  return std::move(dial(server, 1).front());
}

std::vector<RawPeer> GroupTest::dial(const Server& server, std::size_t count) {
  std::vector<RawPeer> peers = begin_to_dial(server, count);
  run_until_echoed(peers);
  return peers;
}

void GroupTest::run_until_ended(RawPeer& peer) {
  run_until([&] {
    peer.read();
    return peer.eof() || peer.error();
  });
}

void GroupTest::run_until_open(const Server& server, std::size_t count) {
  run_until([&] { return server.connections() == count; });
}

std::vector<std::size_t> GroupTest::loads() {
  std::vector<std::size_t> loads;
  for (std::size_t i = 0; i < group().size(); ++i) loads.push_back(group().crew()->load(i));
  return loads;
}

}  // namespace ferry::test
