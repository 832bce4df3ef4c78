#pragma once

#include "options.h"

#include <ferry/net.h>

namespace ferry::bench {

/// How a load generator connects: within ten seconds, and from so many addresses of 127/8 that
/// neither `index` open connections nor ports in TIME_WAIT use up the ports of one.
Future<Connection<>> dial(EventLoop& loop, ProtocolFactory factory, const Endpoint& to,
                          std::size_t index);

/// Opens many connections to one server, a bounded number at a time so that no backlog overflows.
class Dialer {
 public:
  using Factory = Function<std::shared_ptr<Protocol>(std::size_t index)>;

  /// `loop` and this object must live until the future of `open` is done. `first`: what is added to
  /// each index where a connection comes from.
  Dialer(EventLoop& loop, Endpoint to, std::size_t count, Factory factory, std::size_t first = 0);
  /// Done when all are open; fails with the first IoError.
  Future<void> open();

 private:
  void dial();

  EventLoop& loop_;
  Endpoint to_;
  std::size_t count_;
  Factory factory_;
  std::size_t first_;
  std::size_t begun_ = 0;
  std::size_t opened_ = 0;
  Future<void> done_;
};

}  // namespace ferry::bench
