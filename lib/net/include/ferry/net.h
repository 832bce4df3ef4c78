#pragma once

// Everything of the callback layer: loop, transports, protocols, servers, connections, datagrams,
// relay; listening sockets from elsewhere. Servers on many loops are in ferry/group_server.h.
#include <ferry/buffer.h>
#include <ferry/connect.h>
#include <ferry/datagram.h>
#include <ferry/event_loop.h>
#include <ferry/listeners.h>
#include <ferry/pipe.h>
#include <ferry/protocol.h>
#include <ferry/relay.h>
#include <ferry/sendfile.h>
#include <ferry/server.h>
#include <ferry/sock.h>
#include <ferry/subprocess.h>
#include <ferry/transport.h>
