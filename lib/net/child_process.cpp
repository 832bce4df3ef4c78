#include "child_process.h"

#include "connect_pipe.h"
#include "opening.h"
#include "stream_transport.h"

#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <utility>

namespace ferry {

void SubprocessProtocol::connection_made(std::shared_ptr<SubprocessTransport>) {}
void SubprocessProtocol::pipe_data_received(int, BytesView) {}
void SubprocessProtocol::pipe_connection_lost(int, std::error_code) {}
void SubprocessProtocol::process_exited() {}
void SubprocessProtocol::connection_lost(std::error_code) {}
void SubprocessProtocol::pause_writing() {}
void SubprocessProtocol::resume_writing() {}

namespace {

/// What a process that somebody else took the status of is said to have ended with.
constexpr int kUnknownStatus = 255;

int child_stream(const Stdio& stdio) {
  switch (stdio.kind) {
    case Stdio::Kind::devnull:
      return SpawnRequest::kNull;
    case Stdio::Kind::as_output:
      return SpawnRequest::kAsOutput;
    case Stdio::Kind::descriptor:
      return stdio.fd;
    case Stdio::Kind::unset:
    case Stdio::Kind::inherit:
    case Stdio::Kind::pipe:
      break;
  }
  return SpawnRequest::kInherit;
}

void require(const IoResult& result, const char* operation) {
  if (!result.ok()) throw IoError({result.code(), operation, {}});
}

}  // namespace

/// Passes what happens on a pipe on to the process.
class ChildProcess::Pipe final : public Protocol {
 public:
  Pipe(std::shared_ptr<ChildProcess> process, int fd) : process_(std::move(process)), fd_(fd) {}

  void connection_made(std::shared_ptr<Transport> transport) override {
    if (!process_->made_) transport->pause_reading();  // until the application is there
  }
  void data_received(BytesView data) override {
    process_->call("pipe_data_received",
                   [&](SubprocessProtocol& p) { p.pipe_data_received(fd_, data); });
  }
  void connection_lost(std::error_code error) override { process_->pipe_lost(fd_, error); }
  void pause_writing() override {
    process_->call("pause_writing", [](SubprocessProtocol& p) { p.pause_writing(); });
  }
  void resume_writing() override {
    process_->call("resume_writing", [](SubprocessProtocol& p) { p.resume_writing(); });
  }

