#include <ferry/process_pool.h>

#include "bsd_fork_server.h"
#include "worker_link.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <limits>
#include <thread>
#include <utility>
#include <vector>

namespace ferry {

namespace {

using CallPtr = std::shared_ptr<ProcessCallBase>;

std::string how_it_ended(int pid, int status) {
  std::string text = "the worker process ";
  text += std::to_string(pid);
  if (status < 0) {
    text += " was killed by signal ";
    text += std::to_string(-status);
    if (const char* name = ::strsignal(-status)) {
      text += " (";
      text += name;
      text += ")";
    }
  } else {
    text += " exited with code ";
    text += std::to_string(status);
  }
  text += " during the call";
  return text;
}

std::exception_ptr remote_error(BytesView answer) {
  try {
    ValueReader in(answer);
    const auto what = read_value<std::string>(in);
    return std::make_exception_ptr(RemoteError(what, read_value<std::string>(in)));
  } catch (...) {
    return std::current_exception();
  }
}

}  // namespace

struct ProcessPool::State final : private WorkerLink::Owner, private FdWatch::Listener {
  struct Worker {
    Worker(Owner& owner, int pid, Fd socket, std::size_t limit)
        : link(owner, pid, std::move(socket), limit) {}
    WorkerLink link;
    CallPtr call;  // null also if its answer is not wanted any more
  };
  /// On the loop as long as calls are under way.
  class Attachment final : public LoopResource {
   public:
    Attachment(State& state, EventLoop& loop)
        : LoopResource(loop, Kind::operation),
          again(loop, [this] { state_.flush_requests(); }),
          state_(state) {}
    FdWatchPtr watch;
    Timer again;  // for requests that could not be sent

   private:
    void on_loop_close() override { state_.leave_closing_loop(); }
    State& state_;  // which owns this
  };
  static constexpr Duration kAgain = std::chrono::milliseconds(10);

  explicit State(Options wanted)
      : options(std::move(wanted)),
        server(std::make_unique<ForkServer>(options.workers, options.message_limit,
                                            options.allow_threads)),
        expected(options.workers) {}
  ~State();

  void submit(CallPtr call, std::string request);
  void drop(ProcessCallBase& call) noexcept;
  void shut_down(EventLoop& loop, const Future<void>& done, bool cancel_futures);
  void cancel_all(std::string_view message);

  Options options;
  std::unique_ptr<ForkServer> server;  // null once it has ended
  std::vector<std::unique_ptr<Worker>> workers;
  std::size_t expected = 0;  // workers that the server has been asked for
  bool closed = false;

 private:
  void attach(EventLoop& loop);
  void detach() noexcept;
  void detach_if_idle();
  void leave_closing_loop();
  /// Calls whose results are wanted.
  bool calls_under_way() const noexcept;
  /// Nothing waits and nothing runs, wanted or not.
  bool all_run() const noexcept;
  void dispatch();
  /// As many workers as there are calls for, up to the limit.
  void make_missing_workers();
  void ask(ForkRequest request);
  void flush_requests();
  void finish_shutdown();

  void on_readable(FdWatch::ReadEvent) override;
  void on_writable() override { flush_requests(); }
  void on_report(const ForkReport& report, std::vector<Fd>& sockets);
  void worker_ended(int pid, int status);
  void no_worker(int error);
  void server_gone();
  void fail_all(const std::exception_ptr& error);

  void on_answer(WorkerLink& link, AnswerHeader::Kind kind, BytesView answer) override;
  void on_broken(WorkerLink& link) override;
  Worker& worker_of(const WorkerLink& link);
  Kernel& kernel() const noexcept { return attachment->loop().kernel(); }

