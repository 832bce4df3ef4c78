#include "accepted.h"

#include "stream_transport.h"

#include <sys/socket.h>

#include <array>
#include <initializer_list>
#include <new>
#include <stdexcept>
#include <utility>

namespace ferry {
namespace {

/// `set`, and with its last holder, the connection, goes the ticket. In the pointer's own memory,
/// so that connections without a ticket pay nothing.
std::shared_ptr<ConnectionSet> with_ticket(std::shared_ptr<ConnectionSet> set,
                                           std::shared_ptr<void> ticket) {
  struct Both {
    std::shared_ptr<ConnectionSet> set;
    std::shared_ptr<void> ticket;
  };
  ConnectionSet* const kept = set.get();
  return {std::make_shared<Both>(Both{std::move(set), std::move(ticket)}), kept};
}

/// False. To close a socket that holds unread bytes is to send a reset, which may destroy `words`
/// on their way: what has come is discarded before.
bool refuse(Socket socket, Kernel& kernel, const std::string& words) {
  if (words.empty()) return false;
  kernel.send(socket.get(), words);
  kernel.shutdown(socket.get(), SHUT_WR);
  std::array<std::byte, 16 * 1024> unwanted;
  for (int i = 0; i < 16; ++i) {
    const IoResult r = kernel.recv(socket.get(), unwanted);
    if (!r.ok() || r.value == 0) break;
  }
  return false;
}

/// The fault is not the connection's: the next one will not fare better.
bool is_out_of_resources(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::bad_alloc&) {
    return true;
  } catch (const std::system_error& error) {
    // ENOSPC is epoll_ctl(2)'s: max_user_watches.
    for (const std::errc each : {std::errc::not_enough_memory, std::errc::no_space_on_device,
                                 std::errc::no_buffer_space}) {
      if (error.code() == each) return true;
    }
    return false;
  } catch (...) {
    return false;
  }
}

}  // namespace

bool start_accepted(EventLoop& loop, Socket socket, const Address& peer,
                    std::shared_ptr<ConnectionSet> set, ProtocolFactory factory,
                    const ProtocolWrap& wrap, ConnectionGate* gate) {
  std::shared_ptr<Protocol> protocol;
  try {
    if (gate) {
      Admission admission = gate->admit(peer);
      if (!admission.admitted) return refuse(std::move(socket), loop.kernel(), admission.refusal);
      if (admission.ticket) set = with_ticket(std::move(set), std::move(admission.ticket));
    }
    protocol = factory();
    if (protocol && wrap) protocol = wrap(std::move(protocol));
    if (!protocol) throw std::logic_error("the protocol factory gave no protocol");
    StreamTransport::start(loop,
                           {std::move(socket), protocol, peer, std::move(set), /*made=*/nullptr});
    return true;
  } catch (const LoopExit&) {
    throw;
  } catch (...) {
    ExceptionContext context;
    context.exception = std::current_exception();
    // One bad connection in a busy server is no news, unless somebody is looking for it. That the
    // system has no room for one is.
    if (!loop.debug() && !is_out_of_resources(context.exception)) return false;
    context.message = report_text(
        [&peer] { return "a connection from " + peer.to_string() + " could not be taken"; });
    context.protocol = protocol.get();
    loop.call_exception_handler(context);
    return false;
  }
}

}  // namespace ferry
