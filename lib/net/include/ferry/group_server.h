#pragma once

#include <ferry/loop_group.h>
#include <ferry/server.h>

namespace ferry {

/// How the connections of one server come to many loops.
enum class Spread {
  /// One loop accepts, and hands each socket to the loop that has the fewest connections of all
  /// servers of the group. Even; one more hop between threads for each connection.
  least_loaded,
  /// Each loop listens for itself on the same port (SO_REUSEPORT, socket(7)) and the kernel spreads
  /// by a hash of the addresses. Nothing shared; uneven with few connections. TCP only.
  reuse_port,
};

/// Makes the protocol of one new connection of the loop given, on whose thread it is called: from
/// several threads at once, so what it shares must bear that. `ListenOptions::wrap` is called in
/// the same way.
using GroupProtocolFactory = Function<std::shared_ptr<Protocol>(EventLoop&)>;

/// Listens for TCP connections and spreads them over the loops of `group`. The server itself
/// belongs to `loop`, the main thread's or any other: there it is used and its futures are
/// completed, and with least_loaded there it accepts. `Server::connections` counts those on all
/// loops, and those on their way to one. `max_connections` is exact with least_loaded; with
/// reuse_port loops that accept at the same moment may exceed it by one each.
///
/// Should one loop of the group fail, its connections are lost, but no other: sockets on their way
/// to it, and with reuse_port its listening sockets with all that waits there, go to the others.
/// When the group has been stopped nothing is accepted any more. The server may outlive the group.
Future<std::shared_ptr<Server>> create_server(EventLoop& loop, LoopGroup& group,
                                              GroupProtocolFactory factory,
                                              ListenOptions options = {},
                                              Spread spread = Spread::least_loaded);
/// The same on a unix stream socket; always least_loaded.
Future<std::shared_ptr<Server>> create_unix_server(EventLoop& loop, LoopGroup& group,
                                                   GroupProtocolFactory factory,
                                                   UnixListenOptions options);

}  // namespace ferry
