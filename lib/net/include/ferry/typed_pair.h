#pragma once

#include <ferry/future.h>

#include <exception>
#include <memory>
#include <utility>

namespace ferry::detail {

// What is to be done with what nobody waits for any more.
template <class Pair>
void give_up(Pair& pair) {
  if constexpr (requires { pair.transport->abort(); }) {
    pair.transport->abort();
  } else {
    pair.transport->close();
  }
}

/// `plain`, a transport with its protocol, with the protocol as what its factory made: a
/// Connection<>, DatagramEndpoint<> or Subprocess<> as one of `Typed`. Cancelling either cancels
/// both.
template <class Typed, class Plain>
Future<Typed> typed_pair(EventLoop& loop, Future<Plain> plain) {
  using P = typename decltype(Typed::protocol)::element_type;
  Future<Typed> typed;
  try {
    typed = Future<Typed>(loop);
  } catch (...) {
    plain.cancel();  // nobody would know of it
    throw;
  }
  typed.set_cancel_hook([plain] { plain.cancel(); });
  plain.add_done_callback([typed](Future<Plain> done) {
    if (typed.done()) {  // cancelled, perhaps after all was ready
      if (!done.cancelled() && !done.exception()) give_up(done.result());
      return;
    }
    if (done.cancelled()) {
      typed.cancel();
    } else if (std::exception_ptr exception = done.exception()) {
      typed.set_exception(std::move(exception));
    } else {
      Plain& made = done.result();
      typed.set_result(
          Typed{std::move(made.transport), std::static_pointer_cast<P>(std::move(made.protocol))});
    }
  });
  return typed;
}

}  // namespace ferry::detail
