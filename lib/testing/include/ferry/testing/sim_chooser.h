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

/// Holds choices back while a scene is set: answers 0, as if there were none, until it is open.
class SimGate final : public SimChooser {
 public:
  /// `chooser` must outlive it.
  explicit SimGate(SimChooser& chooser) noexcept : chooser_(chooser) {}
  std::size_t choose(std::size_t count) override { return open ? chooser_.choose(count) : 0; }
  bool open = false;

 private:
  SimChooser& chooser_;
};

}  // namespace ferry::testing
