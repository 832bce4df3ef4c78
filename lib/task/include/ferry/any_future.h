#pragma once

#include <ferry/future.h>
#include <ferry/task.h>

#include <exception>
#include <utility>
#include <vector>

namespace ferry {

/// A handle to a future of whatever type: for `wait` and others that do not look at values.
class AnyFuture {
 public:
  AnyFuture() noexcept = default;
  template <class T>
  AnyFuture(const Future<T>& future) noexcept : AnyFuture(future.state()) {}
  explicit AnyFuture(FutureState* state) noexcept : state_(state) {
    if (state_) state_->retain();
  }
  AnyFuture(const AnyFuture& other) noexcept : AnyFuture(other.state_) {}
  AnyFuture(AnyFuture&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  AnyFuture& operator=(AnyFuture other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~AnyFuture() {
    if (state_) state_->release();
  }

  bool valid() const noexcept { return state_ != nullptr; }
  bool done() const noexcept { return state_->done(); }
  bool cancelled() const noexcept { return state_->status() == FutureState::Status::cancelled; }
  bool cancel(std::string_view message = {}) const { return state_->cancel(message); }
  /// Null while pending and if there is a value; a CancelledError if cancelled.
  std::exception_ptr failure() const { return state_->failure(); }
  FutureState* state() const noexcept { return state_; }

  friend bool operator==(const AnyFuture& a, const AnyFuture& b) noexcept {
    return a.state_ == b.state_;
  }

 private:
  FutureState* state_ = nullptr;
};

/// A future that waits for others itself, such as gather's. For call graphs.
class DependentFuture {
 public:
  /// Adds those that it still waits for.
  virtual void all_awaited(std::vector<FutureState*>& futures) const = 0;
  /// What it is: "gather".
  virtual std::string_view what() const noexcept = 0;

 protected:
  ~DependentFuture() = default;
};

}  // namespace ferry
