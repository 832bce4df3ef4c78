#pragma once

#include <ferry/connection_limit.h>
#include <ferry/idle_limit.h>
#include <ferry/pass_through.h>
#include <ferry/rate_limit.h>
#include <ferry/server.h>
#include <ferry/traffic_log.h>

#include <vector>

namespace ferry {

/// Several wraps as one, the first of them next to the socket:
///
///     options.wrap = stacked({rate_limit(limits), tls_server(context), idle_limit(30s)});
///
/// limits the encrypted bytes, and asks for a message of the application every thirty seconds.
/// Empty wraps are passed over.
ProtocolWrap stacked(std::vector<ProtocolWrap> wraps);

}  // namespace ferry
