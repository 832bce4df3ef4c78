#pragma once

#include <ferry/gather.h>

namespace ferry {

/// Protects what it waits for: cancelling the future that is returned, or the task that awaits it,
/// leaves `awaitable` running. If that is cancelled itself, so is the shield. What fails after the
/// shield was cancelled goes to the exception handler. Keep the task that is shielded.
/// https://docs.python.org/3/library/asyncio-task.html#asyncio.shield
template <class T>
Future<T> shield(Future<T> inner) {
  if (inner.done()) return inner;
  Future<T> outer(inner.get_loop());
  const auto id = inner.add_done_callback([outer](Future<T> done) {
    if (outer.done()) return;  // cancelled; the inner future reports what nobody asks for
    if (done.cancelled()) {
      try {
        done.result();
      } catch (const CancelledError& cancelled) {
        outer.cancel(cancelled.message());
      }
    } else if (std::exception_ptr failure = done.exception()) {
      outer.set_exception(std::move(failure));
    } else if constexpr (std::is_void_v<T>) {
      outer.set_result();
    } else {
      outer.set_result(detail::stored_value(done));
    }
  });
  outer.set_cancel_hook([inner, id] { inner.remove_done_callback(id); });
  return outer;
}
template <class T>
Future<T> shield(Coro<T> work) {
  return shield(Future<T>(create_task(std::move(work))));
}
template <AwaitableObject A>
Future<AwaitResult<A>> shield(A work) {
  return shield(as_coro(std::move(work)));
}

}  // namespace ferry
