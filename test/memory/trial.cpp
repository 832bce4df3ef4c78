#include "trial.h"

#include "counted_kernel.h"
#include "counted_transport.h"
#include "exempt_protocol.h"

#include <ferry/testing/seed.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <new>

namespace ferry::test {

using namespace std::chrono_literals;

namespace {

/// What its hooks ask of the transport is not the test's own.
class TrialProtocol final : public ExemptProtocol {
 public:
  void connection_made(std::shared_ptr<Transport> transport) override {
    exempt([&] {
      ExemptProtocol::connection_made(std::make_shared<CountedTransport>(std::move(transport)));
    });
  }
};

}  // namespace

std::string pattern(std::size_t size) {
  const AllocationsExempt guard;
  std::string text(size, '\0');
  testing::Seed seed(size, "pattern");
  for (char& each : text) each = static_cast<char>(seed.next());
  return text;
}

const std::string& question(std::size_t size) {
  const AllocationsExempt guard;
  static std::map<std::size_t, std::string> all;
  const auto found = all.find(size);
  return found != all.end() ? found->second : all.emplace(size, pattern(size)).first->second;
}

Trial::Trial(World world) : descriptors_before_(exempt([] { return open_descriptors(); })) {
  const AllocationsExempt guard;
  std::unique_ptr<Kernel> kernel =
      world == World::sim ? make_kernel(world) : counted([&] { return make_kernel(world); });
  sim_ = dynamic_cast<testing::SimKernel*>(kernel.get());
  if (sim_) kernel = make_counted_kernel(std::move(kernel));
  loop_ = counted([&] { return std::make_unique<EventLoop>(std::move(kernel)); });
  loop_->set_exception_handler([this](EventLoop&, const ExceptionContext& context) {
    const AllocationsExempt inner_guard;
    report(context.to_string());
    if (!allocation_failed()) complain("there was memory, and yet: " + context.to_string());
  });
}

Trial::~Trial() = default;

void Trial::run_until(std::function<bool()> condition) {
  if (condition()) return;
  const AllocationsExempt guard;
  const Duration step = simulated() ? Duration(10ms) : Duration(1ms);
  const TimePoint limit = loop_->time() + (simulated() ? Duration(1h) : Duration(10s));
  Timer timer(*loop_, [&] {
    const AllocationsExempt inner_guard;
    if (condition() || loop_->time() >= limit) return loop_->stop();
    timer.set(step);
  });
  timer.set(Duration::zero());
  counted([&] { loop_->run_forever(); });
  if (!condition()) complain("it came to no end");
}

void Trial::report(std::string_view of) {
  ++reports_;
  if (all_must_be_well()) complain("after the failure was over: " + std::string(of));
}

bool Trial::told() const {
  return reports_ > 0 || std::any_of(protocols_.begin(), protocols_.end(), [](const auto& each) {
           return static_cast<bool>(each->error());
         });
}

void Trial::complain(std::string what) {
  const AllocationsExempt guard;
  complaints_.push_back(std::move(what));
}

std::shared_ptr<testing::RecordingProtocol> Trial::protocol() {
  const AllocationsExempt guard;
  protocols_.push_back(std::make_shared<TrialProtocol>());
  return protocols_.back();
}

bool Trial::all_lost() const {
  return std::all_of(protocols_.begin(), protocols_.end(),
                     [](const auto& each) { return !each->made() || each->lost(); });
}

bool Trial::once_more() {
  if (well_from_ || !allocation_failed()) return false;
  fail_no_allocation();  // if more were to come
  well_from_ = protocols_.size();
  return true;
}

void Trial::play(const Scenario& scenario) {
  do {
    try {
      scenario.play(*this);
    } catch (const std::bad_alloc&) {
      // Out of a call that the scenario made: the rest of it is not played.
      report("out of a call: not enough memory");
      run_until([this] {
        const LoopStats stats = loop_->stats();
        return all_lost() && stats.transports + stats.operations + stats.tasks == 0;
      });
    }
  } while (!loop_->is_closed() && once_more());
}

std::vector<std::string> Trial::end() {
  if (!all_lost()) complain("a connection was not lost");
  loop_->close();
  const AllocationsExempt guard;
  for (std::size_t i = 0; i < protocols_.size(); ++i) {
    const testing::RecordingProtocol& each = *protocols_[i];
    for (const std::string& violation : each.violations()) complain(violation);
    if (well_from_ && i >= *well_from_ && each.error() && each.error() != errc::loop_closed) {
      complain("after the failure was over a connection failed: " + each.error().message());
    }
  }
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
  counted([&] { loop_.reset(); });
  nothing(open_descriptors() - descriptors_before_, "descriptors");
  return std::move(complaints_);
}

}  // namespace ferry::test
