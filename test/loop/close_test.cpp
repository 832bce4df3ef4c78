// Closing a loop: what lives on it hears of it, and nothing is left.

#include "loop_suite.h"
#include "socket_pair.h"

#include <signal.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace ferry::test {
namespace {

class Close : public LoopSuite {};
INSTANTIATE_TEST_SUITE_P(Worlds, Close, ::testing::ValuesIn(kWorlds), world_name);

/// Does `at_close` when the loop closes.
class Resource final : public LoopResource {
 public:
  using LoopResource::Kind;
  Resource(EventLoop& loop, Kind kind, std::function<void(Resource&)> at_close)
      : LoopResource(loop, kind), at_close_(std::move(at_close)) {}
  using LoopResource::leave_loop;

  int closed = 0;

 private:
  void on_loop_close() override {
    ++closed;
    if (at_close_) at_close_(*this);
  }
  std::function<void(Resource&)> at_close_;
};

TEST_P(Close, EachResourceHearsOfItOnce) {
  std::vector<std::unique_ptr<Resource>> resources;
  for (int i = 0; i < 10; ++i) {
    resources.push_back(std::make_unique<Resource>(loop(), Resource::Kind::operation, nullptr));
  }
  Resource gone(loop(), Resource::Kind::operation, nullptr);
  gone.leave_loop();
  loop().close();
  loop().close();
  for (const auto& resource : resources) EXPECT_EQ(resource->closed, 1);
  EXPECT_EQ(gone.closed, 0);
}

TEST_P(Close, ResourcesAreCountedByKind) {
  {
    const Resource transport(loop(), Resource::Kind::transport, nullptr);
    const Resource server(loop(), Resource::Kind::server, nullptr);
    const Resource job(loop(), Resource::Kind::job, nullptr);
    const Resource job_too(loop(), Resource::Kind::job, nullptr);
    const Resource operation(loop(), Resource::Kind::operation, nullptr);
    const LoopStats stats = loop().stats();
    EXPECT_EQ(stats.transports, 1U);
    EXPECT_EQ(stats.servers, 1U);
    EXPECT_EQ(stats.jobs, 2U);
    EXPECT_EQ(stats.operations, 1U);
  }
  const LoopStats stats = loop().stats();
  EXPECT_EQ(stats.transports + stats.servers + stats.jobs + stats.operations, 0U);
}

TEST_P(Close, AResourceMayDestroyItselfAndOthers) {
  std::vector<std::unique_ptr<Resource>> resources(10);
  int heard = 0;
  for (std::size_t i = 0; i < resources.size(); ++i) {
    resources[i] = std::make_unique<Resource>(loop(), Resource::Kind::operation, [&, i](Resource&) {
      ++heard;
      // Moved out first: the callable runs inside what it destroys.
      const auto self = std::move(resources[i]);
      resources[(i + 3) % resources.size()].reset();
      resources[(i + 7) % resources.size()].reset();
    });
  }
  loop().close();
  EXPECT_GE(heard, 4);
  for (const auto& resource : resources) EXPECT_FALSE(resource);
}

TEST_P(Close, AResourceMadeWhileTheLoopClosesHearsOfItToo) {
  std::unique_ptr<Resource> late;
  Resource first(loop(), Resource::Kind::operation, [&](Resource&) {
    late = std::make_unique<Resource>(loop(), Resource::Kind::operation, nullptr);
  });
  loop().close();
  ASSERT_TRUE(late);
  EXPECT_EQ(late->closed, 1);
}

TEST_P(Close, WhatAResourceQueuesWhileTheLoopClosesIsDropped) {
  Token token;
  bool ran = false;
  Resource resource(loop(), Resource::Kind::operation, [&](Resource&) {
    loop().call_soon([&, held = token.held()] { ran = true; });
    loop().call_soon_threadsafe([&, held = token.held()] { ran = true; });
    loop().call_later(0s, [&, held = token.held()] { ran = true; });
  });
  loop().close();
  EXPECT_FALSE(ran);
  EXPECT_FALSE(token.captured());
}

TEST_P(Close, ACloseOutOfAResourceDuringCloseDoesNothing) {
  Resource resource(loop(), Resource::Kind::operation, [&](Resource&) { loop().close(); });
  loop().close();
  EXPECT_EQ(resource.closed, 1);
  EXPECT_TRUE(loop().is_closed());
}

TEST_P(Close, DestructorsOfWhatIsDroppedMayUseTheLoop) {
  struct Busy {
    EventLoop& loop;
    TimerHandle timer;
    Handle handle;
    explicit Busy(EventLoop& l) : loop(l) {}
    ~Busy() {
      timer.cancel();
      handle.cancel();
      try {
        loop.call_soon([] { ADD_FAILURE() << "run by a loop that is closed"; });
        loop.call_later(0s, [] { ADD_FAILURE() << "run by a loop that is closed"; });
      } catch (const std::logic_error&) {
        // Refused once the loop says it is closed.
      }
      loop.remove_reader(0);
      loop.remove_signal_handler(SIGUSR1);
      loop.stop();
    }
  };
  for (int i = 0; i < 3; ++i) {
    EventLoop other(make_kernel(GetParam()));
    auto by_ready = std::make_shared<Busy>(other);
    auto by_timer = std::make_shared<Busy>(other);
    auto by_mail = std::make_shared<Busy>(other);
    by_ready->timer = by_timer->timer = other.call_later(1h, [] {});
    by_ready->handle = by_mail->handle = other.call_soon([] {});
    other.call_soon([by_ready] {});
    other.call_later(1s, [by_timer] {});
    other.call_soon_threadsafe([by_mail] {});
    by_ready.reset();
    by_timer.reset();
    by_mail.reset();
    other.close();
    EXPECT_EQ(other.stats().ready, 0U);
    EXPECT_EQ(other.stats().timers, 0U);
  }
}

TEST_P(Close, EverythingIsRefusedAfterwards) {
  loop().close();
  EXPECT_THROW(loop().call_soon([] {}), std::logic_error);
  EXPECT_THROW(loop().call_soon_threadsafe([] {}), std::logic_error);
  EXPECT_THROW(loop().call_later(1s, [] {}), std::logic_error);
  EXPECT_THROW(loop().call_at(TimePoint{}, [] {}), std::logic_error);
  EXPECT_THROW(loop().add_reader(0, [] {}), std::logic_error);
  EXPECT_THROW(loop().add_writer(0, [] {}), std::logic_error);
  EXPECT_FALSE(loop().remove_reader(0));
  EXPECT_FALSE(loop().remove_writer(0));
  EXPECT_THROW(loop().add_signal_handler(SIGUSR1, [] {}), std::logic_error);
  EXPECT_FALSE(loop().remove_signal_handler(SIGUSR1));
  EXPECT_THROW(loop().getaddrinfo({.host = "127.0.0.1"}).done(), std::logic_error);
  EXPECT_THROW(loop().run_forever(), std::logic_error);
  EXPECT_THROW(Resource(loop(), Resource::Kind::operation, nullptr), std::logic_error);
  EXPECT_NO_THROW(loop().stop());
  EXPECT_FALSE(running_loop());
}

TEST_P(Close, HandlesOfWhatWasDroppedMayStillBeCancelled) {
  Handle handle = loop().call_soon([] {});
  TimerHandle timer = loop().call_later(1s, [] {});
  loop().close();
  handle.cancel();
  timer.cancel();
}

TEST_P(Close, StatsAreZeroAfterwards) {
  auto [ours, theirs] = stream_pair(loop().kernel());
  loop().add_reader(ours.get(), [] {});
  loop().add_signal_handler(SIGUSR2, [] {});
  loop().call_soon([] {});
  loop().call_later(1s, [] {});
  Timer timer(loop(), [] {});
  timer.set(1s);
  const LoopStats before = loop().stats();
  EXPECT_EQ(before.ready, 1U);
  EXPECT_EQ(before.timers, 2U);
  EXPECT_EQ(before.watches, 1U);
  EXPECT_EQ(before.signal_handlers, 1U);
  loop().close();
  const LoopStats after = loop().stats();
  EXPECT_EQ(after.ready, 0U);
  EXPECT_EQ(after.timers, 0U);
  EXPECT_EQ(after.watches, 0U);
  EXPECT_EQ(after.signal_handlers, 0U);
}

TEST_P(Close, AThousandLoopsInTurnLeaveNoDescriptorBehind) {
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 1000; ++i) {
    EventLoop other(make_kernel(GetParam()));
    other.call_soon([&] { other.stop(); });
    other.run_forever();
  }
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
}  // namespace ferry::test
