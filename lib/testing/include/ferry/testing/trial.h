#pragma once

#include <ferry/event_loop.h>
#include <ferry/testing/disturbance.h>
#include <ferry/testing/fault_kernel.h>
#include <ferry/testing/recording_protocol.h>
#include <ferry/testing/seed.h>
#include <ferry/testing/sim_kernel.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ferry::testing {

class FastClockKernel;

struct TrialOptions {
  /// On the system's own kernel: of the disturbances only those of calls take place.
  bool real = false;
  /// There a timer comes after a part of its time, one so-many-th, and after `real_wait` at most:
  /// what happens on loopback does not take longer. The loop's clock leaps to it then.
  std::int64_t real_speed = 50;
  Duration real_wait = std::chrono::milliseconds(100);
  SimOptions sim{};
  /// What a Trial::run_until may take. In the simulation it is virtual, and costs nothing.
  Duration patience = std::chrono::hours(1);
  Duration real_patience = std::chrono::seconds(20);  ///< Of the real clock.
  /// Something that the trial does not see makes trouble, as want of memory does: it is neither
  /// `calm` nor `unharmed`.
  bool harmed = false;
  /// What the scenario itself complains of does not count: it does not bear that trouble. What it
  /// calls a `breach` does.
  bool lenient = false;
  /// Called by `heal`, to end what makes trouble beside the disturbances.
  void (*on_heal)() = nullptr;
  /// Puts another kernel between the loop and the one that it would have.
  std::unique_ptr<Kernel> (*wrap)(std::unique_ptr<Kernel>) = nullptr;
  /// More turns of the loop than this while the clock stands still and nothing arrives are a loop
  /// that spins.
  std::uint64_t turns_at_once = 20'000;
};

/// One run of a program in a world of its own, where some things are out of the ordinary
/// (Disturbance), and what was wrong with it. Whatever happens: every callback keeps the contract,
/// what does not arrive is reported to somebody, nothing is left behind, and it comes to an end; no
/// simulated turn of the loop runs more than 61 callbacks or timers, reads more than 16 times from
/// a descriptor (4 batches of datagrams), or accepts more than 100 connections from one.
///
///     Trial trial(seed, draw_disturbances(seed));
///     auto server = create_server(trial.loop(), ...);
///     if (trial.done(server)) ...
///     EXPECT_EQ(trial.end(), std::vector<std::string>());
///
/// `run_seeds` (ferry/testing/seeds.h) does this for many seeds. For the loop's thread.
class Trial {
 public:
  explicit Trial(std::uint64_t seed, std::vector<Disturbance> disturbances = {},
                 TrialOptions options = {});
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;
  ~Trial();

  EventLoop& loop() noexcept { return *loop_; }
  FaultKernel& faults() noexcept { return *faults_; }
  bool simulated() const noexcept { return sim_ != nullptr; }
  /// Only if `simulated`.
  SimKernel& sim() noexcept { return *sim_; }
  /// For what the program draws by lot: another stream for each name.
  Seed lot(std::string_view name = "app") const noexcept { return Seed(seed_, name); }
  /// Nothing harmful has happened so far: all must work, and nobody be told of an error. That is so
  /// in every world up to its first harm; and what a link does to datagrams is none.
  bool calm() const noexcept { return !disturbed_ && unharmed(); }
  /// The same, whatever the program itself did (`disturb`). Both must be asked when it matters, not
  /// before: harm may come at any time.
  bool unharmed() const noexcept;
  /// The program itself does what others will be told of as an error: it aborts connections, throws
  /// out of callbacks, closes the loop. From now on this world is not calm.
  void disturb() noexcept { disturbed_ = true; }
  bool disturbed() const noexcept { return disturbed_; }
  /// Where the program's server is: "towards the server" is towards there. Unless set it is the
  /// first socket that listens.
  void set_server(const Address& address) { server_ = address; }

