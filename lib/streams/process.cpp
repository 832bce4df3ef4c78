#include <ferry/process.h>

#include <ferry/await_future.h>
#include <ferry/gather.h>

#include <new>
#include <stdexcept>
#include <utility>

namespace ferry {

namespace {

/// Passes what happens to the child on to the streams.
class ProcessProtocol final : public SubprocessProtocol {
 public:
  explicit ProcessProtocol(Ref<ProcessState> state) : state_(std::move(state)) {}

  void connection_made(std::shared_ptr<SubprocessTransport> transport) override {
    state_->connect(std::move(transport));
  }
  void pipe_data_received(int fd, BytesView data) override { state_->feed(fd, data); }
  void pipe_connection_lost(int fd, std::error_code error) override {
    state_->lose_pipe(fd, error);
  }
  void process_exited() override { state_->exit(); }
  void pause_writing() override { state_->pause(); }
  void resume_writing() override { state_->resume(); }

 private:
  const Ref<ProcessState> state_;
};

std::size_t checked(std::size_t limit) {
  if (limit == 0) throw std::invalid_argument("create_subprocess: the limit must not be 0");
  return limit;
}

/// Throws what the input was lost by, unless the child did not care to read it.
void check_input(const WriteFlow& flow) {
  if (!flow.error()) return;
  try {
    std::rethrow_exception(flow.error());
  } catch (const IoError& error) {
    if (error.code() == std::errc::broken_pipe) return;
    if (error.code() == std::errc::connection_reset) return;
    throw;
  }
}

template <class Stream>
const Stream& piped(const std::optional<Stream>& stream, const char* name) {
  if (!stream) throw std::logic_error(std::string("Process: standard ") + name + " is no pipe");
  return *stream;
}

}  // namespace

// -- what the transport tells

ProcessState::ProcessState(std::size_t limit)
    : flow_(new WriteFlow),
      readers_{Ref<StreamReaderState>(new StreamReaderState(checked(limit))),
               Ref<StreamReaderState>(new StreamReaderState(limit))} {}

void ProcessState::connect(std::shared_ptr<SubprocessTransport> transport) {
  transport_ = std::move(transport);
  for (const int fd : {1, 2}) reader(fd)->set_transport(transport_->get_pipe_transport(fd));
  if (closed_) transport_->close();  // nobody waited for it
}

void ProcessState::feed(int fd, BytesView data) {
  try {
    reader(fd)->feed_data(data);
  } catch (const std::bad_alloc&) {
    // The child goes on, and what comes next would follow upon a gap.
    reader(fd)->set_exception(std::current_exception());
    throw;
  }
}

void ProcessState::lose_pipe(int fd, std::error_code error) {
  std::exception_ptr exception;
  try {
    if (error) {
      Error story = transport_->get_pipe_transport(fd)->error();
      if (story.code != error) story = {error, "pipe", {}};
      exception = std::make_exception_ptr(IoError(std::move(story)));
    }
  } catch (const std::bad_alloc&) {
    exception = std::current_exception();
  }
  if (fd == 0) return flow_->lose(std::move(exception));
  const Ref<StreamReaderState> from = reader(fd);
  from->set_transport(nullptr);
  if (exception) {
    from->set_exception(std::move(exception));
  } else {
    from->feed_eof();
  }
}

void ProcessState::close() {
  closed_ = true;
  if (!transport_ || transport_->is_closing()) return;
  EventLoop& loop = transport_->loop();
  if (loop.debug() && !returncode()) {
    loop.log(LogLevel::warning, "process " + std::to_string(transport_->get_pid()) +
                                    " was dropped while it ran, and is killed");
  }
  transport_->close();
}

// -- the process

void Process::Owner::open_streams() {
  const SubprocessTransport& transport = *state->transport();
  if (auto pipe = transport.get_pipe_transport(0)) {
    in.emplace(std::move(pipe), state->flow(), Ref<StreamReaderState>());
  }
  if (transport.get_pipe_transport(1)) out.emplace(state->reader(1));
  if (transport.get_pipe_transport(2)) err.emplace(state->reader(2));
}

Process::Process(Ref<ProcessState> state) : owner_(new Owner(std::move(state))) {}

const StreamWriter& Process::in() const {
  return piped(owner_->in, "input");
}

const StreamReader& Process::out() const {
  return piped(owner_->out, "output");
}

const StreamReader& Process::err() const {
  return piped(owner_->err, "error");
}

Coro<ProcessOutput> Process::communicate(std::string input) const {
  return communicate_with(owner_, std::move(input));
}

Coro<ProcessOutput> Process::communicate_with(Ref<Owner> owner, std::string input) {
  if (!input.empty()) piped(owner->in, "input").write(input);
  input = std::string();
  // What the kernel did not take is in the pipe's write buffer, and leaves while we read.
  if (owner->in) owner->in->close();
  if (owner->out && owner->err) {
    auto both = gather(read_all(owner, *owner->out, &ProcessOutput::out),
                       read_all(owner, *owner->err, &ProcessOutput::err));
    co_await both;
  } else if (owner->out) {
    co_await read_all(owner, *owner->out, &ProcessOutput::out);
  } else if (owner->err) {
    co_await read_all(owner, *owner->err, &ProcessOutput::err);
  }
  co_await Wait(owner->state);
  check_input(*owner->state->flow());
  co_return std::exchange(owner->output, {});
}

/// Into the owner's output: should the other reading be cancelled, this one was not in vain.
Coro<> Process::read_all(Ref<Owner> owner, StreamReader from, std::string ProcessOutput::*part) {
  std::string rest = co_await from.read();
  std::string& all = owner->output.*part;
  all = all.empty() ? std::move(rest) : all + rest;
}

// -- starting one

Coro<Process> create_subprocess_exec(std::vector<std::string> arguments, SubprocessOptions options,
                                     std::size_t limit) {
  for (Stdio* stream : {&options.in, &options.out, &options.err}) {
    if (stream->kind == Stdio::Kind::unset) *stream = Stdio::inherit();
  }
  const Ref<ProcessState> state(new ProcessState(limit));
  const Process process(state);  // kills the child if this is cancelled
  Future<Subprocess<>> starting = subprocess_exec(
      get_running_loop(),
      SubprocessProtocolFactory([state] { return std::make_shared<ProcessProtocol>(state); }),
      std::move(arguments), std::move(options));
  co_await starting;
  process.owner_->open_streams();
  co_return process;
}

Coro<Process> create_subprocess_shell(std::string command, SubprocessOptions options,
                                      std::size_t limit) {
  std::vector<std::string> arguments{"/bin/sh", "-c", std::move(command)};
  return create_subprocess_exec(std::move(arguments), std::move(options), limit);
}

}  // namespace ferry
