// Readiness straight from Asio's reactor service. With Asio's public API every read event costs one
// system call more than it must: async_wait re-arms by epoll_ctl(MOD), async_read_some first
// repeats a recv that fails. Here an operation of our own waits in the reactor's queue; after a
// read that emptied the socket it is simply queued again, and the next edge completes it.
//
// All of ferry's readiness by asio::detail is here. fd_watch_async_wait.cpp does the same by public
// means.

#include "asio_kernel.h"
#include "fd_watch_choice.h"

#if FERRY_WATCH_REACTOR

#include <asio/detail/epoll_reactor.hpp>
#include <asio/detail/reactor_op.hpp>

#include <sys/epoll.h>

#include <cerrno>
#include <memory>

namespace ferry {

namespace {

using Reactor = asio::detail::epoll_reactor;
using DescriptorState = Reactor::descriptor_state;

// Asio does not ask epoll for EPOLLRDHUP, without which data and a FIN that arrive together are one
// edge and look like data alone. So the registration is amended, which takes some private members:
// an explicit instantiation may name them ([temp.spec]/6).
template <auto EpollFd, auto RegisteredEvents, auto Owner, auto Descriptor>
struct Expose {
  friend int epoll_descriptor(Reactor& reactor) { return reactor.*EpollFd; }
  friend std::uint32_t& registered_events(DescriptorState& state) {
    return state.*RegisteredEvents;
  }
  friend Reactor& reactor_of(DescriptorState& state) { return *(state.*Owner); }
  friend int descriptor_of(DescriptorState& state) { return state.*Descriptor; }
};
int epoll_descriptor(Reactor& reactor);
std::uint32_t& registered_events(DescriptorState& state);
Reactor& reactor_of(DescriptorState& state);
int descriptor_of(DescriptorState& state);
template struct Expose<&Reactor::epoll_fd_, &DescriptorState::registered_events_,
                       &DescriptorState::reactor_, &DescriptorState::descriptor_>;

/// The event bits of the last poll that reported this descriptor.
struct LastEvents : asio::detail::scheduler_operation {
  static std::uint32_t of(DescriptorState* state) {
    auto* operation = (asio::detail::scheduler_operation*)state;  // the base is private
    return operation->*(&LastEvents::task_result_);
  }
};

class ReactorWatch;

/// What waits in the reactor's queue for one direction.
struct ReadyOp : asio::detail::reactor_op {
  using Completion = void (*)(void*, asio::detail::scheduler_operation*, const asio::error_code&,
                              std::size_t);
  explicit ReadyOp(Completion completion)
      : reactor_op(asio::error_code(), &ReadyOp::perform, completion) {}

  static status perform(reactor_op* op) {
    return static_cast<ReadyOp*>(op)->arming ? not_done : done_and_exhausted;
  }

  // While set, `perform` answers "not yet": what the reactor remembers of earlier edges is older
  // than what the caller of `arm` has just seen.
  bool arming = false;
  bool queued = false;  // in the reactor's or the scheduler's hands
  bool wanted = false;  // the listener is to be told
};

/// Small, because every connection has one: most never wait for writing, so that half is made when
/// it is first needed.
class ReactorWatch final : public FdWatch, private ReadyOp {
 public:
  explicit ReactorWatch(Listener& listener)
      : ReadyOp(&ReactorWatch::on_read), listener_(listener) {}

  std::error_code start(asio::io_context& io, int fd) {
    auto& reactor = asio::use_service<Reactor>(io);
    reactor.init_task();
    if (const int error = reactor.register_descriptor(fd, state_)) {
      // Asio believes that it is registered, and would end what is: another watch's registration.
      registered_events(*state_) = 0;
      return {error, std::system_category()};
    }
    std::uint32_t& events = registered_events(*state_);
    if (events == 0) return {EPERM, std::system_category()};  // a regular file
    events |= EPOLLRDHUP;
    epoll_event event{};
    event.events = events;
    event.data.ptr = state_;
    ::epoll_ctl(epoll_descriptor(reactor), EPOLL_CTL_MOD, fd, &event);
    // From now on an operation waits for reading: what is there already is the first edge.
    queue(Reactor::read_op, *this, Arm::after_would_block);
    return {};
  }

  void arm(Direction direction, Arm how) override {
    const bool read = direction == Direction::read;
    if (!read && !write_) write_ = std::make_unique<WriteOp>(*this);
    ReadyOp& op = read ? static_cast<ReadyOp&>(*this) : *write_;
    op.wanted = true;
    // An operation in the queue has waited since the descriptor was last found not ready (or was
    // registered), so it has missed nothing: there is nothing to ask epoll, whatever `how` says.
    if (!op.queued) queue(read ? Reactor::read_op : Reactor::write_op, op, how);
  }

  void disarm(Direction direction) override {
    if (direction == Direction::read) {
      wanted = false;
    } else if (write_) {
      write_->wanted = false;
    }
  }

  void close() noexcept override {
    closed_ = true;
    if (state_) {
      // Posts queued operations, aborted. Not `closing`: the descriptor may live on in a copy.
      Reactor& reactor = reactor_of(*state_);
      reactor.deregister_descriptor(descriptor_of(*state_), state_, false);
      reactor.cleanup_descriptor_data(state_);
    }
    if (pending_ == 0) delete this;
  }

 private:
  struct WriteOp final : ReadyOp {
    explicit WriteOp(ReactorWatch& w) : ReadyOp(&ReactorWatch::on_write), watch(w) {}
    ReactorWatch& watch;
  };

  void queue(int type, ReadyOp& op, Arm how) {
    op.queued = true;
    ++pending_;
    op.arming = true;
    // Without speculation the reactor asks epoll anew (MOD), which reports what is ready already.
    reactor_of(*state_).start_op(type, descriptor_of(*state_), state_, &op, false,
                                 how == Arm::after_would_block);
    op.arming = false;
  }

  /// The operation has come back. True if the listener is to be told; else `this` may be gone.
  bool returned(void* owner, ReadyOp& op) noexcept {
    op.queued = false;
    --pending_;
    const bool tell = owner && !closed_ && op.wanted;
    if (tell) op.wanted = false;
    if (closed_ && pending_ == 0) delete this;
    return tell;
  }

  static void on_read(void* owner, asio::detail::scheduler_operation* base, const asio::error_code&,
                      std::size_t) {
    ReactorWatch& watch = *static_cast<ReactorWatch*>(static_cast<ReadyOp*>(base));
    if (!watch.returned(owner, watch)) return;
    constexpr std::uint32_t plain = EPOLLIN | EPOLLOUT;
    watch.listener_.on_readable({(LastEvents::of(watch.state_) & ~plain) != 0});
  }
  static void on_write(void* owner, asio::detail::scheduler_operation* base,
                       const asio::error_code&, std::size_t) {
    WriteOp& op = *static_cast<WriteOp*>(base);
    ReactorWatch& watch = op.watch;
    if (watch.returned(owner, op)) watch.listener_.on_writable();
  }

  std::uint8_t pending_ = 0;  // operations queued
  bool closed_ = false;
  Listener& listener_;
  DescriptorState* state_ = nullptr;
  std::unique_ptr<WriteOp> write_;
};

}  // namespace

FdWatchPtr make_fd_watch(asio::io_context& io, int fd, FdWatch::Listener& listener,
                         std::error_code& error) {
  FdWatchPtr watch(new ReactorWatch(listener));
  error = static_cast<ReactorWatch&>(*watch).start(io, fd);
  if (error) watch.reset();
  return watch;
}

}  // namespace ferry

#endif
