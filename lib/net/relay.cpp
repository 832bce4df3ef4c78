#include <ferry/relay.h>

#include "stream_transport.h"

#include <ferry/error.h>
#include <ferry/protocol.h>
#include <ferry/protocol_layer.h>

#include <memory>
#include <new>
#include <stdexcept>
#include <utility>

namespace ferry {
namespace {

/// So many reads of so many bytes in a row, each of which all but fills the receive buffer, and a
/// direction is spliced; so many of fewer bytes than kSmall, and it is copied again. (Measured: see
/// "Decisions" in lib/README.md.)
constexpr std::size_t kLarge = 192 * 1024;
constexpr int kLargeReads = 4;
constexpr std::size_t kSmall = 32 * 1024;
constexpr int kSmallReads = 4;

/// Two transports and the protocols that feed each other. It lives as long as one of the
/// transports holds its protocol, which is a part of it: connection_lost ends that.
class Relay final : public std::enable_shared_from_this<Relay>, private LoopResource {
 public:
  Relay(std::shared_ptr<Transport> a, std::shared_ptr<Transport> b, const RelayOptions& options)
      : LoopResource(a->loop(), Kind::operation),
        options_(options),
        future_(a->loop()),
        idle_(a->loop(), [this] { on_idle(); }),
        linger_(a->loop(), [this] { on_linger(); }),
        drain_(a->loop(), [this] { give_up("relay (drain)"); }),
        a_(*this, std::move(a)),
        b_(*this, std::move(b)) {}

  Future<RelayResult> start() {
    future_.set_cancel_hook([weak = weak_from_this()] {
      if (const auto relay = weak.lock()) relay->abort_both();
    });
    const Future<RelayResult> future = future_;
    const bool late = a_.transport->is_closing() || b_.transport->is_closing();
    moved();
    attach(a_);
    attach(b_);
    // A buffer that is full from before has told its protocol so, not us.
    a_.hold_source_if_full();
    b_.hold_source_if_full();
    if (options_.splice == Splice::always) {
      a_.begin_splicing();
      b_.begin_splicing();
    }
    if (a_.transport && !b_.holds_source) a_.transport->resume_reading();
    if (b_.transport && !a_.holds_source) b_.transport->resume_reading();
    if (late) close_both();
    finish_if_over();
    return future;
  }

 private:
  /// One of the two connections, as its protocol.
  struct Side final : Protocol, SpliceWatcher {
    Side(Relay& owner, std::shared_ptr<Transport> t)
        : relay(owner),
          transport(std::move(t)),
          stream(dynamic_cast<StreamTransport*>(transport.get())) {
      if (stream && !stream->is_socket()) stream = nullptr;
    }

    Side& other() noexcept { return this == &relay.a_ ? relay.b_ : relay.a_; }

    void data_received(BytesView data) override {
      Side& to = other();
      if (to.transport && !to.transport->is_closing()) {
        count(data.size());
        to.transport->write(data);
        to.hold_source_if_full();
        relay.moved();
        consider_splicing(data.size());
      } else {
        relay.close_both();
      }
    }
    bool eof_received() override {
      ended = true;
      relay.pass_end_on(other());
      return !transport || transport->can_write_eof();  // else it ends as a whole
    }
    void pause_writing() override { hold_source(); }
    void resume_writing() override {
      if (cut) return transport->abort();
      if (!std::exchange(holds_source, false)) return;
      if (Side& from = other(); from.transport) from.transport->resume_reading();
    }
    void connection_lost(std::error_code code) override {
      Error error;
      if (code) {
        try {
          error = transport->error();
          if (!error) error = {code, "relay", transport->peername()};
        } catch (const std::bad_alloc&) {  // for the name of a unix socket
          error = {code, "relay", {}};
        }
      }
      relay.lost(*this, std::move(error));
    }

    void on_spliced(std::size_t bytes) override {
      count(bytes);
      relay.moved();
      if (bytes >= kSmall || relay.options_.splice != Splice::automatic) {
        streak = 0;
      } else if (++streak == kSmallReads) {
        streak = 0;
        stream->stop_splicing();
      }
    }
    void on_splice_ended(bool never) override {
      streak = 0;
      copies_only = never;
    }

    void count(std::size_t bytes) {
      received += bytes;
      if (RelayTraffic* traffic = relay.options_.traffic) {
        (this == &relay.a_ ? traffic->a_to_b : traffic->b_to_a) += bytes;
      }
    }
    void consider_splicing(std::size_t bytes) {
      switch (relay.options_.splice) {
        case Splice::never:
          return;
        case Splice::automatic:
          if (bytes < kLarge) {
            streak = 0;
            return;
          }
          if (++streak < kLargeReads) return;
          [[fallthrough]];
        case Splice::always:
          begin_splicing();
      }
    }
    /// Only between two transports whose protocols are ours.
    void begin_splicing() {
      streak = 0;
      Side& to = other();
      if (copies_only || !stream || !to.stream || !speaks() || !to.speaks()) return;
      try {
        stream->splice_to(std::static_pointer_cast<StreamTransport>(to.transport), *this);
      } catch (const std::bad_alloc&) {
        copies_only = true;
      }
    }
    bool speaks() const { return transport && transport->get_protocol().get() == this; }

