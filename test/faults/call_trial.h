#pragma once

#include "world.h"

#include <ferry/testing/fault_kernel.h>
#include <ferry/testing/recording_protocol.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace ferry::test {

class CallTrial;

/// What is run again and again, each time with another call of the kernel's failing, or with
/// another allocation.
struct CallProgram {
  void (*play)(CallTrial&);
  /// The kernel that the faults are put round; null: the one that ships, its clock made fast.
  std::unique_ptr<Kernel> (*kernel)() = nullptr;
  /// It has children, which it may no longer kill (EPERM) nor then wait for.
  bool processes = false;
};

/// What goes wrong in a run, once.
struct Trouble {
  enum class Kind { call, allocation };
  static constexpr std::uint64_t kNone = ~std::uint64_t{0};
  Kind kind = Kind::call;
  std::uint64_t number = kNone;  ///< Which of them, counted from 0.
  std::size_t variant = 0;       ///< Of a call: in which of its ways.
};

/// One run of a program on the real kernel, in which one call goes wrong in one of its ways, or one
/// allocation (see counting_new.h) fails, or none. Whatever fails: the run comes to an end, what is
/// not as it should be somebody was told of, and nothing is left behind. What does no harm (a short
/// count, "not now") nobody hears of. After an allocation the program is played a second time on
/// the same loop, and nothing may be amiss then.
///
/// Of the allocations count those of the program, the loop and every other thread; not those of
/// this class and of its protocols.
class CallTrial {
 public:
  CallTrial(const CallProgram& program, const Trouble& trouble);

  EventLoop& loop() { return *loop_; }
  /// For the test's own ends: nothing is done to them.
  Kernel& below() { return faults_ ? faults_->inner() : loop_->kernel(); }

  /// Runs until that holds; false, and a complaint, if it never does.
  bool run_until(Function<bool()> condition);
  /// Runs until it is done. False if it failed: then somebody was told.
  template <class T>
  bool done(const Future<T>& future) {
    if (!run_until([&future] { return future.done(); }) || future.cancelled()) return false;
    if (!future.exception()) return true;
    tell("a future", future.exception());
    return false;
  }
  /// Somebody was told of a failure: a log, an exception handler, a future, a protocol. From any
  /// thread.
  void tell(const std::string& who, const std::string& what);
  void tell(const std::string& who, const std::exception_ptr& error);
  bool told() const;
  /// That is so, or somebody was told why not.
  void expect(bool right, const std::string& otherwise);
  /// That is not so, told or not. From any thread.
  void complain(const std::string& what);
  /// One whose contract is watched, and that passes on the error of its end.
  std::shared_ptr<testing::RecordingProtocol> protocol();
  /// An open connection over a socket of the test's; null if there is none.
  std::shared_ptr<testing::RecordingProtocol> connect(Socket socket, ProtocolWrap wrap = {});
  /// Another has taken its place: it hears of no end.
  void forget(const std::shared_ptr<testing::RecordingProtocol>& protocol);
  /// A RecordingProtocol that sends back what it gets.
  std::shared_ptr<testing::RecordingProtocol> echo();

  /// A loop's exception handler and log tell this.
  void listen_to(EventLoop& loop);

  /// Plays the program, closes the loop, and gives all complaints.
  std::vector<std::string> end();
  /// The call that went wrong, if it was made.
  const testing::InjectedFault* fault() const;
  /// In how many ways that can go wrong. After `end`.
  std::size_t variants() const noexcept { return variants_; }

 private:
  std::unique_ptr<Kernel> make_kernel();
  /// A turn of the loop, or until it is stopped. False if something was thrown out of it.
  bool run();
  void play();
  /// The second time.
  void play_well();
  bool harmless() const;
  void close_loop();
  void check_nothing_left();
  void check_no_child();

  const CallProgram& program_;
  std::size_t descriptors_before_;
  Trouble trouble_;
  testing::FaultKernel* faults_ = nullptr;  // the loop's, if it has one
  std::unique_ptr<EventLoop> loop_;
  std::vector<std::shared_ptr<testing::RecordingProtocol>> protocols_;
  mutable std::mutex mutex_;  // of the next two
  std::vector<std::string> told_;
  std::vector<std::string> complaints_;
  std::optional<testing::InjectedFault> fault_;  // once the loop is gone
  std::size_t variants_ = 0;
  bool impossible_ = false;  // no system does that: only a part of a whole message
};

/// Plays it without a fault, then with each call of it failing in each of its ways. What
/// FERRY_CALL names, as "17.3" (the call, the way), is played alone.
void each_call_fails(const CallProgram& program);
/// Plays it with each allocation of it failing, until there are no more. What FERRY_ALLOCATION
/// names is played alone.
void each_allocation_fails(const CallProgram& program);

/// Two tests of one program.
#define FERRY_EACH_FAILS(name, ...)       \
  TEST(EachCall, name) {                  \
    each_call_fails({__VA_ARGS__});       \
  }                                       \
  TEST(EachAllocation, name) {            \
    each_allocation_fails({__VA_ARGS__}); \
  }

/// The real kernel, its clock twenty times as fast: a time limit is over soon.
std::unique_ptr<Kernel> make_fast_kernel();

}  // namespace ferry::test
