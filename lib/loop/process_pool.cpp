#include <ferry/process_pool.h>

#include "process_pool_state.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <thread>
#include <utility>

namespace ferry {

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
  try {
    queue.push_back(call);
  } catch (...) {
    detach_if_idle();
    throw;
  }
  ProcessPool::request_of(*call) = std::move(request);
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
      std::exchange(worker.call, nullptr)->fail(error_of([error] {
        return std::system_error(error, "ProcessPool: watch");
      }));
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
  cancel_waiting(message);
  for (const auto& worker : workers) {
    if (const CallPtr call = std::move(worker->call)) call->cancel(message);
  }
}

// One by one: to take the whole queue away would need memory, since an empty one does.

void ProcessPool::State::cancel_waiting(std::string_view message) {
  while (!queue.empty()) {
    const CallPtr call = std::move(queue.front());
    queue.pop_front();
    call->cancel(message);
  }
}

void ProcessPool::State::fail_waiting(const std::exception_ptr& error) {
  while (!queue.empty()) {
    const CallPtr call = std::move(queue.front());
    queue.pop_front();
    call->fail(error);
  }
}

void ProcessPool::State::fail_all(const std::exception_ptr& error) {
  fail_waiting(error);
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

// -- the end

void ProcessPool::State::shut_down(EventLoop& loop, const Future<void>& done, bool cancel_futures) {
  if (server) {
    shutdowns.reserve(shutdowns.size() + 1);
    attach(loop);  // before anything has changed: it may throw
    shutdowns.push_back(done);
  }
  closed = true;
  if (cancel_futures) cancel_waiting("the process pool is shut down");
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
