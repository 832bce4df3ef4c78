#include "trial.h"

#include <algorithm>
#include <chrono>

namespace ferry::test {

using namespace std::chrono_literals;

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  testing::Seed seed(size, "pattern");
  for (char& each : text) each = static_cast<char>(seed.next());
  return text;
}

Trial::Trial(World world) : descriptors_before_(open_descriptors()) {
  auto inner = make_kernel(world);
  sim_ = dynamic_cast<testing::SimKernel*>(inner.get());
  auto kernel = std::make_unique<testing::FaultKernel>(std::move(inner));
  faults_ = kernel.get();
  loop_ = std::make_unique<EventLoop>(std::move(kernel));
  loop_->set_exception_handler([this](EventLoop&, const ExceptionContext& context) {
    report();
    if (faults_->injected().empty()) complain("without a fault: " + context.to_string());
  });
}

Trial::~Trial() = default;

void Trial::run_until(std::function<bool()> condition) {
  if (condition()) return;
  const Duration step = simulated() ? Duration(10ms) : Duration(1ms);
  const TimePoint limit = loop_->time() + (simulated() ? Duration(1h) : Duration(10s));
  Timer timer(*loop_, [&] {
    if (condition() || loop_->time() >= limit) return loop_->stop();
    timer.set(step);
  });
  timer.set(Duration::zero());
  loop_->run_forever();
  if (!condition()) complain("it came to no end");
}

std::shared_ptr<testing::RecordingProtocol> Trial::protocol() {
  protocols_.push_back(std::make_shared<testing::RecordingProtocol>());
  return protocols_.back();
}

bool Trial::all_lost() const {
  return std::all_of(protocols_.begin(), protocols_.end(),
                     [](const auto& each) { return !each->made() || each->lost(); });
}

std::vector<std::string> Trial::end() {
  if (!all_lost()) complain("a connection was not lost");
  for (const auto& each : protocols_) {
    if (each->error()) report();
    for (const std::string& violation : each->violations()) complain(violation);
  }
  loop_->close();
  const LoopStats stats = loop_->stats();
  const auto nothing = [this](std::size_t left, const char* what) {
    if (left != 0) complain(std::to_string(left) + " " + what + " left");
  };
  nothing(stats.timers, "timers");
  nothing(stats.transports, "transports");
  nothing(stats.servers, "servers");
  nothing(stats.operations, "operations");
  nothing(stats.tasks, "tasks");
  nothing(stats.jobs, "jobs");
  if (sim_) {
    const testing::SimStats sim = sim_->stats();
    nothing(sim.open_sockets, "sockets");
    nothing(sim.watches, "watches");
    nothing(sim.names, "names");
    nothing(static_cast<std::size_t>(sim.bad_descriptors), "calls with a bad descriptor");
  }
  loop_.reset();
  nothing(open_descriptors() - descriptors_before_, "descriptors");
  return std::move(complaints_);
}

}  // namespace ferry::test
