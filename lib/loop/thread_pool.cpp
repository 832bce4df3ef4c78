#include <ferry/executor.h>

#include "worker_thread.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace ferry {

namespace {

constexpr std::size_t kNameBytes = 15;

/// "prefix-12", shortened in the prefix.
std::string shown_name(const std::string& name) {
  if (name.size() <= kNameBytes) return name;
  std::size_t dash = name.rfind('-');
  if (dash == std::string::npos || name.size() - dash > kNameBytes) dash = name.size();
  const std::string number = name.substr(dash);
  return name.substr(0, kNameBytes - number.size()) + number;
}

void name_this_thread(const std::string& name) noexcept {
#if defined(__APPLE__)
  pthread_setname_np(name.c_str());
#else
  pthread_setname_np(pthread_self(), name.c_str());
#endif
}

/// Blocks signals while it lives; a thread inherits the mask of the one that starts it.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    // A blocked fault kills without its handler being called: crash reports would be lost.
    for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) {
      sigdelset(&all, fault);
    }
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

// The pool that owns this thread, to notice a pool that would wait for itself.
thread_local const void* pool_of_this_thread = nullptr;

std::size_t default_threads() {
  return std::min<std::size_t>(32, std::max(1U, std::thread::hardware_concurrency()) + 4);
}

}  // namespace

std::thread start_worker_thread(const std::string& name, Function<void()> body) {
  SignalsBlocked blocked;
  return std::thread([shown = shown_name(name), body = std::move(body)]() mutable noexcept {
    name_this_thread(shown);
    body();
  });
}

struct ThreadPool::State {
  Options options;
  std::mutex mutex;
  std::condition_variable work;   // a job, or the end
  std::condition_variable ended;  // the last thread, or the interest in it, is gone
  std::deque<Function<void()>> queue;
  std::vector<std::thread> threads;  // those nobody joins yet
  std::size_t started = 0;
  std::size_t running = 0;  // threads that have not ended
  std::size_t idle = 0;
  bool open = true;
  bool detached = false;  // nobody waits for what still runs

  static void work_until_end(const std::shared_ptr<State>& state) noexcept;
};

void ThreadPool::State::work_until_end(const std::shared_ptr<State>& state) noexcept {
  pool_of_this_thread = state.get();
  std::unique_lock lock(state->mutex);
  for (;;) {
    if (!state->queue.empty() && !state->detached) {
      Function<void()> job = std::move(state->queue.front());
      state->queue.pop_front();
      lock.unlock();
      job();
      job.reset();  // what it owns dies outside the lock
      lock.lock();
    } else if (state->open) {
      ++state->idle;
      state->work.wait(lock);
      --state->idle;
    } else {
      break;
    }
  }
  if (--state->running == 0) state->ended.notify_all();
}

ThreadPool::ThreadPool(Options options) : state_(std::make_shared<State>()) {
  state_->options = std::move(options);
  if (state_->options.threads == 0) state_->options.threads = default_threads();
}

ThreadPool::~ThreadPool() {
  if (pool_of_this_thread == state_.get()) {
    detach();
  } else {
    shutdown();
  }
}

void ThreadPool::submit(Function<void()> job) {
  if (!job) throw std::invalid_argument("ThreadPool::submit: an empty job");
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  if (!state.open) throw std::logic_error("ThreadPool::submit: the pool is shut down");
  if (state.queue.size() >= state.options.queued) {
    throw std::length_error("ThreadPool::submit: " + std::to_string(state.queue.size()) +
                            " jobs wait already");
  }
  state.queue.push_back(std::move(job));
  if (state.queue.size() > state.idle && state.running < state.options.threads) {
    try {
      state.threads.reserve(state.threads.size() + 1);
      state.threads.push_back(
          start_worker_thread(state.options.name + "-" + std::to_string(state.started),
                              [shared = state_] { State::work_until_end(shared); }));
      ++state.started;
      ++state.running;
    } catch (...) {
      // With fewer threads than wished for the job is only done later; with none, never.
      if (state.running == 0) {
        Function<void()> refused = std::move(state.queue.back());
        state.queue.pop_back();
        lock.unlock();
        throw;
      }
    }
  }
  lock.unlock();
  state.work.notify_one();
}

void ThreadPool::shutdown() {
  if (pool_of_this_thread == state_.get()) {
    throw std::logic_error("ThreadPool::shutdown: called on one of the pool's own threads");
  }
  std::vector<std::thread> threads;
  std::unique_lock lock(state_->mutex);
  state_->open = false;
  threads.swap(state_->threads);
  state_->work.notify_all();
  state_->ended.wait(lock, [this] { return state_->running == 0 || state_->detached; });
  const bool detached = state_->detached;
  lock.unlock();
  for (std::thread& thread : threads) {
    if (detached) {
      thread.detach();
    } else {
      thread.join();
    }
  }
}

void ThreadPool::detach() noexcept {
  const std::shared_ptr<State> state = state_;  // what a job owns may own this
  std::unique_lock lock(state->mutex);
  state->open = false;
  state->detached = true;
  for (std::thread& thread : state->threads) thread.detach();
  state->threads.clear();
  state->work.notify_all();
  state->ended.notify_all();
  // One by one, each outside the lock: to take the whole queue away would need memory, since an
  // empty one does.
  while (!state->queue.empty()) {
    Function<void()> dropped = std::move(state->queue.front());
    state->queue.pop_front();
    lock.unlock();
    dropped.reset();
    lock.lock();
  }
}

}  // namespace ferry
