#include <ferry/testing/trial.h>

#include "disturber.h"
#include "fast_clock_kernel.h"

#include <ferry/timer.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>

namespace ferry::testing {

using namespace std::chrono_literals;
using Kind = Disturbance::Kind;

namespace {

constexpr std::size_t kComplaintsKept = 20;
constexpr std::size_t kStatesExpected = 64;
constexpr std::uint64_t kMostCallbacks = 61;

/// Of one descriptor in a turn; 0: no matter.
unsigned most_calls(std::string_view call) {
  if (call == "recv" || call == "read") return 16;
  if (call == "recvmmsg") return 4;
  if (call == "accept") return 100;  // ListenOptions::backlog
  return 0;
}

/// At one moment, if something comes now and then.
constexpr std::uint64_t kTurnsWithTraffic = 1'000'000;

SimOptions changed(SimOptions options, std::uint64_t seed, const std::vector<Disturbance>& all) {
  options.seed = seed;
  for (const Disturbance& one : all) {
    if (one.kind == Kind::schedule) options.permute_schedule = true;
    if (one.kind == Kind::small_pipes) options.pipe_capacity = one.count;
  }
  return options;
}

}  // namespace

Trial::Trial(std::uint64_t seed, std::vector<Disturbance> disturbances, TrialOptions options)
    : seed_(seed), options_(std::move(options)), harmed_(options_.harmed) {
  states_.reserve(kStatesExpected);  // so that to note one fails for no want of memory
  std::unique_ptr<Kernel> inner;
  if (options_.real) {
    auto fast = std::make_unique<FastClockKernel>(make_asio_kernel(), options_.real_speed,
                                                  options_.real_wait);
    fast_ = fast.get();
    inner = std::move(fast);
  } else {
    auto sim = std::make_unique<SimKernel>(changed(options_.sim, seed, disturbances));
    sim_ = sim.get();
    inner = std::move(sim);
  }
  auto kernel = std::make_unique<FaultKernel>(std::move(inner));
  faults_ = kernel.get();
  std::unique_ptr<Kernel> outer = std::move(kernel);
  if (options_.wrap) outer = options_.wrap(std::move(outer));
  loop_ = std::make_unique<EventLoop>(std::move(outer));
  loop_->set_exception_handler(
      [this](EventLoop&, const ExceptionContext& context) { report(context.to_string()); });
  for (const Disturbance& one : disturbances) {
    if (one.kind == Kind::slow_turns) turn_cost_ = one.lasts;
  }
  disturber_ = std::make_unique<Disturber>(*this, std::move(disturbances));
  faults_->set_observer([this](std::string_view call, int fd, const IoResult& result) {
    log(call, fd, result);
    disturber_->count_calls();
    count_call(call, fd, result);
    if (call == "listen" && result.ok() && server_.port() == 0) {
      faults_->inner().local_address(fd, server_);
    }
    if (observer_) observer_(call, fd, result);
  });
}

Trial::~Trial() {
  // Closing the loop makes calls, and guards of faults must not outlive the kernel.
  if (faults_) faults_->set_observer(nullptr);
}

bool Trial::unharmed() const noexcept {
  if (harmed_ || (disturber_ && disturber_->has_harmed())) return false;
  return std::all_of(faults_->injected().begin(), faults_->injected().end(), [](const auto& each) {
    // After EAGAIN the program is told when it may try again.
    return each.error == 0 || each.error == EAGAIN;
  });
}

void Trial::complain(std::string what) {
  if (!options_.lenient) breach(std::move(what));
}

void Trial::breach(std::string what) {
  if (complaints_.size() < kComplaintsKept) complaints_.push_back(std::move(what));
}

/// Each call, of which descriptor, and what came of it.
void Trial::log(std::string_view call, int fd, const IoResult& result) {
  const auto mix = [this](std::uint64_t value) {
    log_hash_ = (log_hash_ ^ value) * 0x9e3779b97f4a7c15;
    log_hash_ ^= log_hash_ >> 32;
  };
  mix(call.size() << 8 | static_cast<unsigned char>(call.front()));
  mix(static_cast<std::uint64_t>(fd) << 32 | static_cast<std::uint32_t>(result.error));
  mix(static_cast<std::uint64_t>(result.value));
}

// -- nobody takes more than its share of a turn

void Trial::count_call(std::string_view call, int fd, const IoResult& result) {
  if (!result.ok() || !simulated()) return;
  const unsigned most = most_calls(call);
  if (most == 0) return;
  const auto same = [fd](const auto& each) { return each.first == fd; };
  const auto place = std::find_if(taken_.begin(), taken_.end(), same);
  if (place == taken_.end()) {
    taken_.emplace_back(fd, 1);
  } else if (++place->second == most + 1) {
    breach(std::string(call) + " took more than its share of a turn");
  }
}

void Trial::check_turn() {
  taken_.clear();
  const LoopStats stats = loop_->stats();
  const auto check = [this](std::uint64_t now, std::uint64_t& before, const char* what) {
    const std::uint64_t more = now - std::exchange(before, now);
    if (more <= kMostCallbacks) return;
    breach(std::to_string(more) + " " + what + " ran without a look at what else is ready");
  };
  check(stats.callbacks, callbacks_, "callbacks");
  check(stats.fired, fired_, "timers");
  check_lost();
}

void Trial::report(const std::string& what) {
  ++reports_;
  if (calm()) breach("reported although nothing went wrong: " + what);
}

void Trial::failed(std::exception_ptr exception) {
  try {
    std::rethrow_exception(std::move(exception));
  } catch (const std::exception& error) {
    report(error.what());
  } catch (...) {
    report("an exception");
  }
}

void Trial::reached(const char* state) {
  const auto same = [state](const char* each) { return std::strcmp(each, state) == 0; };
  if (std::none_of(states_.begin(), states_.end(), same)) states_.push_back(state);
}

void Trial::set_observer(
    Function<void(std::string_view call, int fd, const IoResult& result)> observer) {
  observer_ = std::move(observer);
}

bool Trial::all_lost() const noexcept {
  return std::all_of(records_.begin(), records_.end(),
                     [](const auto& each) { return !each.record->made() || each.record->lost(); });
}

void Trial::heal() {
  healed_ = true;
  if (options_.on_heal) options_.on_heal();
  disturber_->heal();
}

// -- running

bool Trial::run_until(Function<bool()> condition) {
  if (stuck_) return false;
  if (condition()) return true;
  return simulated() ? run_simulated(condition, loop_->time() + options_.patience, true)
                     : run_real(condition, TimePoint::max(), options_.real_patience);
}

bool Trial::run_for(Duration time) {
  if (stuck_) return false;
  Function<bool()> never = [] { return false; };
  const TimePoint limit = loop_->time() + time;
  if (simulated()) {
    run_simulated(never, limit, false);
  } else {
    run_real(never, limit, Duration::max());
  }
  return !stuck_;
}

std::string Trial::still_open() const {
  std::string text;
  for (const Watched& each : records_) {
    if (each.record->made() && !each.record->lost()) {
      text += (text.empty() ? "; still open: " : ", ") + each.record->summary();
    }
  }
  return text;
}

bool Trial::run_simulated(Function<bool()>& condition, TimePoint limit, bool complain_if_late) {
  bool met = false;
  TimePoint moment = sim_->now();
  std::uint64_t timers = fired_;
  std::uint64_t arrived = 0;
  std::uint64_t turns = 0;  // in which nothing came
  std::uint64_t all_turns = 0;
  const auto over = std::make_shared<bool>(false);  // the kernel may keep what it is to do longer
  bool late = false;
  struct Ending {
    SimKernel& sim;
    bool& over;
    ~Ending() {
      over = true;
      sim.set_turn_hook(nullptr);
    }
  } ending{*sim_, *over};
  sim_->set_turn_hook([&] {
    check_turn();
    if (met || late || stuck_) return;
    if ((met = condition())) return loop_->stop();
    // That turns take time is no progress.
    const TimePoint before = std::exchange(moment, sim_->now());
    const bool fired = std::exchange(timers, fired_) != fired_;
    if (fired || moment - before > turn_cost_) turns = all_turns = 0;
    // What comes in many pieces is worth a turn each.
    const std::uint64_t deliveries = sim_->network().stats().deliveries;
    if (std::exchange(arrived, deliveries) != deliveries) turns = 0;
    if (++turns < options_.turns_at_once && ++all_turns < kTurnsWithTraffic) return;
    stuck_ = true;
    breach("it spins: " + std::to_string(std::max(turns, all_turns)) + " turns at one moment");
    loop_->stop();
  });
  sim_->at(limit, [this, over, &late] {
    if (*over) return;
    late = true;
    loop_->stop();
  });
  // The program may stop the loop itself.
  while (!met && !late && !stuck_) loop_->run_forever();
  if (late && complain_if_late && !met) {
    stuck_ = true;
    breach("it comes to no end" + still_open());
  }
  return met;
}

bool Trial::run_real(Function<bool()>& condition, TimePoint limit, Duration patience) {
  bool met = false;
  bool late = false;   // of the loop's time
  bool tired = false;  // of the system's
  const TimePoint begin = fast_->real_now();
  Duration pause = 1ms * options_.real_speed;
  Timer timer(*loop_, [&] {
    met = condition();
    const TimePoint now = loop_->time();
    late = now >= limit;
    tired = fast_->real_now() - begin >= patience;
    if (met || late || tired) return loop_->stop();
    timer.set(std::min(pause, limit - now));
    pause = std::min<Duration>(pause + pause / 4, 1min);  // what takes long may take a bit longer
  });
  timer.set(Duration::zero());
  while (!met && !late && !tired) loop_->run_forever();
  if (tired && !met) {
    stuck_ = true;
    breach("it comes to no end" + still_open());
  }
  return met;
}

// -- the end

std::vector<std::string> Trial::end() {
  if (!stuck_ && !all_lost()) breach("a connection was not lost");
  if (!stuck_ && !loop_->is_closed()) check_idle();
  log_hash_ ^= static_cast<std::uint64_t>(faults_->now().time_since_epoch().count());
  loop_->close();
  check_lost();
  for (const Watched& each : records_) {
    for (const std::string& violation : each.record->checker().final_violations()) {
      breach(violation);
    }
  }
  check_nothing_left();
  if (sim_) log_hash_ ^= sim_->log_hash();
  faults_->set_observer(nullptr);
  disturber_.reset();
  loop_.reset();
  faults_ = nullptr;
  sim_ = nullptr;
  return std::move(complaints_);
}

/// At once: what came of it must not be excused by harm that comes later.
void Trial::check_lost() {
  for (Watched& each : records_) {
    if (each.lost || !each.record->lost()) continue;
    each.lost = true;
    if (each.record->error()) check_error(*each.record);
  }
}

/// An error that connection_lost was given must be explained by the transport.
void Trial::check_error(const ConnectionRecord& record) {
  const std::error_code lost = record.error();
  report("connection_lost: " + lost.message());
  if (!record.transport()) return;  // the protocol had no memory to take it
  const Error& told = record.transport()->error();
  if (told.code != lost) {
    breach("connection_lost says '" + lost.message() + "', the transport '" + told.message() + "'");
  } else if (*told.operation == '\0') {
    breach("nobody says what failed: " + told.message());
  } else if (told.address.empty() && record.transport()->peername().is_ip() &&
             told.code != std::errc::not_enough_memory) {  // not even for that
    breach("nobody says whose connection failed: " + told.message());
  }
}

bool Trial::idle() const {
  const LoopStats stats = loop_->stats();
  // Not sockets: the loop keeps some pipes for relays to come.
  return stats.transports + stats.servers + stats.operations + stats.tasks + stats.jobs +
             stats.watches ==
         0;
}

void Trial::nothing(std::size_t left, const char* what, const char* how) {
  if (left != 0) breach(std::to_string(left) + " " + what + " " + how);
}

void Trial::check_loop(const char* how) {
  const LoopStats stats = loop_->stats();
  nothing(stats.watches, "descriptor callbacks", how);
  nothing(stats.transports, "transports", how);
  nothing(stats.servers, "servers", how);
  nothing(stats.operations, "operations", how);
  nothing(stats.tasks, "tasks", how);
  nothing(stats.jobs, "jobs", how);
  nothing(stats.timers, "timers", how);
}

/// Closing the loop ends whatever there is: so it is now that one sees what would have stayed.
void Trial::check_idle() {
  // A layer below, a connect that lost its race may take until their limits.
  Function<bool()> nothing_left = [this] { return idle(); };
  const TimePoint limit = loop_->time() + 200s;
  if (!idle()) {
    simulated() ? run_simulated(nothing_left, limit, false)
                : run_real(nothing_left, limit, Duration::max());
  }
  if (!stuck_) check_loop("stay when all is done");
}

void Trial::check_nothing_left() {
  constexpr const char* kHow = "left";
  check_loop(kHow);
  nothing(loop_->stats().ready, "callbacks", kHow);
  if (!sim_) return;
  const SimStats sim = sim_->stats();
  nothing(sim.open_sockets, "sockets", kHow);
  nothing(sim.watches, "watches", kHow);
  nothing(sim.names, "names", kHow);
  // Where all is well who made one has removed it.
  if (calm()) nothing(sim.files, "socket files", kHow);
  nothing(static_cast<std::size_t>(sim.bad_descriptors), "calls with a bad descriptor", kHow);
}

}  // namespace ferry::testing
