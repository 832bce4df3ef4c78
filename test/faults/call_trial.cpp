#include "call_trial.h"

#include "fast_clock_kernel.h"

#include <ferry/connect.h>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace ferry::test {

using namespace std::chrono_literals;
using testing::FaultKernel;
using testing::InjectedFault;
using testing::RecordingProtocol;

namespace {

/// Of the system's clock. Only what hangs takes so long.
constexpr auto kPatience = kSanitized ? 30s : 10s;
constexpr int kSpeed = 20;
/// More calls than any of the programs makes, by far.
constexpr std::uint64_t kMostCalls = 1000;

std::string text_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "not a std::exception";
  }
}

}  // namespace

std::unique_ptr<Kernel> make_fast_kernel() {
  return std::make_unique<testing::FastClockKernel>(make_asio_kernel(), kSpeed);
}

CallTrial::CallTrial(const CallProgram& program, std::uint64_t number, std::size_t variant)
    : program_(program), descriptors_before_(open_descriptors()), number_(number) {
  auto kernel =
      std::make_unique<FaultKernel>(program.kernel ? program.kernel() : make_fast_kernel());
  faults_ = kernel.get();
  loop_ = std::make_unique<EventLoop>(std::move(kernel), LoopOptions{.debug = false});
  loop_->set_exception_handler([this](EventLoop&, const ExceptionContext& context) {
    tell("the exception handler", context.to_string());
  });
  loop_->set_log_sink([this](LogLevel level, std::string_view line) {
    if (level >= LogLevel::warning) tell("the log", std::string(line));
  });
  faults_->set_observer([this](std::string_view, int fd, const IoResult&) {
    const InjectedFault* const injected = fault();
    if (!injected || injected->number + 1 != faults_->calls() || injected->error != 0) return;
    int type = 0;
    socklen_t size = sizeof type;
    if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) return;
    if (type == SOCK_SEQPACKET) impossible_ = true;
  });
  if (number != kNoCall) faults_->fail_call(number, variant);
}

bool CallTrial::run_until(Function<bool()> condition) {
  const auto limit = std::chrono::steady_clock::now() + kPatience;
  // Most of it is over in a few turns.
  for (int turn = 0; turn < 100 && !condition(); ++turn) {
    loop_->stop();
    loop_->run_forever();
  }
  if (condition()) return true;
  bool met = false;
  Timer look(*loop_, [&] {
    met = condition();
    if (met || std::chrono::steady_clock::now() > limit) return loop_->stop();
    look.set(5ms);
  });
  look.set(5ms);
  loop_->run_forever();
  if (!met) complain("it hangs");
  return met;
}

void CallTrial::tell(const std::string& who, const std::string& what) {
  told_.push_back(who + ": " + what);
}

void CallTrial::tell(const std::string& who, const std::exception_ptr& error) {
  tell(who, text_of(error));
}

void CallTrial::expect(bool right, const std::string& otherwise) {
  if (!right && !told()) complain(otherwise + ", and nobody was told");
}

void CallTrial::complain(const std::string& what) {
  complaints_.push_back(what);
}

std::shared_ptr<RecordingProtocol> CallTrial::protocol() {
  auto made = std::make_shared<RecordingProtocol>();
  made->on_lost = [this](std::error_code error) {
    if (error) tell("connection_lost", error.message());
  };
  protocols_.push_back(made);
  return made;
}

std::shared_ptr<RecordingProtocol> CallTrial::connect(Socket socket) {
  auto made = protocol();
  const auto connecting = connect_accepted_socket(
      loop(), [&made]() -> std::shared_ptr<Protocol> { return made; }, socket.release());
  return done(connecting) ? made : nullptr;
}

std::shared_ptr<RecordingProtocol> CallTrial::echo() {
  auto made = protocol();
  made->on_data = [it = made.get()](BytesView data) { it->write(data); };
  return made;
}

void CallTrial::forget(const std::shared_ptr<RecordingProtocol>& protocol) {
  std::erase(protocols_, protocol);
}

const InjectedFault* CallTrial::fault() const {
  if (!faults_) return fault_ ? &*fault_ : nullptr;
  const auto& all = faults_->injected();
  const auto found = std::find_if(
      all.begin(), all.end(), [this](const InjectedFault& each) { return each.number == number_; });
  return found == all.end() ? nullptr : &*found;
}

bool CallTrial::harmless() const {
  const InjectedFault* const injected = fault();
  if (!injected) return true;
  if (injected->error == EAGAIN) return injected->call != "posix_spawn";
  return injected->error == 0 && !impossible_;
}

