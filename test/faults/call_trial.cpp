#include "call_trial.h"

#include "counting_new.h"
#include "exempt_protocol.h"
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
std::string text_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "not a std::exception";
  }
}

/// Allocations count while it runs; what a loop needs to be told to is the test's.
class CountedRunKernel final : public testing::ForwardingKernel {
 public:
  using ForwardingKernel::ForwardingKernel;
  void run() override {
    counted([&] { inner().run(); });
  }
};

}  // namespace

std::unique_ptr<Kernel> make_fast_kernel() {
  return std::make_unique<testing::FastClockKernel>(make_asio_kernel(), kSpeed);
}

CallTrial::CallTrial(const CallProgram& program, const Trouble& trouble)
    : program_(program), descriptors_before_(open_descriptors()), trouble_(trouble) {
  const AllocationsExempt guard;
  loop_ = std::make_unique<EventLoop>(make_kernel(), LoopOptions{.debug = false});
  listen_to(*loop_);
  if (!faults_) return;
  faults_->set_observer([this](std::string_view, int fd, const IoResult&) {
    const InjectedFault* const injected = fault();
    if (!injected || injected->number + 1 != faults_->calls() || injected->error != 0) return;
    int type = 0;
    socklen_t size = sizeof type;
    if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) return;
    if (type == SOCK_SEQPACKET) impossible_ = true;
  });
  if (trouble.number != Trouble::kNone) faults_->fail_call(trouble.number, trouble.variant);
}

std::unique_ptr<Kernel> CallTrial::make_kernel() {
  auto kernel = program_.kernel ? program_.kernel() : make_fast_kernel();
  if (trouble_.kind == Trouble::Kind::allocation) {
    return std::make_unique<CountedRunKernel>(std::move(kernel));
  }
  auto faults = std::make_unique<FaultKernel>(std::move(kernel));
  faults_ = faults.get();
  return faults;
}

void CallTrial::listen_to(EventLoop& loop) {
  const AllocationsExempt guard;
  loop.set_exception_handler([this](EventLoop&, const ExceptionContext& context) {
    const AllocationsExempt inner_guard;
    tell("the exception handler", context.to_string());
  });
  loop.set_log_sink([this](LogLevel level, std::string_view line) {
    const AllocationsExempt inner_guard;
    if (level >= LogLevel::warning) tell("the log", std::string(line));
  });
}

bool CallTrial::run() {
  try {
    loop_->run_forever();
    return true;
  } catch (const std::exception& error) {
    complain(std::string("out of the loop came: ") + error.what());
    return false;
  }
}

bool CallTrial::run_until(Function<bool()> condition) {
  const AllocationsExempt guard;
  const auto limit = std::chrono::steady_clock::now() + kPatience;
  // Most of it is over in a few turns.
  for (int turn = 0; turn < 100 && !condition(); ++turn) {
    loop_->stop();
    if (!run()) return false;
  }
  if (condition()) return true;
  bool met = false;
  Timer look(*loop_, [&] {
    const AllocationsExempt inner_guard;
    met = condition();
    if (met || std::chrono::steady_clock::now() > limit) return loop_->stop();
    look.set(5ms);
  });
  look.set(5ms);
  if (!run()) return false;
  if (!met) complain("it hangs");
  return met;
}

void CallTrial::tell(const std::string& who, const std::string& what) {
  const AllocationsExempt guard;
  const std::lock_guard lock(mutex_);
  told_.push_back(who + ": " + what);
}

void CallTrial::tell(const std::string& who, const std::exception_ptr& error) {
  const AllocationsExempt guard;
  tell(who, text_of(error));
}

bool CallTrial::told() const {
  const std::lock_guard lock(mutex_);
  return !told_.empty();
}

void CallTrial::expect(bool right, const std::string& otherwise) {
  const AllocationsExempt guard;
  if (!right && !told()) complain(otherwise + ", and nobody was told");
}

void CallTrial::complain(const std::string& what) {
  const AllocationsExempt guard;
  const std::lock_guard lock(mutex_);
  complaints_.push_back(what);
}

std::shared_ptr<RecordingProtocol> CallTrial::protocol() {
  const AllocationsExempt guard;
  auto made = std::make_shared<ExemptProtocol>();
  made->on_lost = [this](std::error_code error) {
    if (error) tell("connection_lost", error.message());
  };
  protocols_.push_back(made);
  return made;
}

std::shared_ptr<RecordingProtocol> CallTrial::connect(Socket socket, ProtocolWrap wrap) {
  auto made = protocol();
  const auto connecting = connect_accepted_socket(
      loop(), [made]() -> std::shared_ptr<Protocol> { return made; }, socket.release(),
      std::move(wrap));
  return done(connecting) ? made : nullptr;
}

std::shared_ptr<RecordingProtocol> CallTrial::echo() {
  auto made = protocol();
  made->on_data = [it = made.get()](BytesView data) { counted([&] { it->write(data); }); };
  return made;
}

void CallTrial::forget(const std::shared_ptr<RecordingProtocol>& protocol) {
  std::erase(protocols_, protocol);
}

const InjectedFault* CallTrial::fault() const {
  if (!faults_) return fault_ ? &*fault_ : nullptr;
  const auto& all = faults_->injected();
  const auto found = std::find_if(all.begin(), all.end(), [this](const InjectedFault& each) {
    return each.number == trouble_.number;
  });
  return found == all.end() ? nullptr : &*found;
}

bool CallTrial::harmless() const {
  if (trouble_.kind == Trouble::Kind::allocation) return !allocation_failed();
  const InjectedFault* const injected = fault();
  if (!injected) return true;
  if (injected->error == EAGAIN) return injected->call != "posix_spawn";
  return injected->error == 0 && !impossible_;
}

void CallTrial::play() {
  try {
    counted([&] { program_.play(*this); });
  } catch (const std::exception& error) {
    tell("the caller", error.what());
  }
  if (harmless()) {
    for (const std::string& each : told_) complain("for nothing told " + each);
  }
  // What comes now is nobody's fault.
  for (const auto& each : protocols_) each->on_lost = nullptr;
}

void CallTrial::play_well() {
  // What the first time was left half done.
  for (const auto& each : protocols_) {
    if (each->made() && !each->lost()) each->transport()->abort();
  }
  run_until([turns = 0]() mutable { return ++turns > 10; });
  told_.clear();
  program_.play(*this);
  for (const std::string& each : told_) complain("when there was memory again told " + each);
  for (const auto& each : protocols_) each->on_lost = nullptr;
}

std::vector<std::string> CallTrial::end() {
  const AllocationsExempt guard;
  if (trouble_.kind == Trouble::Kind::allocation) {
    fail_allocation_of_any_thread(static_cast<std::size_t>(trouble_.number));
  }
  play();
  if (!harmless() && trouble_.kind == Trouble::Kind::allocation && complaints_.empty()) {
    play_well();
  }
  {
    const auto closing = loop_->shutdown_default_executor(1h);
    run_until([&closing] { return closing.done(); });
  }
  close_loop();
  check_nothing_left();
  return std::move(complaints_);
}

void CallTrial::close_loop() {
  try {
    counted([&] { loop_->close(); });
  } catch (const std::exception& error) {
    complain(std::string("out of close came: ") + error.what());
  }
}

void CallTrial::check_nothing_left() {
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
  if (faults_) variants_ = faults_->variants();
  if (const InjectedFault* const injected = fault()) fault_ = *injected;
  counted([&] { loop_.reset(); });
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

}  // namespace ferry::test
