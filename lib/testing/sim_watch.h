#pragma once

#include "sim_turns.h"

#include <ferry/kernel.h>

#include <cstdint>

namespace ferry::testing {

struct SimSocket;

/// An edge-triggered watch of a simulated socket: it hears that something changed (`edge`), and
/// in the next turn queues a call if it is armed and the socket is ready then, as epoll does.
/// If it is not armed then the edge is gone, as with epoll: later only `Arm::if_ready` asks again.
class SimWatch final : public FdWatch {
 public:
  SimWatch(SimTurns& turns, SimSocket& socket, Listener& listener);

  void arm(Direction direction, Arm how) override;
  void disarm(Direction direction) override;
  void close() noexcept override;

  // -- for the socket
  void edge(Direction direction);

  // -- for SimTurns, which holds the watch while it is on a list of its
  void hold() noexcept { ++holds_; }
  void let_go() noexcept;
  bool listed = false;
  std::uint8_t kept_back = 0;  // looks in a row that found it ready and did not say so
  /// True if an armed direction has an edge that `take_edge` will take. Forgets it if not.
  bool has_call(Direction direction);
  /// Takes the edge of an armed direction; true if the listener is to be called.
  bool take_edge(Direction direction);
  bool drain_pending() const noexcept;
  /// True, once, if the call queued before is still wanted.
  bool take_call(Direction direction);
  Listener& listener() noexcept { return listener_; }
  /// The socket's descriptor, open or not.
  int fd() const noexcept { return fd_; }

 private:
  struct Side {
    bool armed = false;
    bool edge = false;    // something changed since it was last taken
    bool queued = false;  // a call waits for delivery
  };
  ~SimWatch() = default;
  Side& side(Direction direction) { return direction == Direction::read ? read_ : write_; }
  bool ready(Direction direction) noexcept;

  SimTurns& turns_;
  SimSocket* socket_;  // null once closed
  int fd_;
  Listener& listener_;
  Side read_;
  Side write_;
  bool write_known_ = false;  // epoll has been asked about writing
  int holds_ = 1;             // its owner's
};

}  // namespace ferry::testing
