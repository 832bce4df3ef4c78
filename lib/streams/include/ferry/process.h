#pragma once

#include <ferry/stream_writer.h>
#include <ferry/subprocess.h>

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ferry {

/// What the handles of a Process share with its transport.
class ProcessState : public Counted<ProcessState> {
 public:
  /// Throws std::invalid_argument for a limit of 0.
  explicit ProcessState(std::size_t limit);

  // -- for the protocol
  void connect(std::shared_ptr<SubprocessTransport> transport);
  void feed(int fd, BytesView data);
  void lose_pipe(int fd, std::error_code error);
  void pause() noexcept { flow_->pause(); }
  void resume() { flow_->resume(); }
  void exit() { waiting_.wake_all(); }

  /// Closes the pipes, and kills the child if it still runs.
  void close();
  const std::shared_ptr<SubprocessTransport>& transport() const noexcept { return transport_; }
  std::optional<int> returncode() const noexcept { return transport_->get_returncode(); }
  const Ref<WriteFlow>& flow() const noexcept { return flow_; }
  /// What comes from the child's descriptor 1 or 2.
  const Ref<StreamReaderState>& reader(int fd) const {
    return readers_[static_cast<std::size_t>(fd - 1)];
  }
  WaitList& waiting() noexcept { return waiting_; }

 private:
  std::shared_ptr<SubprocessTransport> transport_;
  Ref<WriteFlow> flow_;
  std::array<Ref<StreamReaderState>, 2> readers_;
  WaitList waiting_;
  bool closed_ = false;
};

/// What a child said until it ended.
struct ProcessOutput {
  std::string out;
  std::string err;
};

/// A child process for coroutines, like asyncio.subprocess.Process. A handle: copies are handles to
/// the same child. With the last one its pipes are closed, and it is killed if it still runs (in
/// debug mode that is logged): nothing runs on that nobody looks after. Its streams do not hold it.
/// For the loop's thread only.
/// https://docs.python.org/3/library/asyncio-subprocess.html#interacting-with-subprocesses
class Process {
 public:
  class Wait;

  /// Use create_subprocess_exec or create_subprocess_shell.
  explicit Process(Ref<ProcessState> state);

  /// asyncio's stdin, stdout and stderr (which C has as macros), named as in SubprocessOptions: to
  /// write to the child, and to read what it writes. Throw std::logic_error unless that is a pipe.
  const StreamWriter& in() const;
  const StreamReader& out() const;
  const StreamReader& err() const;

  int pid() const noexcept { return state().transport()->get_pid(); }
  /// The exit code, or the number of the signal that ended it, negated; empty while it runs.
  std::optional<int> returncode() const noexcept { return state().returncode(); }

  /// `co_await child.wait()`: the return code, as soon as the child has ended; its pipes may still
  /// hold something. Any number of tasks may wait, and again. A child that writes to pipes must be
  /// read from meanwhile, or it waits for room for ever: `communicate` does that.
  Wait wait() const;
  /// Gives the child `input` and the end of it, reads all it writes, however much that is, and
  /// waits for its end. What is no pipe stays empty; a child that does not read its input is no
  /// error, any other failure to write it is. Throws std::logic_error if there is input and no pipe
  /// for it. Cancelled, it may be called again (perhaps after `kill`), and gives all the output;
  /// input is given once.
  Coro<ProcessOutput> communicate(std::string input = std::string()) const;

  /// As SubprocessTransport's.
  void send_signal(int signal_number) const { state().transport()->send_signal(signal_number); }
  void terminate() const { state().transport()->terminate(); }
  void kill() const { state().transport()->kill(); }

  const std::shared_ptr<SubprocessTransport>& transport() const noexcept {
    return state().transport();
  }

 private:
  friend Coro<Process> create_subprocess_exec(std::vector<std::string> arguments,
                                              SubprocessOptions options, std::size_t limit);

  /// Closes when the last handle goes.
  struct Owner : Counted<Owner> {
    explicit Owner(Ref<ProcessState> s) noexcept : state(std::move(s)) {}
    ~Owner() { state->close(); }
    void open_streams();

    const Ref<ProcessState> state;
    std::optional<StreamWriter> in;
    std::optional<StreamReader> out;
    std::optional<StreamReader> err;
    ProcessOutput output;  // what `communicate` has read
  };

  static Coro<ProcessOutput> communicate_with(Ref<Owner> owner, std::string input);
  static Coro<> read_all(Ref<Owner> owner, StreamReader from, std::string ProcessOutput::*part);
  ProcessState& state() const noexcept { return *owner_->state; }

  Ref<Owner> owner_;
};

class [[nodiscard]] Process::Wait final : public WaitNode {
 public:
  explicit Wait(Ref<ProcessState> state) noexcept : state_(std::move(state)) {}
  bool await_ready() const noexcept { return state_->returncode().has_value(); }
  void await_suspend(std::coroutine_handle<> coroutine) { wait(state_->waiting(), coroutine); }
  int await_resume() {
    unlink();
    resumed();
    return state_->returncode().value();
  }
  std::string_view what() const noexcept override { return "process"; }

 private:
  Ref<ProcessState> state_;
};

inline Process::Wait Process::wait() const {
  return Wait(owner_->state);
}

/// Starts a program, as subprocess_exec, which see for the arguments and errors. A stream of the
/// child that `options` say nothing about is the parent's own, as in asyncio: where in, out or err
/// is wanted say Stdio::pipe(). `limit`: of the readers, in bytes; a pipe is not read from while
/// more than twice that waits. Cancelled, it kills the child; the loop reaps it.
///
///     std::vector<std::string> command{"wc", "-l"};
///     SubprocessOptions options;
///     options.in = options.out = Stdio::pipe();
///     Process child = co_await create_subprocess_exec(command, options);
///     ProcessOutput output = co_await child.communicate(text);
///
/// https://docs.python.org/3/library/asyncio-subprocess.html#asyncio.create_subprocess_exec
Coro<Process> create_subprocess_exec(std::vector<std::string> arguments,
                                     SubprocessOptions options = SubprocessOptions(),
                                     std::size_t limit = StreamReader::kDefaultLimit);
/// The same for a command line: `/bin/sh -c command`.
Coro<Process> create_subprocess_shell(std::string command,
                                      SubprocessOptions options = SubprocessOptions(),
                                      std::size_t limit = StreamReader::kDefaultLimit);

}  // namespace ferry
