#pragma once

#include <ferry/coro.h>
#include <ferry/datagram_inbox.h>
#include <ferry/ref.h>
#include <ferry/wait_list.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

namespace ferry {

class DatagramReceiveBase;

/// How many datagrams wait for a DatagramStream's reader at most. Above either figure the socket is
/// not read from until half of it is gone: then the kernel's buffer fills, and what comes beyond
/// that is dropped, as datagrams are. A batch that was read already is kept.
struct ReceiveLimits {
  std::size_t bytes = 256 * 1024;
  std::size_t count = 1024;
};

/// What the handles of a DatagramStream share.
class DatagramStreamState : public Counted<DatagramStreamState> {
 public:
  explicit DatagramStreamState(ReceiveLimits limits) : limits_(limits) {}

  // -- for the protocol
  void connect(std::shared_ptr<DatagramTransport> transport);
  void receive(BytesView data, const DatagramInfo& info);
  void fail(std::error_code error);
  void pause() noexcept { paused_writing_ = true; }
  void resume();
  void lose();

  void close();
  bool lost() const noexcept { return lost_; }
  bool closed() const noexcept { return closed_; }
  const std::shared_ptr<DatagramTransport>& transport() const noexcept { return transport_; }
  const DatagramInbox& inbox() const noexcept { return inbox_; }

 private:
  friend class DatagramReceiveBase;
  friend class DatagramStream;

  DatagramReceiveBase* ready_receive();
  void wake();
  /// Pauses or resumes the transport.
  void steer();
  /// Throws the error that nobody was told yet, if there is one.
  void tell_error();
  [[noreturn]] void throw_closed() const;

  const ReceiveLimits limits_;
  DatagramInbox inbox_;
  std::shared_ptr<DatagramTransport> transport_;
  DatagramReceiveBase* receiving_ = nullptr;  // waits, or is woken and not yet running
  std::error_code error_;
  WaitList draining_;
  WaitList ending_;
  bool paused_reading_ = false;
  bool paused_writing_ = false;
  bool closed_ = false;
  bool lost_ = false;
};

/// A receive of a DatagramStream's: to be awaited once, by `co_await` or in wait_for, gather, ...
class DatagramReceiveBase : public Suspension {
 public:
  /// Throws std::logic_error while another task receives.
  bool await_ready() const;
  void await_suspend(std::coroutine_handle<> coroutine);
  std::string_view what() const noexcept override { return "datagram"; }

 protected:
  explicit DatagramReceiveBase(Ref<DatagramStreamState> state) noexcept
      : state_(std::move(state)) {}
  DatagramReceiveBase(DatagramReceiveBase&&) noexcept = default;  // before it is awaited
  ~DatagramReceiveBase();

  /// None if the stream is closed.
  std::optional<DatagramView> take();
  [[noreturn]] void throw_closed() const { state_->throw_closed(); }

 private:
  friend class DatagramStreamState;
  bool cancel(std::string_view message) override;
  bool satisfied() const noexcept;

  Ref<DatagramStreamState> state_;
  bool woken_ = false;
};

/// `Result`: Datagram or std::string, copies; DatagramView or BytesView, good until the next
/// receive; or an optional one, none if the stream is closed, where the others throw.
template <class Result>
class [[nodiscard]] DatagramReceive final : public DatagramReceiveBase {
 public:
  Result await_resume() {
    const std::optional<DatagramView> got = take();
    if constexpr (std::is_constructible_v<Result, std::nullopt_t>) {
      if (!got) return std::nullopt;
    } else {
      if (!got) throw_closed();
    }
    if constexpr (std::is_same_v<Result, BytesView>) {
      return got->data;
    } else if constexpr (std::is_same_v<Result, std::string>) {
      return std::string(got->data.text());
    } else if constexpr (std::is_constructible_v<Result, DatagramView>) {
      return Result(*got);
    } else {
      return Result(Datagram{std::string(got->data.text()), got->info});
    }
  }

 private:
  friend class DatagramStream;
  using DatagramReceiveBase::DatagramReceiveBase;
};

/// A UDP or unix datagram socket for coroutines. A handle: copies share one socket; when the last
/// is dropped the socket is closed, after what was sent has left. What has come already is given
/// without waiting; a task that waits goes on inside the callback that brought the datagram, so
/// that its answers leave together with those to the rest of the batch. A cancelled receive takes
/// no datagram. One task receives at a time: a second one throws std::logic_error. For the loop's
/// thread only.
///
/// Errors (a refusal by the receiver of an earlier datagram, a datagram too large, ...) are thrown
/// as IoError, once each, by the receive that waits, or else by the next receive or drain; the
/// socket can be used as before. Of several that nobody asked for the first is kept.
class DatagramStream {
 public:
  class Drain;
  class WaitClosed;

