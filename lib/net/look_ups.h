#pragma once

#include <ferry/event_loop.h>

#include <exception>
#include <memory>
#include <vector>

namespace ferry {

/// Several names looked up at once. Destroyed before the end it cancels what is under way and calls
/// nothing.
class LookUps {
 public:
  struct Result {
    std::exception_ptr error;                     ///< The first failure; null: all succeeded.
    std::vector<std::vector<Address>> addresses;  ///< One list a query, in their order.
  };

  /// `done` is called once, from the loop, and may destroy this.
  LookUps(EventLoop& loop, const std::vector<ResolveQuery>& queries, Function<void(Result)> done);
  LookUps(const LookUps&) = delete;
  LookUps& operator=(const LookUps&) = delete;
  ~LookUps();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace ferry
