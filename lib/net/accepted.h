#pragma once

#include "connection_set.h"

#include <ferry/server.h>

#include <memory>

namespace ferry {

/// Makes the protocol of an accepted connection and starts its transport, a member of `set`. False,
/// and the connection is closed, if the gate (null: none) did not admit it, or one of these failed;
/// debug mode reports that. Throws LoopExit.
bool start_accepted(EventLoop& loop, Socket socket, const Address& peer,
                    std::shared_ptr<ConnectionSet> set, ProtocolFactory factory,
                    const ProtocolWrap& wrap, ConnectionGate* gate);

}  // namespace ferry
