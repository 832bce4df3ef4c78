#include "world.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

namespace ferry::test {

using namespace std::chrono_literals;

std::string world_name(const ::testing::TestParamInfo<World>& info) {
  return info.param == World::asio ? "Asio" : "Sim";
}

std::unique_ptr<Kernel> make_kernel(World world) {
  // With real threads in both: what these suites test is how a loop gets on with them.
  return world == World::asio ? make_asio_kernel()
                              : testing::make_sim_kernel({.simulate_threads = false});
}

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator entries("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

namespace {

/// A thread of the system's resolver is there. One that has no name yet when its pool is gone never
/// begins to look up.
bool looking_up() {
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(thread.path() / "comm"), name);
    if (name.starts_with("ferry-dns")) return true;
  }
  return false;
}

}  // namespace

std::unique_ptr<Kernel> LoopFixture::make_loop_kernel() {
  auto kernel = make_kernel(world());
  sim_ = dynamic_cast<testing::SimKernel*>(kernel.get());
  return kernel;
}

void LoopFixture::SetUp() {
  descriptors_before_ = open_descriptors();
  loop_ = std::make_unique<EventLoop>(make_loop_kernel());
  loop_->set_exception_handler(
      [this](EventLoop&, const ExceptionContext& context) { exceptions_.push_back(context); });
  loop_->set_log_sink([this](LogLevel level, std::string_view line) {
    log_.push_back(std::string(to_string(level)) + ": " + std::string(line));
  });
  if (!sim_) return;
  // Other threads are as slow as they are: the clock must not jump past what they are about to do.
  sim_->set_patience([this]() -> Duration {
    const LoopStats stats = loop_->stats();
    if (waiting_ && stats.timers <= 1) return 10s;  // nothing but the limit of run_until is left
    return stats.jobs > 0 ? 500ms : 0ms;
  });
}

void LoopFixture::TearDown() {
  close_loop();
  for (const ExceptionContext& context : exceptions_) {
    ADD_FAILURE() << "not taken out of the exception handler: " << context.to_string();
  }
}

void LoopFixture::close_loop() {
  if (!loop_) return;
  loop_->close();
  check_nothing_left();
  sim_ = nullptr;
  loop_.reset();
  // ThreadSanitizer keeps pipes to the program that knows names, once it has needed one.
  if (kThreadSanitized) return;
  // A look-up on a detached thread opens and closes descriptors as long as it lasts, in the next
  // test's time too.
  const auto patience = std::chrono::steady_clock::now() + 5s;
  std::size_t descriptors = 0;
  do {
    const bool looking = looking_up();
    descriptors = open_descriptors();
    if (!looking && descriptors <= descriptors_before_) break;
    std::this_thread::sleep_for(1ms);
  } while (std::chrono::steady_clock::now() < patience);
  EXPECT_EQ(descriptors, descriptors_before_) << "descriptors leaked";
}

void LoopFixture::check_nothing_left() {
  const LoopStats stats = loop_->stats();
  EXPECT_EQ(stats.ready, 0u) << "callbacks left after close";
  EXPECT_EQ(stats.timers, 0u) << "timers left after close";
  EXPECT_EQ(stats.watches, 0u) << "descriptor callbacks left after close";
  EXPECT_EQ(stats.transports, 0u) << "transports left after close";
  EXPECT_EQ(stats.servers, 0u) << "servers left after close";
  EXPECT_EQ(stats.futures, 0u) << "futures left after close";
  EXPECT_EQ(stats.jobs, 0u) << "jobs left after close";
  EXPECT_EQ(stats.operations, 0u) << "operations left after close";
  EXPECT_EQ(stats.signal_handlers, 0u) << "signal handlers left after close";
  EXPECT_EQ(stats.tasks, 0u) << "tasks left after close";
  if (!sim_) return;
  const testing::SimStats sim = sim_->stats();
  EXPECT_EQ(sim.open_sockets, 0u) << "simulated sockets leaked";
  EXPECT_EQ(sim.watches, 0u) << "watches of simulated sockets leaked";
  if (!bad_descriptors_allowed_) {
    EXPECT_EQ(sim.bad_descriptors, 0u) << "socket calls with a descriptor that was not open";
  }
}

/// Asks the condition of run_until again and again, and stops the loop when it holds.
class LoopFixture::Looking {
 public:
  Looking(LoopFixture& fixture, Function<bool()> condition)
      : fixture_(fixture), condition_(std::move(condition)) {
    if (fixture_.sim_) {
      fixture_.sim_->set_turn_hook([this] { look(); });
    } else {
      look_later();
    }
    fixture_.waiting_ = true;
  }
  Looking(const Looking&) = delete;
  Looking& operator=(const Looking&) = delete;
  ~Looking() {
    fixture_.waiting_ = false;
    next_.cancel();
    if (fixture_.sim_) fixture_.sim_->set_turn_hook(nullptr);
  }

  bool met() const noexcept { return met_; }

 private:
  void look() {
    if (met_ || !condition_()) return;
    met_ = true;
    fixture_.loop().stop();
  }
  void look_later() {
    next_ = fixture_.loop().call_later(1ms, [this] {
      look();
      if (!met_) look_later();
    });
  }

  LoopFixture& fixture_;
  Function<bool()> condition_;
  TimerHandle next_;
  bool met_ = false;
};

void LoopFixture::run_until(Function<bool()> condition, Duration limit) {
  if (condition()) return;
  bool late = false;
  TimerHandle deadline = loop().call_later(limit, [this, &late] {
    late = true;
    loop().stop();
  });
  {
    Looking looking(*this, std::move(condition));
    while (!looking.met() && !late) loop().run_forever();  // the test may have stopped it itself
    if (!looking.met()) {
      ADD_FAILURE() << "the condition did not come true within "
                    << std::chrono::duration_cast<std::chrono::milliseconds>(limit).count()
                    << " ms";
    }
  }
  deadline.cancel();
}

std::vector<std::string> LoopFixture::take_log_about(const std::vector<std::string>& parts) {
  std::vector<std::string> log = take_log();
  std::erase_if(log, [&](const std::string& line) {
    for (const std::string& part : parts) {
      if (line.find(part) != std::string::npos) return false;
    }
    EXPECT_FALSE(simulated()) << "logged as well: " << line;
    return true;
  });
  return log;
}

void LoopFixture::tick(int turns) {
  for (int turn = 0; turn < turns; ++turn) {
    loop().stop();
    loop().run_forever();
  }
}

void LoopFixture::run_for(Duration time) {
  bool over = false;
  loop().call_later(time, [this, &over] {
    over = true;
    loop().stop();
  });
  while (!over) loop().run_forever();
}

}  // namespace ferry::test
