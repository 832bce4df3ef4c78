#pragma once

#include "world.h"

#include <ferry/connect.h>
#include <ferry/testing/fault_kernel.h>
#include <ferry/testing/recording_protocol.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ferry::test {

/// One run of a scenario on a kernel whose calls may be made to fail, and what was wrong with it.
/// Whatever fails: every callback keeps the contract, what does not arrive whole is reported
/// somewhere, nothing is left behind, and it comes to an end.
class Trial {
 public:
  explicit Trial(World world);
  ~Trial();

  EventLoop& loop() { return *loop_; }
  testing::FaultKernel& faults() { return *faults_; }
  bool simulated() const { return sim_ != nullptr; }

  /// Runs until that holds. Long before this gives up (an hour in the simulation, ten seconds else)
  /// a scenario must have ended, by its own limits if need be.
  void run_until(std::function<bool()> condition);
  /// Runs until it is done. False if it failed; then that counts as reported.
  template <class T>
  bool done(const Future<T>& future) {
    run_until([&future] { return future.done(); });
    if (!future.done() || future.cancelled()) return false;
    if (!future.exception()) return true;
    report();
    return false;
  }
  /// Somebody was told of a failure.
  void report() { ++reports_; }
  std::size_t reports() const { return reports_; }
  void complain(std::string what) { complaints_.push_back(std::move(what)); }
  /// A protocol that this watches over to its end.
  std::shared_ptr<testing::RecordingProtocol> protocol();
  /// All of them that were made have been lost.
  bool all_lost() const;

  /// Closes the loop, looks whether anything is left, and gives all complaints.
  std::vector<std::string> end();

 private:
  std::unique_ptr<EventLoop> loop_;
  testing::FaultKernel* faults_ = nullptr;  // the loop owns both
  testing::SimKernel* sim_ = nullptr;
  std::vector<std::shared_ptr<testing::RecordingProtocol>> protocols_;
  std::vector<std::string> complaints_;
  std::size_t reports_ = 0;
  std::size_t descriptors_before_;
};

/// `size` bytes that differ from place to place.
std::string pattern(std::size_t size);

struct Scenario {
  const char* name;
  void (*play)(Trial&);
};
std::span<const Scenario> scenarios();

}  // namespace ferry::test
