#pragma once

#include "connect_attempt.h"

#include <memory>
#include <optional>
#include <vector>

namespace ferry {

/// The addresses in the order of RFC 8305, section 4: `first_family` of the family that comes
/// first, then one of each family in turn. 0: as they are.
std::vector<Address> interleave_families(std::vector<Address> addresses, std::size_t first_family);

/// Connects to the first of several addresses that lets itself be connected to (RFC 8305, section
/// 5): the next attempt starts when the latest one has failed, or `delay` after it started; the
/// first success ends all others. Without a delay there is one attempt at a time. Destroying it
/// gives up and closes every socket.
class ConnectRace {
 public:
  struct Outcome {
    Socket socket;  ///< Empty: all failed.
    Address remote;
    std::vector<Error> errors;  ///< One an address that failed, in the order of the addresses.
  };

  /// `remotes` in the order to try them; `locals` as in ConnectAttempt::start. `done` is called
  /// once; from inside `start` if nothing was left to wait for. It may destroy this.
  ConnectRace(EventLoop& loop, std::vector<Address> remotes, std::vector<Address> locals,
              std::optional<Duration> delay, Function<void(Outcome)> done);
  void start() { start_next(); }
  /// The address tried last; empty if none was yet.
  Address latest() const;

 private:
  struct Runner {
    std::size_t index;  // in remotes_
    std::unique_ptr<ConnectAttempt> attempt;
  };

  void start_next();
  void on_finished(ConnectAttempt& attempt);
  void win(ConnectAttempt& attempt);
  void lose();

  EventLoop& loop_;
  std::vector<Address> remotes_;
  std::vector<Address> locals_;
  std::optional<Duration> delay_;
  Function<void(Outcome)> done_;
  std::size_t next_ = 0;
  std::vector<Runner> runners_;  // in the order of their starts
  std::vector<Error> errors_;    // by index; empty where nothing failed yet
  Timer delay_timer_;
};

}  // namespace ferry
