#pragma once

#include <ferry/event_loop.h>
#include <ferry/typed_pair.h>

#include <exception>
#include <memory>
#include <utility>

namespace ferry {

/// What create_connection, create_datagram_endpoint, connect_read_pipe, subprocess_exec and their
/// kin have in common: an operation of the loop, from the call until its future is done. It owns
/// itself that long. `Pair` is what the future gives: a transport and its protocol.
template <class Pair>
class Opening : public std::enable_shared_from_this<Opening<Pair>>, protected LoopResource {
 public:
  /// Once. What can fail, and the factory, follow from the loop.
  Future<Pair> begin() {
    if (!look_up()) {
      loop().call_soon(
          guarded([](Opening& opening) { opening.attempt([&opening] { opening.start(); }); }));
    }
    self_ = this->shared_from_this();
    result_.set_cancel_hook(guarded([](Opening& opening) { opening.give_up(); }));
    return result_;
  }

 protected:
  explicit Opening(EventLoop& loop) : LoopResource(loop, Kind::operation), result_(loop) {}

  /// Begins to look names up: then true, and `start` is not called.
  virtual bool look_up() { return false; }
  /// The beginning, from the loop. What it throws ends this.
  virtual void start() = 0;
  /// Drops what is under way but `pair_`.
  virtual void let_go() {}

  bool under_way() const noexcept { return self_ != nullptr; }
  /// A callback that does `what(*this)` if this is still under way; it does not keep this alive.
  template <class What>
  auto guarded(What what) {
    return [weak = this->weak_from_this(), what] {
      const auto opening = weak.lock();
      if (opening && opening->under_way()) what(*opening);
    };
  }
  /// For the transport to be: to be called once connection_made has returned or thrown.
  auto when_made() {
    return guarded([](Opening& opening) { opening.made(); });
  }

  /// Runs `step`; an exception out of it ends this, and a LoopExit is passed on.
  template <class Step>
  void attempt(Step&& step) {
    const auto alive = this->shared_from_this();
    try {
      step();
    } catch (const LoopExit&) {
      fail(std::current_exception());
      throw;
    } catch (...) {
      fail(std::current_exception());
    }
  }

  /// All is there: the future is done.
  void made() {
    const auto alive = this->shared_from_this();
    release();
    result_.try_set_result(std::move(pair_));
  }
  void fail(std::exception_ptr error) {
    const auto alive = this->shared_from_this();
    release();
    if (!result_.done()) result_.set_exception(std::move(error));
  }
  /// Ends the transport too, if there is one. Without an error: the future is cancelled.
  void give_up(std::exception_ptr error = nullptr) {
    const auto alive = this->shared_from_this();
    Pair unwanted = std::exchange(pair_, {});
    release();
    if (error && !result_.done()) result_.set_exception(std::move(error));
    if (unwanted.transport) detail::give_up(unwanted);
  }

  Pair pair_;  // as far as it exists

 private:
  void on_loop_close() override { release(); }
  void release() {
    leave_loop();
    let_go();
    self_.reset();
  }

  Future<Pair> result_;
  std::shared_ptr<Opening> self_;  // until done
};

}  // namespace ferry