  std::deque<CallPtr> queue;
  Worker* leaving = nullptr;       // the one that has ended and is not among `workers` any more
  std::deque<ForkRequest> outbox;  // that the control socket had no room for
  std::unique_ptr<Attachment> attachment;
  std::vector<Future<void>> shutdowns;  // who waits for the end
  bool ending = false;                  // the server has been told
};

ProcessPool::State::~State() {
  detach();
  workers.clear();
  server.reset();
  for (const Future<void>& done : std::exchange(shutdowns, {})) done.try_set_result();
}

// -- calls come and go

void ProcessPool::State::submit(CallPtr call, std::string request) {
  if (closed) throw std::logic_error("ProcessPool::run: the pool is shut down");
  if (!server) throw BrokenWorkerError("ProcessPool::run: the fork server has ended");
  if (request.size() > options.message_limit + sizeof(CallHeader)) {
    throw std::length_error("ProcessPool::run: the arguments have " +
                            std::to_string(request.size() - sizeof(CallHeader)) +
                            " bytes, and message_limit is " +
                            std::to_string(options.message_limit));
  }
  if (queue.size() >= options.queued) {
    throw std::length_error("ProcessPool::run: " + std::to_string(queue.size()) +
                            " calls wait already");
  }
  attach(call->loop());
  ProcessPool::request_of(*call) = std::move(request);
  queue.push_back(std::move(call));
  dispatch();
  make_missing_workers();
  detach_if_idle();  // the worker could not be watched: the call has failed
}

void ProcessPool::State::drop(ProcessCallBase& call) noexcept {
  // The last reference to it may be one of these.
  CallPtr last;
  for (auto waiting = queue.begin(); waiting != queue.end(); ++waiting) {
    if (waiting->get() != &call) continue;
    last = std::move(*waiting);
    queue.erase(waiting);
    break;
  }
  for (const auto& worker : workers) {
    if (worker->call.get() == &call) last = std::move(worker->call);
  }
  detach_if_idle();
}

void ProcessPool::State::dispatch() {
  for (std::size_t i = 0; i < workers.size() && !queue.empty();) {
    Worker& worker = *workers[i];
    if (!worker.link.idle()) {
      ++i;
      continue;
    }
    worker.call = std::move(queue.front());
    queue.pop_front();
    if (const std::error_code error = worker.link.attach(attachment->loop())) {
      std::exchange(worker.call, nullptr)
          ->fail(std::make_exception_ptr(std::system_error(error, "ProcessPool: watch")));
      continue;  // no event would bring the next call to an idle worker
    }
    worker.link.give(std::move(ProcessPool::request_of(*worker.call)));
  }
}

void ProcessPool::State::make_missing_workers() {
  if (closed && queue.empty()) return;
  while (expected < queue.size() && workers.size() + expected < options.workers) {
    ++expected;
    ask({ForkRequest::What::make_worker, 0});
  }
}

bool ProcessPool::State::calls_under_way() const noexcept {
  if (!queue.empty()) return true;
  for (const auto& worker : workers) {
    if (worker->call) return true;
  }
  return false;
}

bool ProcessPool::State::all_run() const noexcept {
  const auto busy = [](const auto& worker) { return worker->link.busy(); };
  return queue.empty() && std::none_of(workers.begin(), workers.end(), busy);
}

void ProcessPool::State::cancel_all(std::string_view message) {
  for (const CallPtr& call : std::exchange(queue, {})) call->cancel(message);
  for (const auto& worker : workers) {
    if (const CallPtr call = std::move(worker->call)) call->cancel(message);
  }
}

void ProcessPool::State::fail_all(const std::exception_ptr& error) {
  for (const CallPtr& call : std::exchange(queue, {})) call->fail(error);
  for (const auto& worker : workers) {
    if (const CallPtr call = std::move(worker->call)) call->fail(error);
  }
}

// -- the loop

void ProcessPool::State::attach(EventLoop& loop) {
  if (attachment) {
    if (&attachment->loop() == &loop) return;
    throw std::logic_error("ProcessPool: calls of another event loop are under way");
  }
  const IoResult able = loop.kernel().signal_process(server->pidfd(), 0);
  if (able.error == EOPNOTSUPP) {
    throw std::system_error(able.code(), "ProcessPool: this kernel has no processes");
  }
  auto made = std::make_unique<Attachment>(*this, loop);
  std::error_code error;
  made->watch = loop.kernel().watch(server->control(), *this, error);
  if (error) throw std::system_error(error, "ProcessPool: watch");
  attachment = std::move(made);
  for (const auto& worker : workers) {
    if (!worker->link.busy()) continue;  // those that are idle are watched from their next call on
    if (error = worker->link.attach(loop); error) {
      detach();
      throw std::system_error(error, "ProcessPool: watch");
    }
  }
  attachment->watch->arm(Direction::read, FdWatch::Arm::if_ready);
  flush_requests();
}

void ProcessPool::State::detach() noexcept {
  for (const auto& worker : workers) worker->link.detach();
  attachment.reset();
}

void ProcessPool::State::detach_if_idle() {
  if (attachment && shutdowns.empty() && !calls_under_way()) detach();
}

void ProcessPool::State::leave_closing_loop() {
  shutdowns.clear();
  queue.clear();
  for (const auto& worker : workers) worker->call.reset();
  detach();
}

// -- the fork server

void ProcessPool::State::ask(ForkRequest request) {
  outbox.push_back(request);
  flush_requests();
}

void ProcessPool::State::flush_requests() {
  while (!outbox.empty() && attachment && server && !ending) {
    const IoResult sent =
        kernel().send(server->control(),
                      {reinterpret_cast<const std::byte*>(&outbox.front()), sizeof outbox.front()});
    if (sent.would_block()) {
      return attachment->watch->arm(Direction::write, FdWatch::Arm::after_would_block);
    }
    // Without memory, say. If the server has ended reading says so, and there is no next time.
    if (!sent.ok()) return attachment->again.set(kAgain);
    outbox.pop_front();
  }
}

void ProcessPool::State::on_readable(FdWatch::ReadEvent) {
  while (attachment && server) {
    ForkReport report;
    std::vector<Fd> sockets;
    const IoResult received = kernel().recv_descriptors(
        server->control(), {reinterpret_cast<std::byte*>(&report), sizeof report}, sockets);
    if (received.would_block()) {
      attachment->watch->arm(Direction::read, FdWatch::Arm::after_would_block);
      break;
    }
    if (received.error == EMSGSIZE) {  // a worker came, but this process has no descriptor for it
      no_worker(EMFILE);
    } else if (!received.ok() || received.count() != sizeof report) {
      server_gone();
    } else {
      on_report(report, sockets);
    }
  }
  if (attachment && closed) finish_shutdown();
  detach_if_idle();
}

void ProcessPool::State::on_report(const ForkReport& report, std::vector<Fd>& sockets) {
  switch (report.what) {
    case ForkReport::What::worker: {
      if (sockets.empty()) return no_worker(EMFILE);
      Fd socket = std::move(sockets.front());
      const IoResult adopted = kernel().adopt(socket.get());
      if (!adopted.ok()) return no_worker(adopted.error);
      auto worker = std::make_unique<Worker>(static_cast<Owner&>(*this), report.pid,
                                             std::move(socket), options.message_limit);
      if (expected > 0) --expected;
      workers.push_back(std::move(worker));
      return dispatch();
    }
    case ForkReport::What::failed:
      return no_worker(report.value);
    case ForkReport::What::ended:
      return worker_ended(report.pid, report.value);
  }
}

void ProcessPool::State::no_worker(int error) {
  if (expected > 0) --expected;
  if (expected > 0 || !workers.empty()) return;
  // Nobody is left to run them.
  const auto failure = std::make_exception_ptr(
      std::system_error(error, std::system_category(), "ProcessPool: no worker could be forked"));
  for (const CallPtr& call : std::exchange(queue, {})) call->fail(failure);
}

void ProcessPool::State::worker_ended(int pid, int status) {
  for (std::size_t i = 0; i < workers.size(); ++i) {
    if (workers[i]->link.pid() != pid) continue;
    // It may have answered before.
    const std::unique_ptr<Worker> ended = std::move(workers[i]);
    workers[i] = std::move(workers.back());
    workers.pop_back();
    leaving = ended.get();
    ended->link.drain();
    leaving = nullptr;
    const bool in_a_call = ended->link.busy();
    if (const CallPtr call = std::move(ended->call)) {
      call->fail(std::make_exception_ptr(BrokenWorkerError(how_it_ended(pid, status), status)));
    }
    if (in_a_call && !closed && workers.size() + expected < options.workers) {
      ++expected;
      ask({ForkRequest::What::make_worker, 0});
    }
    dispatch();
    return make_missing_workers();
  }
}

void ProcessPool::State::server_gone() {
  const bool told = ending;
  if (!told) {
    fail_all(std::make_exception_ptr(BrokenWorkerError(
        "the fork server of the ProcessPool has ended, and its workers with it")));
  }
  expected = 0;
  outbox.clear();
  attachment->watch.reset();
  workers.clear();
  server.reset();  // it is ending: not waited for long
  for (const Future<void>& done : std::exchange(shutdowns, {})) done.try_set_result();
}

// -- the workers

ProcessPool::State::Worker& ProcessPool::State::worker_of(const WorkerLink& link) {
  if (leaving && &leaving->link == &link) return *leaving;
  for (const auto& worker : workers) {
    if (&worker->link == &link) return *worker;
  }
  std::abort();  // a link lives in its worker
}

void ProcessPool::State::on_answer(WorkerLink& link, AnswerHeader::Kind kind, BytesView answer) {
  if (const CallPtr call = std::move(worker_of(link).call)) {
    if (kind == AnswerHeader::Kind::value) {
      call->answer(answer);
    } else {
      call->fail(remote_error(answer));
    }
  }
  dispatch();
  if (closed) finish_shutdown();
  detach_if_idle();
}

void ProcessPool::State::on_broken(WorkerLink& link) {
  Worker& worker = worker_of(link);
  // What becomes of a call that has begun is known when the server says how the worker ended.
  if (worker.call && link.take_back(ProcessPool::request_of(*worker.call))) {
    queue.push_front(std::move(worker.call));
  }
  ask({ForkRequest::What::kill_worker, link.pid()});
}

// -- the end

void ProcessPool::State::shut_down(EventLoop& loop, const Future<void>& done, bool cancel_futures) {
  if (server) {
    attach(loop);  // before anything has changed: it may throw
    shutdowns.push_back(done);
  }
  closed = true;
  if (cancel_futures) {
    for (const CallPtr& call : std::exchange(queue, {})) {
      call->cancel("the process pool is shut down");
    }
  }
  if (!server) return done.set_result();
  finish_shutdown();
}

/// Once nothing runs any more tells the server; its end of the control socket closes when it and
/// all workers have ended.
void ProcessPool::State::finish_shutdown() {
  if (ending || shutdowns.empty() || !all_run()) return;
  ending = true;
  constexpr int kWrite = 1;  // SHUT_WR
  if (kernel().shutdown(server->control(), kWrite).ok()) return;
  // It would not end by itself. The workers, which are idle, die with it.
  constexpr int kKill = 9;  // SIGKILL
  kernel().signal_process(server->pidfd(), kKill);
}

ProcessPool::ProcessPool(Options options) {
  if (options.workers > kMaxWorkers) {
    throw std::invalid_argument("ProcessPool: more than 512 workers");
  }
  if (options.workers == 0) {
    options.workers =
        std::min<std::size_t>(std::max(1U, std::thread::hardware_concurrency()), kMaxWorkers);
  }
  // So that sizes can be added to it.
  options.message_limit =
      std::min(options.message_limit, std::numeric_limits<std::size_t>::max() / 2);
  state_ = std::make_unique<State>(std::move(options));
}

ProcessPool::~ProcessPool() {
  state_->closed = true;
  state_->cancel_all("the process pool is gone");
}

ValueWriter ProcessPool::begin_request(ProcessCallBase::Stub stub, void (*function)()) {
  CallHeader header;
  header.stub = reinterpret_cast<std::uintptr_t>(stub);
  header.function = reinterpret_cast<std::uintptr_t>(function);
  ValueWriter request;
  write_value(request, header);
  return request;
}

void ProcessPool::submit(std::shared_ptr<ProcessCallBase> call, ValueWriter request) {
  std::string bytes = request.take();
  CallHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  header.size = bytes.size() - sizeof header;
  std::memcpy(bytes.data(), &header, sizeof header);
  state_->submit(std::move(call), std::move(bytes));
}

void ProcessPool::drop(State& state, ProcessCallBase& call) noexcept {
  state.drop(call);
}

Future<void> ProcessPool::shutdown(EventLoop& loop, bool cancel_futures) {
  Future<void> done(loop);
  state_->shut_down(loop, done, cancel_futures);
  return done;
}

std::size_t ProcessPool::workers() const noexcept {
  return state_->workers.size() + state_->expected;
}

}  // namespace ferry
