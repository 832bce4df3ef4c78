#pragma once

#include "counting_new.h"
#include "world.h"

#include <ferry/connect.h>
#include <ferry/testing/recording_protocol.h>
#include <ferry/testing/sim_kernel.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ferry::test {

class Trial;

struct Scenario {
  const char* name;
  void (*play)(Trial&);
};
std::span<const Scenario> scenarios();
/// More of them, the simulation's only.
std::span<const Scenario> memory_scenarios();

/// One run of a scenario while allocations fail (see counting_new.h): all count but those of this
/// class, of its protocols, and in the simulation those of the kernel. Whatever fails: every
/// callback keeps the contract, what does not arrive whole is reported somewhere, nothing is left
/// behind, and it comes to an end.
class Trial {
 public:
  explicit Trial(World world);
  ~Trial();

  EventLoop& loop() { return *loop_; }
  bool simulated() const { return sim_ != nullptr; }
  /// Only if `simulated`.
  testing::SimKernel& sim() { return *sim_; }

  /// Runs until that holds. Long before this gives up (an hour in the simulation, ten seconds else)
  /// a scenario must have ended, by its own limits if need be.
  void run_until(std::function<bool()> condition);
  /// Runs until it is done. False if it failed; then that counts as reported.
  template <class T>
  bool done(const Future<T>& future) {
    run_until([&future] { return future.done(); });
    if (!future.done() || future.cancelled()) return false;
    if (!future.exception()) return true;
    try {
      std::rethrow_exception(future.exception());
    } catch (const std::exception& error) {
      report("by a future: " + std::string(error.what()));
    } catch (...) {
      report("by a future");
    }
    return false;
  }
  /// Somebody was told of a failure.
  void report(std::string_view of = {});
  /// Somebody was: the exception handler, a protocol by its error, or whoever reported it.
  bool told() const;
  void complain(std::string what);
  /// A protocol that this watches over to its end.
  std::shared_ptr<testing::RecordingProtocol> protocol();
  /// All of them that were made have been lost.
  bool all_lost() const;
  /// What the protocol that asks is: the latest that was made so.
  std::shared_ptr<testing::RecordingProtocol> asker;
  /// True, once, if an allocation has failed: then what was done is to be done again, and from now
  /// on all must be well.
  bool once_more();
  bool all_must_be_well() const { return well_from_.has_value(); }

  /// Plays it; after a failed allocation once more, when all is over, and then it must succeed.
  void play(const Scenario& scenario);
  /// Closes the loop, looks whether anything is left, and gives all complaints.
  std::vector<std::string> end();

 private:
  std::unique_ptr<EventLoop> loop_;
  testing::SimKernel* sim_ = nullptr;  // the loop's, if it has one
  std::vector<std::shared_ptr<testing::RecordingProtocol>> protocols_;
  std::vector<std::string> complaints_;
  std::size_t reports_ = 0;
  std::optional<std::size_t> well_from_;  // the first protocol that must not fail
  std::size_t descriptors_before_;
};

/// `size` bytes that differ from place to place.
std::string pattern(std::size_t size);
/// The same, kept for ever: what is asked.
const std::string& question(std::size_t size);

}  // namespace ferry::test
