// Child processes and pools of them, each system call and each allocation of the parent's failing
// once.
#include "call_trial.h"
#include "counting_new.h"
#include "far_end.h"

#include <ferry/process.h>
#include <ferry/process_pool.h>
#include <ferry/subprocess.h>
#include <ferry/task.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ferry::test {
namespace {

/// More than a pipe holds.
const std::string& content() {
  static const std::string text = pattern(200'000);
  return text;
}

class Child final : public SubprocessProtocol {
 public:
  explicit Child(CallTrial& trial) : trial_(trial) {}
  void pipe_data_received(int fd, BytesView data) override {
    exempt([&] { (fd == 1 ? output : errors).append(data.text()); });
  }
  void pipe_connection_lost(int fd, std::error_code error) override {
    if (error && error != errc::loop_closed) {
      trial_.tell("pipe " + std::to_string(fd), error.message());
    }
  }
  void process_exited() override { exited = true; }
  void connection_lost(std::error_code error) override {
    lost = true;
    if (error && error != errc::loop_closed) trial_.tell("connection_lost", error.message());
  }

  std::string output;
  std::string errors;
  bool exited = false;
  bool lost = false;

 private:
  CallTrial& trial_;
};

void talk_to_a_child(CallTrial& trial) {
  const auto starting =
      subprocess_exec(trial.loop(), [&trial] { return std::make_shared<Child>(trial); }, {"cat"});
  if (!trial.done(starting)) return;
  const auto transport = starting.result().transport;
  const auto child = starting.result().protocol;
  const auto in = transport->get_pipe_transport(0);
  in->write(content());
  in->write_eof();
  if (!trial.run_until([&] { return child->lost; })) return;
  if (!child->exited) trial.complain("it was not told of the exit");
  if (!content().starts_with(child->output)) trial.complain("wrong bytes came");
  trial.expect(child->output == content(),
               "only " + std::to_string(child->output.size()) + " bytes came");
  trial.expect(transport->get_returncode() == 0, "it ended otherwise");
}

void end_a_child(CallTrial& trial) {
  const auto starting =
      subprocess_exec(trial.loop(), [&trial] { return std::make_shared<Child>(trial); }, {"cat"});
  if (!trial.done(starting)) return;
  const auto transport = starting.result().transport;
  const auto child = starting.result().protocol;
  transport->terminate();
  if (!trial.run_until([&] { return child->lost; })) return;
  trial.expect(transport->get_returncode() == -SIGTERM, "it ended otherwise");
}

Coro<> communicate(CallTrial& trial) {
  std::vector<std::string> command{"cat"};
  SubprocessOptions options;
  options.in = options.out = options.err = Stdio::pipe();
  const Process child = co_await create_subprocess_exec(command, options);
  const ProcessOutput output = co_await child.communicate(content());
  if (!content().starts_with(output.out)) trial.complain("wrong bytes came");
  // It may have closed its input, as far as the parent can see: that is no error.
  const auto* const fault = trial.fault();
  if (fault && fault->call == "writev" && fault->error == EPIPE) co_return;
  trial.expect(output.out == content(),
               "only " + std::to_string(output.out.size()) + " bytes came");
  trial.expect(child.returncode() == 0, "it ended otherwise");
}

void communicate_with_a_child(CallTrial& trial) {
  const Future<void> task = create_task(trial.loop(), communicate(trial));
  trial.done(task);
}

FERRY_EACH_FAILS(AChildAnswersOrSomebodyIsTold, .play = talk_to_a_child, .processes = true)

FERRY_EACH_FAILS(AChildIsEndedOrSomebodyIsTold, .play = end_a_child, .processes = true)

FERRY_EACH_FAILS(CommunicateGivesAllOrThrows, .play = communicate_with_a_child, .processes = true)

// -- pools

std::string answer_to(const std::string& question) {
  return "re: " + question;
}
int crash() {
  ::raise(SIGKILL);
  return 0;
}

/// One worker: what is lost with it nobody else does.
ProcessPool::Options small() {
  return {.workers = 1, .allow_threads = true};
}

void end_of(CallTrial& trial, ProcessPool& pool) {
  // Not before: somebody has been told.
  for (int attempt = 0; attempt < 2; ++attempt) {
    try {
      trial.done(pool.shutdown(trial.loop()));
      return;
    } catch (const std::exception& error) {
      trial.tell("shutdown", error.what());
    }
  }
  trial.complain("it cannot be shut down");
}

void compute(CallTrial& trial) {
  ProcessPool pool(small());
  const auto ask = [&](const std::string& question) {
    try {
      const auto answer = pool.run(trial.loop(), answer_to, question);
      if (!trial.done(answer)) return;
      if (answer.result() != "re: " + question) trial.complain("a wrong answer");
    } catch (const std::exception& error) {
      trial.tell("run", error.what());
    }
  };
  ask("what?");
  ask(content());
  end_of(trial, pool);
}

void compute_after_a_crash(CallTrial& trial) {
  ProcessPool pool(small());
  try {
    const auto crashed = pool.run(trial.loop(), crash);
    const auto answer = pool.run(trial.loop(), answer_to, "what?");
    if (!trial.run_until([&] { return crashed.done(); })) return;
    try {
      crashed.result();
      trial.complain("it has crashed and answered");
    } catch (const BrokenWorkerError& error) {  // as it should be
      if (error.status() != -SIGKILL) trial.tell("a future", error.what());
    } catch (const std::exception& error) {
      trial.tell("a future", error.what());
    }
    if (trial.done(answer) && answer.result() != "re: what?") trial.complain("a wrong answer");
  } catch (const std::exception& error) {
    trial.tell("run", error.what());
  }
  end_of(trial, pool);
}

FERRY_EACH_FAILS(APoolAnswersOrSomebodyIsTold, .play = compute)

FERRY_EACH_FAILS(APoolReplacesAWorkerOrSomebodyIsTold, .play = compute_after_a_crash)

}  // namespace
}  // namespace ferry::test
