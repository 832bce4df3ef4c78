#pragma once

#include "stream_transport.h"

namespace ferry {

/// What can be done with `fd` as one end of a pipe. Throws std::invalid_argument if it is no pipe,
/// stream socket or character device.
StreamEnds pipe_ends(Kernel& kernel, int fd, bool reads);

}  // namespace ferry
