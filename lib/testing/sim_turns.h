#pragma once

#include <ferry/function.h>
#include <ferry/kernel.h>
#include <ferry/testing/seed.h>
#include <ferry/testing/sim_chooser.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

namespace ferry::testing {

class SimWatch;

/// Says why on standard error and aborts: the code under test broke a rule of Kernel's.
[[noreturn]] void sim_fatal(const char* what, int fd);

/// The clock of a SimKernel and the queue of what is to be delivered. It knows nothing of sockets:
/// they report edges to their watches, and watches with an edge put themselves on the list here.
class SimTurns {
 public:
  SimTurns(TimePoint start, std::uint64_t seed)
      : now_(start), lots_(seed), outside_(std::make_unique<Outside>()) {}
  SimTurns(const SimTurns&) = delete;
  SimTurns& operator=(const SimTurns&) = delete;
  ~SimTurns();

  void attach(Kernel::Client& client) { client_ = &client; }
  /// Called at the beginning of each look at what is ready: what is under way gets on. Says when
  /// it will by itself again; TimePoint::max(): it will not.
  void set_settle(Function<TimePoint()> settle) { settle_ = std::move(settle); }
  /// What is found ready is told in an order that it chooses, and up to so many looks later. Null:
  /// as it happened.
  void set_chooser(SimChooser* chooser, unsigned most_looks) {
    chooser_ = chooser;
    most_looks_ = most_looks;
  }
  /// Chooses by lot.
  SimChooser& lots() noexcept { return lots_; }
  /// Of the stream "schedule", both included.
  Duration draw(Duration least, Duration most);
  void set_hook(Function<void()> hook) { hook_ = std::move(hook); }
  void set_turn_cost(Duration cost) { turn_cost_ = cost; }
  void set_stuck(Function<bool()> stuck) { stuck_ = std::move(stuck); }
  void set_patience(Function<Duration()> patience) { patience_ = std::move(patience); }

  TimePoint now() const noexcept { return now_; }
  void advance(Duration time);
  void run();
  void stop();
  void request_drain();
  void set_timer(TimePoint when) { timer_ = when; }
  void wake() noexcept;
  void after_fork_in_child();

  bool raise_signal(int signal_number);
  std::error_code watch_signal(int signal_number);
  std::error_code unwatch_signal(int signal_number);

  /// The watch has an edge: it is looked at in the next turn.
  void list(SimWatch& watch);

  std::uint64_t turns() const noexcept { return turn_count_; }
  std::uint64_t jumps() const noexcept { return jump_count_; }

  /// Puts something that happened into the log, whose hash tells two runs from each other.
  void note(std::uint64_t kind, std::uint64_t what = 0) noexcept {
    // The time has 50 bits or so; all of it in one, since this is done for each event.
    mix(static_cast<std::uint64_t>(now_.time_since_epoch().count()) ^ kind << 58 ^ what << 32);
  }
  std::uint64_t log_hash() const noexcept { return log_hash_; }

 private:
  enum class Kind : std::uint8_t { readable, writable, timer, signal, drain };
  struct Event {
    Kind kind;
    bool drain = false;  // ReadEvent::drain
    int signal_number = 0;
    SimWatch* watch = nullptr;  // held: see SimWatch::hold
  };
  /// What other threads may touch.
  struct Outside {
    std::mutex mutex;
    std::condition_variable changed;
    bool woken = false;
    std::vector<int> signals;
    std::set<int> watched_signals;
    bool any() const noexcept { return woken || !signals.empty(); }
    bool pending() {
      const std::lock_guard lock(mutex);
      return any();
    }
  };

  /// One or two events that were found ready: both directions of a watch, or its own kind.
  struct Found {
    Kind kind;
    SimWatch* watch = nullptr;  // held, as listed
  };
  class Lots final : public SimChooser {
   public:
    explicit Lots(std::uint64_t seed) : seed_(seed, "schedule") {}
    std::size_t choose(std::size_t count) override { return seed_.below(count); }

   private:
    Seed seed_;
  };

  void mix(std::uint64_t value) noexcept {
    log_hash_ = (log_hash_ ^ value) * 0x9e3779b97f4a7c15;
    log_hash_ ^= log_hash_ >> 32;
  }
  void push(Event event);
  void look(bool may_wait);
  void queue_ready();
  void queue_by_choice();
  void queue_signals();
  /// Somebody called `wake`: a drain is the answer.
  void take_wake();
  std::size_t choose(std::size_t count);
  /// What is told now is in `found_` then.
  void find_by_choice();
  /// True if it is told later. `last`: it must not.
  bool keep_back(std::uint8_t& looks, bool last);
  std::uint8_t& looks_of(const Found& found);
  /// Lets time pass until something may be ready. `asked`: that it is stuck was said in this look.
  void wait_or_jump(bool& asked);
  void deliver_next();
  bool stop_reached() const noexcept { return stop_at_ && delivered_ >= *stop_at_; }

  Kernel::Client* client_ = nullptr;
  Function<TimePoint()> settle_;
  Function<void()> hook_;
  Function<bool()> stuck_;
  Function<Duration()> patience_;
  Duration turn_cost_{};

  TimePoint now_;
  std::optional<TimePoint> timer_;
  TimePoint next_arrival_ = TimePoint::max();  // as settle_ said
  std::deque<Event> queue_;
  std::deque<SimWatch*> listed_;  // held
  std::uint64_t queued_ = 0;      // events ever put into the queue
  std::uint64_t delivered_ = 0;   // and taken out of it
  std::optional<std::uint64_t> stop_at_;
  bool running_ = false;
  bool timer_queued_ = false;
  bool drain_queued_ = false;
  std::uint64_t turn_count_ = 0;
  std::uint64_t jump_count_ = 0;
  std::uint64_t log_hash_ = 0;
  Lots lots_;
  SimChooser* chooser_ = nullptr;
  unsigned most_looks_ = 0;
  std::vector<Found> found_;
  std::uint8_t kept_back_[5] = {};  // by Kind: looks in a row; watches count for themselves
  std::unique_ptr<Outside> outside_;
};

}  // namespace ferry::testing
