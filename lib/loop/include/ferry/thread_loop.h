#pragma once

namespace ferry {

class EventLoop;

/// The loop that this thread runs; while it runs none, the one that was set for it. Throws
/// std::logic_error if there is neither: no loop is ever made here. Code that runs on a loop asks
/// for `get_running_loop`.
/// https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.get_event_loop
EventLoop& get_event_loop();
/// Makes `loop`, which stays the caller's, the one of this thread; null: none. One that is
/// destroyed, on this thread, is forgotten.
void set_event_loop(EventLoop* loop) noexcept;

}  // namespace ferry
