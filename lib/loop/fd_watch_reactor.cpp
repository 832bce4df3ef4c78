// Readiness straight from Asio's reactor service. With Asio's public API every read event costs one
// system call more than it must: async_wait re-arms by epoll_ctl(MOD), async_read_some first
// repeats a recv that fails. Here an operation of our own waits in the reactor's queue; after a
// read that emptied the socket it is simply queued again, and the next edge completes it.
//
// All use of asio::detail stands in this file. fd_watch_async_wait.cpp does the same by public means.

#include "asio_kernel.h"
#include "fd_watch_choice.h"

#if FERRY_WATCH_REACTOR

#include <asio/detail/epoll_reactor.hpp>
#include <asio/detail/reactor_op.hpp>

#include <sys/epoll.h>

namespace ferry {

namespace {

using Reactor = asio::detail::epoll_reactor;
using DescriptorState = Reactor::descriptor_state;

// Asio does not ask epoll for EPOLLRDHUP, without which data and a FIN that arrive together are one
// edge and look like data alone. So the registration is amended, which takes two private
// members: an explicit instantiation may name them ([temp.spec]/6).
template <auto EpollFd, auto RegisteredEvents>
struct Expose {
  friend int epoll_descriptor(Reactor& reactor) { return reactor.*EpollFd; }
  friend std::uint32_t& registered_events(DescriptorState& state) { return state.*RegisteredEvents; }
};
int epoll_descriptor(Reactor& reactor);
std::uint32_t& registered_events(DescriptorState& state);
template struct Expose<&Reactor::epoll_fd_, &DescriptorState::registered_events_>;

/// The event bits of the last poll that reported this descriptor.
struct LastEvents : asio::detail::scheduler_operation {
  static std::uint32_t of(DescriptorState* state) {
    auto* operation = (asio::detail::scheduler_operation*)state;  // the base is private
    return operation->*(&LastEvents::task_result_);
  }
};

class ReactorWatch final : public FdWatch {
 public:
  ReactorWatch(asio::io_context& io, int fd, Listener& listener)
      : reactor_(asio::use_service<Reactor>(io)),
        fd_(fd),
        listener_(listener),
        read_(*this, &ReactorWatch::on_read),
        write_(*this, &ReactorWatch::on_write) {
    reactor_.init_task();
  }

  std::error_code start() {
    if (const int error = reactor_.register_descriptor(fd_, state_)) {
      return {error, std::system_category()};
    }
    std::uint32_t& events = registered_events(*state_);
    if (events == 0) return {EPERM, std::system_category()};  // a regular file
    events |= EPOLLRDHUP;
    epoll_event event{};
    event.events = events;
    event.data.ptr = state_;
    ::epoll_ctl(epoll_descriptor(reactor_), EPOLL_CTL_MOD, fd_, &event);
    // From now on an operation waits for reading: what is there already is the first edge.
    queue(read_, Arm::after_would_block);
    return {};
  }

  void arm(Direction direction, Arm how) override {
    Op& op = operation(direction);
    op.wanted = true;
    // An operation in the queue has waited since the descriptor was last found not ready (or was
    // registered), so it has missed nothing: there is nothing to ask epoll, whatever `how` says.
    if (!op.queued) queue(op, how);
  }

  void disarm(Direction direction) override { operation(direction).wanted = false; }

  void close() noexcept override {
    closed_ = true;
    if (state_) {
      // Posts queued operations, aborted. Not `closing`: the descriptor may live on in a copy.
      reactor_.deregister_descriptor(fd_, state_, false);
      reactor_.cleanup_descriptor_data(state_);
    }
    if (pending_ == 0) delete this;
  }

 private:
  struct Op final : asio::detail::reactor_op {
    using Completion = void (*)(void*, asio::detail::scheduler_operation*, const asio::error_code&,
                                std::size_t);
    Op(ReactorWatch& w, Completion completion)
        : reactor_op(asio::error_code(), &Op::perform, completion), watch(w) {}
    static status perform(reactor_op* op) {
      return static_cast<Op*>(op)->watch.arming_ ? not_done : done_and_exhausted;
    }
    ReactorWatch& watch;
    bool queued = false;  // in the reactor's or the scheduler's hands
    bool wanted = false;  // the listener is to be told
  };

  Op& operation(Direction direction) noexcept {
    return direction == Direction::read ? read_ : write_;
  }

  void queue(Op& op, Arm how) {
    op.queued = true;
    ++pending_;
    // While set, `perform` answers "not yet": what the reactor remembers of earlier edges is older
    // than what the caller has just seen. Without speculation the reactor asks epoll anew (MOD).
    arming_ = true;
    reactor_.start_op(&op == &read_ ? Reactor::read_op : Reactor::write_op, fd_, state_, &op, false,
                      how == Arm::after_would_block);
    arming_ = false;
  }

  /// The operation has come back. True if the listener is to be told; else `this` may be gone.
  bool returned(void* owner, Op& op) noexcept {
    op.queued = false;
    --pending_;
    const bool tell = owner && !closed_ && op.wanted;
    op.wanted = op.wanted && !tell;
    if (closed_ && pending_ == 0) delete this;
    return tell;
  }

  static void on_read(void* owner, asio::detail::scheduler_operation* base, const asio::error_code&,
                      std::size_t) {
    Op& op = *static_cast<Op*>(base);
    ReactorWatch& watch = op.watch;
    if (!watch.returned(owner, op)) return;
    constexpr std::uint32_t plain = EPOLLIN | EPOLLOUT;
    watch.listener_.on_readable({(LastEvents::of(watch.state_) & ~plain) != 0});
  }
  static void on_write(void* owner, asio::detail::scheduler_operation* base,
                       const asio::error_code&, std::size_t) {
    Op& op = *static_cast<Op*>(base);
    ReactorWatch& watch = op.watch;
    if (watch.returned(owner, op)) watch.listener_.on_writable();
  }

  Reactor& reactor_;
  DescriptorState* state_ = nullptr;
  int fd_;
  Listener& listener_;
  Op read_;
  Op write_;
  int pending_ = 0;
  bool arming_ = false;
  bool closed_ = false;
};

}  // namespace

FdWatchPtr make_fd_watch(asio::io_context& io, int fd, FdWatch::Listener& listener,
                         std::error_code& error) {
  FdWatchPtr watch(new ReactorWatch(io, fd, listener));
  error = static_cast<ReactorWatch&>(*watch).start();
  if (error) watch.reset();
  return watch;
}

}  // namespace ferry

#endif