  // -- running the loop
  /// Runs until that holds. If it does not come to that, it complains and gives false.
  bool run_until(Function<bool()> condition);
  bool run_for(Duration time);
  /// Runs until it is done. False if it failed, which counts as reported, or was cancelled.
  template <class T>
  bool done(Future<T> future) {
    if (!run_until([&future] { return future.done(); }) || future.cancelled()) return false;
    if (!future.exception()) return true;
    failed(future.exception());
    return false;
  }
  /// Ends all disturbances but those of time, links and schedule; from now on everything must work
  /// again, for what is new at least.
  void heal();
  bool healed() const noexcept { return healed_; }

  // -- what is checked
  /// A protocol, a RecordingProtocol or derived from one, that is watched over to the end.
  template <class P = RecordingProtocol, class... Arguments>
  std::shared_ptr<P> protocol(Arguments&&... arguments) {
    auto made = std::make_shared<P>(std::forward<Arguments>(arguments)...);
    records_.push_back({made, static_cast<ConnectionRecord*>(made.get())});
    return made;
  }
  /// All of them that were made have been lost.
  bool all_lost() const noexcept;
  /// Those that are not, for a complaint: "; still open: made data:3, made"; empty if there is
  /// none.
  std::string still_open() const;
  /// Something is wrong with what is tested.
  void complain(std::string what);
  /// The same of what may not be whatever fails: bytes that nobody sent.
  void breach(std::string what);
  /// Somebody was told of a failure. In a calm world that is wrong.
  void report(const std::string& what);
  /// The same as `report` of an exception.
  void failed(std::exception_ptr exception);
  std::size_t reports() const noexcept { return reports_; }
  /// Called after each call of the program's that FaultKernel passes on or makes fail.
  void set_observer(Function<void(std::string_view call, int fd, const IoResult& result)> observer);
  /// Something happened that is rare and must be met now and then; a literal.
  void reached(const char* state);

  /// Waits until nothing is under way any more, closes the loop, looks whether anything is left,
  /// and gives all complaints.
  std::vector<std::string> end();
  /// After `end`. The states that were reached, each once.
  const std::vector<const char*>& states() const noexcept { return states_; }
  /// A hash of what happened and when: the same for each run of the same world.
  std::uint64_t log_hash() const noexcept { return log_hash_; }

 private:
  class Disturber;
  struct Watched {
    std::shared_ptr<void> owner;
    ConnectionRecord* record;
    bool lost = false;  // and its error, if it had one, checked
  };
  void log(std::string_view call, int fd, const IoResult& result);
  void count_call(std::string_view call, int fd, const IoResult& result);
  void check_turn();
  void check_lost();
  void check_error(const ConnectionRecord& record);
  bool idle() const;
  void nothing(std::size_t left, const char* what, const char* how);
  void check_loop(const char* how);
  void check_idle();
  void check_nothing_left();
  bool run_simulated(Function<bool()>& condition, TimePoint limit, bool complain_if_late);
  /// `patience` is the system's time, `limit` that of the loop, which goes faster.
  bool run_real(Function<bool()>& condition, TimePoint limit, Duration patience);

  std::uint64_t seed_;
  TrialOptions options_;
  std::unique_ptr<EventLoop> loop_;
  FaultKernel* faults_ = nullptr;  // the loop owns both
  SimKernel* sim_ = nullptr;
  FastClockKernel* fast_ = nullptr;  // of the two one, below `faults_`
  std::unique_ptr<Disturber> disturber_;
  Function<void(std::string_view, int, const IoResult&)> observer_;
  Address server_;
  std::vector<Watched> records_;
  std::vector<std::string> complaints_;
  std::vector<const char*> states_;
  std::size_t reports_ = 0;
  std::vector<std::pair<int, unsigned>> taken_;  // since the kernel's last look, by descriptor
  std::uint64_t callbacks_ = 0;                  // up to then
  std::uint64_t fired_ = 0;                      // timers
  Duration turn_cost_{};
  std::uint64_t log_hash_ = 0;
  bool harmed_;             // by a disturbance
  bool disturbed_ = false;  // by the program
  bool healed_ = false;
  bool stuck_ = false;  // given up: nothing runs any more
};

}  // namespace ferry::testing
