#include "accepted.h"

#include "stream_transport.h"

#include <stdexcept>
#include <utility>

namespace ferry {

bool start_accepted(EventLoop& loop, Socket socket, const Address& peer,
                    std::shared_ptr<ConnectionSet> set, ProtocolFactory factory,
                    const ProtocolWrap& wrap) {
  std::shared_ptr<Protocol> protocol;
  try {
    protocol = factory();
    if (protocol && wrap) protocol = wrap(std::move(protocol));
    if (!protocol) throw std::logic_error("the protocol factory gave no protocol");
    StreamTransport::start(loop,
                           {std::move(socket), protocol, peer, std::move(set), /*made=*/nullptr});
    return true;
  } catch (const LoopExit&) {
    throw;
  } catch (...) {
    // One bad connection in a busy server is no news, unless somebody is looking for it.
    if (!loop.debug()) return false;
    ExceptionContext context;
    context.message = "a connection from " + peer.to_string() + " could not be taken";
    context.exception = std::current_exception();
    context.protocol = protocol.get();
    loop.call_exception_handler(context);
    return false;
  }
}

}  // namespace ferry