    void hold_source() {
      if (std::exchange(holds_source, true)) return;
      if (Side& from = other(); from.transport) from.transport->pause_reading();
    }
    /// pause_writing may have gone to the protocol before this one, and comes only once.
    void hold_source_if_full() {
      if (holds_source || !transport) return;
      const std::size_t buffered = transport->get_write_buffer_size();
      if (buffered != 0 && buffered > transport->get_write_buffer_limits().high) hold_source();
    }
    std::size_t buffered() const { return transport ? transport->get_write_buffer_size() : 0; }

    Relay& relay;
    std::shared_ptr<Transport> transport;  // null once lost
    StreamTransport* stream;               // the same if it is over a socket, else null
    std::uint64_t received = 0;
    int streak = 0;             // of large reads while copying, of small ones while splicing
    bool ended = false;         // has sent its EOF
    bool copies_only = false;   // splicing was refused
    bool holds_source = false;  // takes no more: the other side is not read
    bool cut = false;           // to be aborted once its queue is out
  };

  static void rearm(Timer& timer, Duration limit) {
    if (limit > Duration::zero()) timer.set(limit);
  }

  void attach(Side& side) {
    const std::shared_ptr<Protocol> protocol(shared_from_this(), &side);
    side.transport->set_protocol(protocol);
    // After its connection_lost a transport takes no protocol: nothing will be heard of it.
    if (side.transport->get_protocol() != protocol) lost(side, side.transport->error());
  }

  /// Bytes came in or went out: the limits on silence begin anew.
  void moved() {
    buffered_ = a_.buffered() + b_.buffered();
    rearm(idle_, options_.idle);
    if (a_.ended != b_.ended && !closing_) rearm(linger_, options_.half_close_linger);
  }

  void pass_end_on(Side& to) {
    if (a_.ended && b_.ended) return close_both();
    if (to.transport && !to.transport->can_write_eof()) return close_both();
    if (to.transport) to.transport->write_eof();
    moved();
  }

  /// Sends what is queued on both sides, then lets them go.
  void close_both() {
    if (std::exchange(closing_, true)) return;
    linger_.cancel();
    rearm(drain_, options_.drain);
    close(a_);
    close(b_);
  }
  static void close(Side& side) {
    if (side.transport && !side.cut) side.transport->close();
  }

  /// What a side got may lack its end. Over TLS a close would vouch for it (close_notify); so once
  /// the queue is out such a connection is cut as well.
  void cut(Side& side) {
    const bool layer = dynamic_cast<ProtocolLayer*>(side.transport.get()) != nullptr;
    if (!layer || side.cut || side.transport->is_closing()) return;
    side.cut = true;
    side.transport->pause_reading();
    if (side.buffered() == 0) return side.transport->abort();
    side.transport->set_write_buffer_limits(0, 0);
  }

  void abort_both() {
    closing_ = true;
    for (Side* side : {&a_, &b_}) {
      if (side->transport) side->transport->abort();
    }
  }

  void lost(Side& side, Error error) {
    if (error && !error_) error_ = std::move(error);
    side.transport.reset();
    if (loop_gone_) return;
    if (error_ && !side.ended) cut(side.other());
    close_both();
    finish_if_over();
  }

  void finish_if_over() {
    if (a_.transport || b_.transport || over_) return;
    over_ = true;
    leave_loop();
    idle_.cancel();
    linger_.cancel();
    drain_.cancel();
    future_.try_set_result(RelayResult{a_.received, b_.received, std::move(error_)});
  }

  void give_up(const char* operation) {
    if (!error_) error_ = {make_error_code(errc::timed_out), operation, {}};
    abort_both();
  }

  /// True if a queue has become shorter since anything moved: somebody still reads.
  bool still_sending() const { return a_.buffered() + b_.buffered() < buffered_; }

  void on_idle() {
    if (still_sending()) return moved();
    give_up("relay (idle)");
  }

  void on_linger() {
    if (still_sending()) return moved();
    if (!error_) error_ = {make_error_code(errc::timed_out), "relay (half-closed)", {}};
    cut(a_.ended ? a_ : b_);  // the one that waits for the other's end
    close_both();
  }

  void on_loop_close() override {
    // The transports are told by the loop, and let go of this one by one.
    loop_gone_ = true;
    closing_ = true;
  }

  RelayOptions options_;
  Future<RelayResult> future_;
  Timer idle_;
  Timer linger_;
  Timer drain_;
  Side a_;
  Side b_;
  Error error_;
  std::size_t buffered_ = 0;  // in both queues, when something moved last
  bool closing_ = false;
  bool over_ = false;
  bool loop_gone_ = false;
};

}  // namespace

Future<RelayResult> relay(std::shared_ptr<Transport> a, std::shared_ptr<Transport> b,
                          RelayOptions options) {
  if (!a || !b) throw std::invalid_argument("relay: a transport is null");
  if (a == b) throw std::invalid_argument("relay: a transport cannot be joined to itself");
  if (&a->loop() != &b->loop()) {
    throw std::invalid_argument("relay: the transports belong to two event loops");
  }
  return std::make_shared<Relay>(std::move(a), std::move(b), options)->start();
}

}  // namespace ferry