std::vector<std::string> CallTrial::end() {
  try {
    program_.play(*this);
  } catch (const std::exception& error) {
    tell("the caller", error.what());
  }
  if (harmless()) {
    for (const std::string& each : told_) complain("for nothing told " + each);
  }
  // What comes now is nobody's fault.
  for (const auto& each : protocols_) each->on_lost = nullptr;
  {
    const auto closing = loop_->shutdown_default_executor(1h);
    run_until([&closing] { return closing.done(); });
  }
  check_nothing_left();
  return std::move(complaints_);
}

void CallTrial::check_nothing_left() {
  loop_->close();
  for (const auto& each : protocols_) {
    for (const std::string& violation : each->violations()) complain(violation);
    if (each->made() && !each->lost()) complain("a connection was not lost");
  }
  const LoopStats stats = loop_->stats();
  const auto nothing = [this](std::size_t left, const char* what) {
    if (left != 0) complain(std::to_string(left) + " " + what + " left");
  };
  nothing(stats.ready, "callbacks");
  nothing(stats.timers, "timers");
  nothing(stats.watches, "watches");
  nothing(stats.transports, "transports");
  nothing(stats.servers, "servers");
  nothing(stats.operations, "operations");
  nothing(stats.jobs, "jobs");
  nothing(stats.tasks, "tasks");
  protocols_.clear();
  nothing(loop_->stats().futures, "futures");
  check_no_child();
  variants_ = faults_->variants();
  if (const InjectedFault* const injected = fault()) fault_ = *injected;
  loop_.reset();
  faults_ = nullptr;
  nothing(open_descriptors() - descriptors_before_, "descriptors");
}

void CallTrial::check_no_child() {
  const InjectedFault* const injected = fault();
  // It has become somebody else's, and ends by itself.
  const bool unkillable =
      program_.processes && injected && injected->call == "pidfd_send_signal" && !harmless();
  for (;;) {
    const pid_t pid = ::waitpid(-1, nullptr, unkillable ? 0 : WNOHANG);
    if (pid < 0) return;
    if (unkillable) continue;
    complain(pid > 0 ? "a zombie is left" : "a child is left");
    if (pid == 0) return;
  }
}

// -- all of them

namespace {

struct Outcome {
  bool came = false;  // the call that was to fail
  std::size_t variants = 0;
  std::string complaints;
};

Outcome play(const CallProgram& program, std::uint64_t number, std::size_t variant) {
  Outcome outcome;
  CallTrial trial(program, number, variant);
  for (const std::string& each : trial.end()) outcome.complaints += "\n  " + each;
  outcome.variants = trial.variants();
  if (const InjectedFault* const fault = trial.fault()) {
    outcome.came = true;
    if (!outcome.complaints.empty()) {
      outcome.complaints = fault->to_string() + outcome.complaints;
    }
  }
  return outcome;
}

void play_one(const CallProgram& program, const char* name) {
  unsigned long number = 0;
  unsigned long variant = 0;
  ASSERT_EQ(std::sscanf(name, "%lu.%lu", &number, &variant), 2) << name;
  const Outcome outcome = play(program, number, variant);
  EXPECT_EQ(outcome.complaints, "");
  if (!outcome.came) std::puts("there is no such call");
}

}  // namespace

void each_call_fails(const CallProgram& program) {
  // What is made once for the process is there then.
  ASSERT_EQ(play(program, CallTrial::kNoCall, 0).complaints, "");
  if (const char* const only = std::getenv("FERRY_CALL")) return play_one(program, only);
  std::uint64_t number = 0;
  std::uint64_t runs = 0;
  for (; number < kMostCalls; ++number) {
    std::size_t variants = 1;
    bool came = false;
    for (std::size_t variant = 0; variant < variants; ++variant) {
      const Outcome outcome = play(program, number, variant);
      ++runs;
      came = came || outcome.came;
      if (outcome.came && outcome.variants > variants) variants = outcome.variants;
      EXPECT_EQ(outcome.complaints, "") << "FERRY_CALL=" << number << "." << variant;
      // One of the ways for each call, another for the next, and the last, which is the harmless.
      if (kSanitized && variants > 2 && variant + 1 < variants) {
        variant = variant == 0 ? number % (variants - 1) : variants - 2;
      }
    }
    if (!came) break;
  }
  EXPECT_LT(number, kMostCalls);
  EXPECT_GT(number, 3u);
  ::testing::Test::RecordProperty("calls", static_cast<int>(number));
  ::testing::Test::RecordProperty("runs", static_cast<int>(runs));
}

}  // namespace ferry::test