 private:
  std::shared_ptr<ChildProcess> process_;
  int fd_;
};

std::shared_ptr<ChildProcess> ChildProcess::start(EventLoop& loop, ChildStart start) {
  auto child = std::make_shared<ChildProcess>(loop);
  std::array<Socket, 3> ends = child->spawn(start);
  // From here on there is a process: whatever fails, its destructor ends it.
  std::error_code error;
  child->watch_ = loop.kernel().watch(child->process_.get(), *child, error);
  if (error) throw IoError({error, "watch", {}});
  child->protocol_ = start.factory();
  if (!child->protocol_) throw std::logic_error("the protocol factory gave no protocol");
  try {
    child->connect_pipes(std::move(ends));
    loop.call_soon([child, made = std::move(start.made)]() mutable {
      child->make_connection(std::move(made));
    });
  } catch (...) {
    child->protocol_.reset();
    child->close();
    throw;
  }
  child->watch_->arm(Direction::read, FdWatch::Arm::if_ready);
  child->self_ = child;
  return child;
}

ChildProcess::ChildProcess(EventLoop& loop) : LoopResource(loop, Kind::transport) {
  too_early_.reserve(4);  // the ends of three pipes and the process: none of them may be forgotten
}

ChildProcess::~ChildProcess() {
  if (!process_) return;
  // Only if it never started in full, or with its loop.
  kill_and_reap();
}

/// No zombie is left behind, but of a process that this one may not kill (EPERM: it has become
/// somebody else's), for which nobody waits.
void ChildProcess::kill_and_reap() noexcept {
  watch_.reset();
  Kernel& kernel = loop().kernel();
  const IoResult killed = kernel.signal_process(process_.get(), SIGKILL);
  int status = 0;
  if (kernel.reap(process_.get(), killed.error != EPERM, status).ok()) returncode_ = status;
  process_.reset();
}

/// The parent's ends of the pipes.
std::array<Socket, 3> ChildProcess::spawn(const ChildStart& start) {
  Kernel& kernel = loop().kernel();
  const SubprocessOptions& options = start.options;
  const Stdio streams[3] = {options.in, options.out, options.err};
  std::array<Socket, 3> ours;
  std::array<Socket, 3> theirs;
  SpawnRequest request;
  for (std::size_t i = 0; i < 3; ++i) {
    request.streams[i] = child_stream(streams[i]);
    if (streams[i].kind != Stdio::Kind::pipe) continue;
    int read_end = -1;
    int write_end = -1;
    require(kernel.pipe(read_end, write_end), "pipe");
    ours[i] = Socket(kernel, i == 0 ? write_end : read_end);
    theirs[i] = Socket(kernel, i == 0 ? read_end : write_end);
    require(kernel.set_blocking(theirs[i].get()), "fcntl");
    request.streams[i] = theirs[i].get();
  }
  request.program = options.executable.empty() ? start.arguments[0] : options.executable;
  request.arguments = start.arguments;
  request.environment = options.environment ? &*options.environment : nullptr;
  request.directory = options.directory;
  request.passed = options.pass_fds;
  request.new_session = options.new_session;
  request.process_group = options.process_group.value_or(-1);
  const IoResult spawned = kernel.spawn(request, pid_);
  if (!spawned.ok()) {
    throw std::system_error(spawned.code(), "cannot start " + request.program);
  }
  process_ = Socket(kernel, spawned.fd());
  return ours;
}

void ChildProcess::connect_pipes(std::array<Socket, 3> ends) {
  for (std::size_t i = 0; i < 3; ++i) {
    if (!ends[i]) continue;
    StreamStart pipe;
    pipe.ends = pipe_ends(loop().kernel(), ends[i].get(), i != 0);
    pipe.socket = std::move(ends[i]);
    pipe.protocol = std::make_shared<Pipe>(shared_from_this(), static_cast<int>(i));
    pipes_[i] = StreamTransport::start(loop(), std::move(pipe));
    ++open_pipes_;
  }
}

void ChildProcess::make_connection(Function<void()> made) {
  if (finished_) return;
  made_ = true;
  call("connection_made", [this](SubprocessProtocol& p) { p.connection_made(shared_from_this()); });
  for (Function<void()>& callback : std::exchange(too_early_, {})) callback();
  if (made) loop().run_callback(made);
  for (const auto& pipe : pipes_) {
    if (pipe) pipe->resume_reading();
  }
}

/// An exception is the handler's; a LoopExit leaves through the next ready callback.
template <class Callback>
void ChildProcess::call(const char* name, Callback&& callback) {
  const auto protocol = protocol_;  // which may be replaced by its own callback
  if (!protocol) return;
  try {
    callback(*protocol);
  } catch (const LoopExit& exit) {
    loop().exit_soon(exit);
  } catch (...) {
    ExceptionContext context;
    context.message =
        report_text([name] { return std::string("SubprocessProtocol.") + name + "() failed"; });
    context.exception = std::current_exception();
    try {
      loop().call_exception_handler(context);
    } catch (const LoopExit& exit) {
      loop().exit_soon(exit);
    }
  }
}

void ChildProcess::pipe_lost(int fd, std::error_code error) {
  if (!made_) {
    too_early_.push_back([this, fd, error] { pipe_lost(fd, error); });
    return;
  }
  --open_pipes_;
  call("pipe_connection_lost", [&](SubprocessProtocol& p) { p.pipe_connection_lost(fd, error); });
  finish_if_ended();
}

/// The child has ended.
void ChildProcess::on_readable(FdWatch::ReadEvent) {
  int status = 0;
  const IoResult reaped = loop().kernel().reap(process_.get(), false, status);
  if (reaped.would_block()) return watch_->arm(Direction::read, FdWatch::Arm::if_ready);
  if (!reaped.ok()) {
    loop().log(LogLevel::warning, report_text([this] {
                 return "the exit status of process " + std::to_string(pid_) +
                        " is not known: somebody else has taken it";
               }));
    status = kUnknownStatus;
  }
  watch_.reset();
  process_.reset();
  exited(status);
}

void ChildProcess::exited(int status) {
  returncode_ = status;
  const auto tell = [this] {
    call("process_exited", [](SubprocessProtocol& p) { p.process_exited(); });
    finish_if_ended();
  };
  if (made_) {
    tell();
  } else {
    too_early_.push_back(tell);
  }
}

/// connection_lost, from the loop, when all pipes and the process have ended.
void ChildProcess::finish_if_ended() {
  if (finishing_ || !returncode_ || open_pipes_ > 0) return;
  finishing_ = true;
  call_without_fail([child = self_] { child->finish({}); });
}

void ChildProcess::on_overdue() {
  if (finishing_) finish({});
}

void ChildProcess::finish(std::error_code error) {
  if (finished_) return;
  const auto alive = shared_from_this();
  finishing_ = true;
  if (made_) call("connection_lost", [&](SubprocessProtocol& p) { p.connection_lost(error); });
  finished_ = true;
  closing_ = true;
  too_early_.clear();
  leave_loop();
  protocol_.reset();
  self_.reset();
}

void ChildProcess::on_loop_close() {
  const auto alive = shared_from_this();
  if (!closing_ && loop().debug()) {
    loop().log(LogLevel::warning, "unclosed process " + std::to_string(pid_));
  }
  if (process_) kill_and_reap();
  finish(closing_ ? std::error_code() : make_error_code(errc::loop_closed));
}

// -- what may be asked of it

std::shared_ptr<Transport> ChildProcess::get_pipe_transport(int fd) const {
  return fd >= 0 && fd < 3 ? pipes_[static_cast<std::size_t>(fd)] : nullptr;
}

void ChildProcess::send_signal(int signal_number) {
  if (finished_) throw IoError({system_error_code(ESRCH), "kill", {}});
  if (!process_) return;
  const IoResult sent = loop().kernel().signal_process(process_.get(), signal_number);
  if (!sent.ok() && sent.error != ESRCH) throw IoError({sent.code(), "kill", {}});
}

void ChildProcess::terminate() {
  send_signal(SIGTERM);
}

void ChildProcess::kill() {
  send_signal(SIGKILL);
}

void ChildProcess::close() {
  if (closing_) return;
  closing_ = true;
  for (const auto& pipe : pipes_) {
    if (pipe) pipe->close();
  }
  if (process_) loop().kernel().signal_process(process_.get(), SIGKILL);
}

void ChildProcess::set_protocol(std::shared_ptr<SubprocessProtocol> protocol) {
  if (!protocol) throw std::invalid_argument("the protocol is null");
  if (!finished_) protocol_ = std::move(protocol);
}

// -- starting one

namespace {

class ProcessOpening final : public Opening<Subprocess<>> {
 public:
  ProcessOpening(EventLoop& loop, ChildStart start) : Opening(loop), start_(std::move(start)) {}

