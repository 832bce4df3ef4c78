#pragma once

#include <ferry/gather.h>

namespace ferry {

/// The future of a shield.
template <class T>
class ShieldCell final : public FutureCell<T>, public DependentFuture {
 public:
  explicit ShieldCell(Future<T> inner)
      : FutureCell<T>(inner.get_loop()), inner_(std::move(inner)) {}

  void all_awaited(std::vector<FutureState*>& futures) const override {
    if (inner_.valid()) futures.push_back(inner_.state());
  }
  std::string_view what() const noexcept override { return "shield"; }
  void let_go() noexcept { inner_ = {}; }

 private:
  Future<T> inner_;  // until this is done
};

/// Protects what it waits for: cancelling the future that is returned, or the task that awaits it,
/// leaves `awaitable` running. If that is cancelled itself, so is the shield. What fails after the
/// shield was cancelled goes to the exception handler. Keep the task that is shielded.
/// https://docs.python.org/3/library/asyncio-task.html#asyncio.shield
template <class T>
Future<T> shield(Future<T> inner) {
  if (inner.done()) return inner;
  auto* const cell = new ShieldCell<T>(inner);
  const Future<T> outer(cell);
  const auto id = inner.add_done_callback([outer, cell](Future<T> done) {
    if (outer.done()) return;  // cancelled; the inner future reports what nobody asks for
    cell->let_go();
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
      try {
        outer.set_result(detail::stored_value(done));
      } catch (...) {  // a copy of the value
        outer.set_exception(std::current_exception());
      }
    }
  });
  outer.set_cancel_hook([inner, id, cell] {
    inner.remove_done_callback(id);
    cell->let_go();
  });
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
