#pragma once

#include "listen_socket.h"

#include <ferry/server.h>

#include <memory>
#include <vector>

namespace ferry {

/// Makes a server over bound sockets. Throws std::system_error.
using ServerMaker = Function<std::shared_ptr<Server>(std::vector<BoundSocket>)>;

/// Throws std::invalid_argument if there is no factory, or the backlog is negative.
void check_listening(bool factory, int backlog, const char* what);
/// Binds what the options name, or adopts the sockets in them, and calls `make`; what that throws
/// comes out of the future. Throws std::invalid_argument if the options contradict each other.
Future<std::shared_ptr<Server>> bind_server(EventLoop& loop, ListenOptions options,
                                            ServerMaker make);
Future<std::shared_ptr<Server>> bind_unix_server(EventLoop& loop, const UnixListenOptions& options,
                                                 ServerMaker make);

}  // namespace ferry
