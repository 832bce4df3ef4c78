#pragma once

#include "datagram_socket.h"

#include <string>
#include <utility>

namespace ferry {

/// Calls the protocol, its sends gathered. What it throws is the exception handler's; the socket
/// stays as it is. A LoopExit leaves through the next ready callback, so that no socket is left
/// half way.
template <class Callback>
void DatagramSocket::call(const char* name, Callback&& callback) {
  const Cork cork(*this);
  ++callbacks_;
  try {
    callback(*protocol_);
  } catch (const LoopExit& exit) {
    loop().exit_soon(exit);
  } catch (...) {
    ExceptionContext context;
    context.message =
        report_text([name] { return std::string("DatagramProtocol.") + name + "() failed"; });
    context.exception = std::current_exception();
    try {
      loop().call_exception_handler(context);
    } catch (const LoopExit& exit) {
      loop().exit_soon(exit);
    }
  }
  if (--callbacks_ == 0 && !replaced_.empty()) replaced_.clear();
}

}  // namespace ferry
