#include "loop_state.h"

#include <pthread.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>

namespace ferry {

void renew_signal_pipe() noexcept;  // asio_impl.cpp

namespace {

std::atomic<unsigned> g_fork_generation{1};

std::string describe(std::exception_ptr exception) {
  if (!exception) return {};
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& e) {
    return e.what();
  } catch (const CancelledError& e) {
    return "cancelled" + (e.message().empty() ? "" : ": " + e.message());
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

std::string location(SourceLocation where) {
  return std::string(where.file_name()) + ":" + std::to_string(where.line());
}

}  // namespace

unsigned fork_generation() noexcept {
  static const int registered = pthread_atfork(nullptr, nullptr, [] {
    g_fork_generation.fetch_add(1);
    renew_signal_pipe();
  });
  static_cast<void>(registered);
  return g_fork_generation.load(std::memory_order_relaxed);
}

void fatal(LoopState* state, std::string_view message) noexcept {
  std::fprintf(stderr, "ferry: fatal: %.*s\n", static_cast<int>(message.size()), message.data());
  if (state && state->log_sink) state->log_sink(LogLevel::error, message);
  std::abort();
}

std::string ExceptionContext::to_string() const {
  std::string text = message;
  if (const std::string what = describe(exception); !what.empty()) text += ": " + what;
  if (error && !exception) text += ": " + error.message();  // else the exception has said it
  if (where.line() != 0) text += " (scheduled at " + location(where) + ")";
  if (!original.empty()) text += "; it was handling: " + original;
  return text;
}

void EventLoop::check_usable(const char* what) const {
  const LoopState& s = *state_;
  if (s.closed()) throw std::logic_error(std::string(what) + ": the event loop is closed");
  if (s.fork_generation != fork_generation()) {
    fatal(state_.get(), "an EventLoop was used in a forked child; make a new one there");
  }
  if (s.debug() && s.running && s.thread != std::this_thread::get_id()) {
    throw std::logic_error(
        std::string(what) +
        ": called from another thread than the loop's; use call_soon_threadsafe");
  }
}

void EventLoop::set_exception_handler(ExceptionHandler handler) {
  state_->exception_handler =
      handler ? std::make_shared<ExceptionHandler>(std::move(handler)) : nullptr;
}

bool EventLoop::has_exception_handler() const noexcept {
  return state_->exception_handler != nullptr;
}

void EventLoop::call_exception_handler(const ExceptionContext& context) {
  const auto handler = state_->exception_handler;
  if (!handler) return default_exception_handler(context);
  try {
    (*handler)(*this, context);
  } catch (const LoopExit&) {
    throw;
  } catch (...) {
    ExceptionContext failed;
    failed.message =
        report_text([] { return std::string("Unhandled error in exception handler"); });
    failed.exception = std::current_exception();
    failed.original = report_text([&] { return context.to_string(); });
    default_exception_handler(failed);
  }
}

void EventLoop::default_exception_handler(const ExceptionContext& context) {
  std::string text;
  try {
    text = context.to_string();
  } catch (const std::bad_alloc&) {
    return log(LogLevel::error, context.message);
  }
  log(LogLevel::error, text);
}

void EventLoop::callback_failed(const char* what, SourceLocation where) {
  ExceptionContext context;
  context.message = report_text([what] { return std::string(what); });
  context.exception = std::current_exception();
  context.where = where;
  call_exception_handler(context);
}

void EventLoop::run_timed(Function<void()>& callback, SourceLocation where) {
  if (!state_->debug()) return run_callback(callback, where);
  const TimePoint begin = time();
  state_->slow_reported = false;
  run_callback(callback, where);
  if (state_->slow_reported) return;
  const Duration taken = time() - begin;
  if (taken < state_->slow_callback) return;
  report_slow(std::string("the callback scheduled at ").append(location(where)), taken);
}

void EventLoop::report_slow(std::string_view what, Duration taken) {
  if (!state_->debug() || taken < state_->slow_callback) return;
  state_->slow_reported = true;
  log(LogLevel::warning, std::string(what) + " took " +
                             std::to_string(std::chrono::duration<double>(taken).count()) + " s");
}

void EventLoop::set_log_sink(LogSink sink) {
  state_->log_sink = std::move(sink);
}

void EventLoop::log(LogLevel level, std::string_view line) {
  if (!state_->log_sink) return;
  try {
    state_->log_sink(level, line);
  } catch (...) {
    // A log that fails has nobody to tell.
  }
}

void EventLoop::set_debug(bool on) noexcept {
  if (on) {
    state_->mailbox->attention |= MailboxState::debug;
  } else {
    state_->mailbox->attention &= ~unsigned{MailboxState::debug};
  }
}
bool EventLoop::debug() const noexcept {
  return state_->debug();
}
void EventLoop::set_slow_callback_duration(Duration limit) noexcept {
  state_->slow_callback = limit;
}
Duration EventLoop::slow_callback_duration() const noexcept {
  return state_->slow_callback;
}

}  // namespace ferry
