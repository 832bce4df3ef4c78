// The fork server and the workers, as the program sees them.
#include "process_pool_state.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace ferry {

namespace {

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
    outbox.erase(outbox.begin());
  }
}

void ProcessPool::State::try_again() {
  flush_requests();
  if (attachment && attachment->watch) {
    attachment->watch->arm(Direction::read, FdWatch::Arm::if_ready);
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
    if (received.error == ENOMEM) {
      attachment->again.set(kAgain);
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
      // If there is no memory for it, it ends with its socket.
      std::unique_ptr<Worker> worker(new (std::nothrow) Worker(
          static_cast<Owner&>(*this), report.pid, std::move(socket), options.message_limit));
      if (!worker) return no_worker(ENOMEM);
      if (expected > 0) --expected;
      workers.push_back(std::move(worker));  // there is room
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
  fail_waiting(error_of([error] {
    return std::system_error(error, std::system_category(),
                             "ProcessPool: no worker could be forked");
  }));
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
      call->fail(
          error_of([pid, status] { return BrokenWorkerError(how_it_ended(pid, status), status); }));
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
    fail_all(error_of([] {
      return BrokenWorkerError(
          "the fork server of the ProcessPool has ended, and its workers with it");
    }));
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
    try {
      queue.push_front(worker.call);
      worker.call.reset();
    } catch (const std::bad_alloc&) {
      std::exchange(worker.call, nullptr)->fail(std::current_exception());
    }
  }
  ask({ForkRequest::What::kill_worker, link.pid()});
}

}  // namespace ferry
