#pragma once

#include <ferry/testing/trial.h>

#include <list>
#include <vector>

namespace ferry::testing {

/// Sees to it that the disturbances of a trial take place, each when the program has made as many
/// calls as it says.
class Trial::Disturber {
 public:
  Disturber(Trial& trial, std::vector<Disturbance> all);
  /// After each call: what waits for this number of calls begins.
  void count_calls();
  void heal();
  /// A connection was cut after some bytes, or a partition has stopped something.
  bool has_harmed() const;

 private:
  void start_at_once(const Disturbance& one);
  void begin(const Disturbance& one);
  SimRoute route(Disturbance::Way way) const;
  void forbid_descriptors(Duration time);
  void blow();
  template <class Guard>
  void keep(Guard guard, Duration time);

  Trial& trial_;
  std::vector<Disturbance> waiting_;  // for their number of calls, the next one last
  FaultStorm storm_;
  std::list<FaultGuard> faults_;
  std::list<SimGuard> troubles_;
  bool harms_later_ = false;  // when something goes over the network
};

}  // namespace ferry::testing