 private:
  void start() override {
    attempt([this] {
      start_.made = when_made();
      const auto child = ChildProcess::start(loop(), std::move(start_));
      if (!under_way()) return child->close();  // cancelled by the factory
      pair_ = {child, child->get_protocol()};
    });
  }

  ChildStart start_;
};

}  // namespace

Future<Subprocess<>> subprocess_exec(EventLoop& loop, SubprocessProtocolFactory factory,
                                     std::vector<std::string> arguments,
                                     SubprocessOptions options) {
  if (!factory) throw std::invalid_argument("subprocess_exec: the protocol factory is empty");
  if (arguments.empty()) throw std::invalid_argument("subprocess_exec: no program");
  if (options.in.kind == Stdio::Kind::as_output || options.out.kind == Stdio::Kind::as_output) {
    throw std::invalid_argument("subprocess_exec: only standard error can go to standard output");
  }
  for (Stdio* stream : {&options.in, &options.out, &options.err}) {
    if (stream->kind == Stdio::Kind::descriptor && stream->fd < 0) {
      throw std::invalid_argument("subprocess_exec: a negative descriptor");
    }
    if (stream->kind == Stdio::Kind::unset) *stream = Stdio::pipe();
  }
  return std::make_shared<ProcessOpening>(
             loop, ChildStart{std::move(factory), std::move(arguments), std::move(options), {}})
      ->begin();
}

Future<Subprocess<>> subprocess_shell(EventLoop& loop, SubprocessProtocolFactory factory,
                                      std::string command, SubprocessOptions options) {
  return subprocess_exec(loop, std::move(factory), {"/bin/sh", "-c", std::move(command)},
                         std::move(options));
}

}  // namespace ferry
