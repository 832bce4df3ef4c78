#pragma once

#include "options.h"

#include <ferry/tls.h>

namespace ferry::bench {

/// The server's side: with the files of `options`, or a certificate made for this run.
ProtocolWrap serving_tls(const ServeOptions& options);
/// The client's: whoever the server is, its certificate is as good as any.
ProtocolWrap dialing_tls();

}  // namespace ferry::bench
