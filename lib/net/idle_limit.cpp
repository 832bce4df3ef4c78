#include <ferry/idle_limit.h>

#include <ferry/pass_through.h>

#include <algorithm>
#include <optional>
#include <stdexcept>

namespace ferry {
namespace {

/// How many times a limit a write buffer is looked at that does not empty.
constexpr int kLooksPerLimit = 4;

class IdleLimit final : public PassThrough {
 public:
  IdleLimit(std::shared_ptr<Protocol> above, std::shared_ptr<IdleLimits> limits)
      : PassThrough(std::move(above)), limits_(std::move(limits)) {}

  void connection_made(std::shared_ptr<Transport> below) override {
    timer_.emplace(below->loop(), [this] { look(); });
    last_read_ = last_write_ = below->loop().time();
    written_ = taken_ = below->get_write_buffer_size();
    below_ = below;
    arm(last_read_);
    PassThrough::connection_made(std::move(below));
  }
  bool eof_received() override {
    eof_ = true;
    return PassThrough::eof_received();
  }
  void connection_lost(std::error_code error) override {
    if (timer_) timer_->cancel();  // else connection_made had no memory for it
    PassThrough::connection_lost(error);
  }
  void pause_writing() override {
    stuck(loop().time());
    PassThrough::pause_writing();
  }

  void write(BytesView data) override {
    if (is_closing()) return PassThrough::write(data);
    note_write(data.size());
    PassThrough::write(data);
  }
  void writelines(std::span<const BytesView> pieces) override {
    if (is_closing()) return PassThrough::writelines(pieces);
    std::size_t size = 0;
    for (const BytesView piece : pieces) size += piece.size();
    note_write(size);
    PassThrough::writelines(pieces);
  }
  void resume_reading() override {
    if (lost()) return;
    const bool was_reading = is_reading();
    PassThrough::resume_reading();
    if (was_reading) return;
    last_read_ = loop().time();
    arm(last_read_);
  }

 private:
  void on_received(BytesView) override { last_read_ = loop().time(); }

  /// Before `size` bytes are written.
  void note_write(std::size_t size) {
    if (size == 0) return;
    const TimePoint now = loop().time();
    // Unless the buffer is known to be stuck they are on their way at once.
    if (!stuck_) {
      last_write_ = now;
    } else {
      note_progress(now);
    }
    written_ += size;
    if (!timer_->active()) arm(now);
  }

  /// The write buffer has bytes in it that the peer did not take: from now on it is its progress
  /// that counts.
  void stuck(TimePoint now) {
    if (stuck_) return;
    stuck_ = true;
    taken_ = taken();
    last_write_ = now;
    arm(now);
  }
  void note_progress(TimePoint now) {
    if (std::exchange(taken_, taken()) != taken_) last_write_ = now;
    if (below().get_write_buffer_size() == 0) stuck_ = false;
  }
  /// How much of what was written is no longer here.
  std::uint64_t taken() const { return written_ - below().get_write_buffer_size(); }

  void look() {
    const auto self = shared_from_this();
    const TimePoint now = loop().time();
    if (stuck_) {
      note_progress(now);
    } else if (below().get_write_buffer_size() > 0) {
      stuck(now);
    }
    for (const Idleness which : {Idleness::both, Idleness::read, Idleness::write}) {
      if (deadline(which) > now) continue;
      if (!limits_->on_idle) {
        return fail(make_error_code(errc::timed_out), which == Idleness::both   ? "idle"
                                                      : which == Idleness::read ? "idle (read)"
                                                                                : "idle (write)");
      }
      restart(which, now);
      loop().run_callback([&] { limits_->on_idle(*this, which); });
      if (lost() || aborted()) return;
    }
    arm(now);
  }

  /// TimePoint::max(): there is none as things are.
  TimePoint deadline(Idleness which) const {
    const bool deaf = !is_reading() || eof_;
    switch (which) {
      case Idleness::read:
        return deaf ? TimePoint::max() : after(std::max(last_read_, told_read_), limits_->read);
      case Idleness::write:
        return after(std::max(last_write_, told_write_), limits_->write);
      case Idleness::both:
        if (!is_reading() && !is_closing() && below().get_write_buffer_size() == 0) break;
        return after(std::max({last_read_, last_write_, told_both_}), limits_->both);
    }
    return TimePoint::max();
  }
  static TimePoint after(TimePoint from, Duration limit) {
    if (limit == Duration::zero() || limit >= TimePoint::max() - from) return TimePoint::max();
    return from + limit;
  }
  /// The hook has been told: its clock begins again.
  void restart(Idleness which, TimePoint now) {
    (which == Idleness::both   ? told_both_
     : which == Idleness::read ? told_read_
                               : told_write_) = now;
  }

  /// Sets the timer, unless it comes early enough already: it is moved when it fires, not with each
  /// message.
  void arm(TimePoint now) {
    TimePoint when =
        std::min({deadline(Idleness::both), deadline(Idleness::read), deadline(Idleness::write)});
    if (stuck_) {
      for (const Duration limit : {limits_->both, limits_->write}) {
        if (limit > Duration::zero())
          when = std::min(when, after(now, limit / kLooksPerLimit + Duration(1)));
      }
    }
    if (when == TimePoint::max()) return;
    if (timer_->active() && armed_ <= when) return;
    armed_ = when;
    timer_->set_at(when);
  }

  std::shared_ptr<IdleLimits> limits_;  // of all connections
  std::optional<Timer> timer_;
  TimePoint armed_{};
  TimePoint last_read_{};
  TimePoint last_write_{};
  TimePoint told_both_{};
  TimePoint told_read_{};
  TimePoint told_write_{};
  std::uint64_t written_ = 0;
  std::uint64_t taken_ = 0;  // while stuck: what was no longer here when that was last looked at
  bool stuck_ = false;
  bool eof_ = false;
};

}  // namespace

ProtocolWrap idle_limit(IdleLimits limits) {
  for (const Duration limit : {limits.both, limits.read, limits.write}) {
    if (limit < Duration::zero()) throw std::invalid_argument("idle_limit: a limit is negative");
  }
  return [limits =
              std::make_shared<IdleLimits>(std::move(limits))](std::shared_ptr<Protocol> protocol) {
    return std::make_shared<IdleLimit>(std::move(protocol), limits);
  };
}

ProtocolWrap idle_limit(Duration both) {
  IdleLimits limits;
  limits.both = both;
  return idle_limit(std::move(limits));
}

}  // namespace ferry