  /// Use open_datagram_stream.
  explicit DatagramStream(Ref<DatagramStreamState> state);

  // -- receiving
  /// The next datagram: `data`, perhaps empty, and `info`, with the `peer` it came from. Throws
  /// IoError: EBADF if the stream is closed and all that had come was taken.
  DatagramReceive<Datagram> recvfrom() const { return receive<Datagram>(); }
  /// Its bytes alone.
  DatagramReceive<std::string> recv() const { return receive<std::string>(); }
  /// Without copies.
  DatagramReceive<DatagramView> recvfrom_view() const { return receive<DatagramView>(); }
  DatagramReceive<BytesView> recv_view() const { return receive<BytesView>(); }
  /// For loops: none when the stream is closed.
  ///
  ///     while (const auto datagram = co_await stream.next_view()) ...
  DatagramReceive<std::optional<Datagram>> next() const {
    return receive<std::optional<Datagram>>();
  }
  DatagramReceive<std::optional<DatagramView>> next_view() const {
    return receive<std::optional<DatagramView>>();
  }
  /// How many can be received without waiting.
  std::size_t queued() const noexcept { return state().inbox().count(); }

  // -- sending: as DatagramTransport's; nothing of it waits
  void sendto(BytesView data, const Address& to) const { transport()->sendto(data, to); }
  void sendto(BytesView data, const DatagramInfo& how) const { transport()->sendto(data, how); }
  /// To the remote address the socket was made with.
  void send(BytesView data) const { transport()->sendto(data); }
  void send_each(std::span<const BytesView> datagrams, const Address& to = {}) const {
    transport()->send_each(datagrams, to);
  }
  /// Waits while more is queued than the transport's high-water mark allows, until it is at the low
  /// one. Any number of tasks may wait. Throws IoError: EBADF once the socket is gone.
  Drain drain() const;

  // -- ending
  /// Stops receiving, sends what is queued. What had come can still be received.
  void close() const { state().close(); }
  bool is_closing() const noexcept { return transport()->is_closing(); }
  /// Until the socket is gone. Any number of tasks may wait, and again.
  WaitClosed wait_closed() const;

  const Address& sockname() const noexcept { return transport()->sockname(); }
  /// The remote address it was made with; empty if with none.
  const Address& peername() const noexcept { return transport()->peername(); }
  /// For limits, groups and options.
  const std::shared_ptr<DatagramTransport>& transport() const noexcept {
    return state().transport();
  }
  /// For the library and its tests: what feeds it.
  const Ref<DatagramStreamState>& shared_state() const noexcept { return owner_->state; }

 private:
  /// Closes when the last handle goes.
  struct Owner : Counted<Owner> {
    explicit Owner(Ref<DatagramStreamState> s) noexcept : state(std::move(s)) {}
    ~Owner() { state->close(); }
    const Ref<DatagramStreamState> state;
  };

  DatagramStreamState& state() const noexcept { return *owner_->state; }
  template <class Result>
  DatagramReceive<Result> receive() const {
    return DatagramReceive<Result>(owner_->state);
  }

  Ref<Owner> owner_;
};

class [[nodiscard]] DatagramStream::Drain final : public WaitNode {
 public:
  explicit Drain(Ref<DatagramStreamState> state) noexcept : state_(std::move(state)) {}
  bool await_ready() const noexcept { return !state_->paused_writing_ || state_->lost_; }
  void await_suspend(std::coroutine_handle<> coroutine) { wait(state_->draining_, coroutine); }
  void await_resume();
  std::string_view what() const noexcept override { return "datagram drain"; }

 private:
  Ref<DatagramStreamState> state_;
};

class [[nodiscard]] DatagramStream::WaitClosed final : public WaitNode {
 public:
  explicit WaitClosed(Ref<DatagramStreamState> state) noexcept : state_(std::move(state)) {}
  bool await_ready() const noexcept { return state_->lost_; }
  void await_suspend(std::coroutine_handle<> coroutine) { wait(state_->ending_, coroutine); }
  void await_resume() {
    unlink();
    resumed();
  }
  std::string_view what() const noexcept override { return "datagram end"; }

 private:
  Ref<DatagramStreamState> state_;
};

inline DatagramStream::Drain DatagramStream::drain() const {
  return Drain(owner_->state);
}
inline DatagramStream::WaitClosed DatagramStream::wait_closed() const {
  return WaitClosed(owner_->state);
}

/// Opens a datagram socket. Throws as create_datagram_endpoint, at the await. Cancelled, it leaves
/// no socket.
Coro<DatagramStream> open_datagram_stream(DatagramOptions options,
                                          ReceiveLimits limits = ReceiveLimits());

}  // namespace ferry
