#pragma once

#include <cstddef>

namespace ferry::testing {

/// Decides what a simulation leaves open. Given to a SimKernel (SimOptions::chooser) it is asked
/// about the schedule; a test may ask it what its own program is to do next. See `explore`, which
/// goes through all that it can say.
class SimChooser {
 public:
  /// One of `count` ways, from 0 to `count` - 1; 0 is what a simulation does that is not permuted.
  virtual std::size_t choose(std::size_t count) = 0;

 protected:
  ~SimChooser() = default;
};

}  // namespace ferry::testing
