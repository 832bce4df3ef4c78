"""Bugs of the loop, its timers, and tasks."""

from planting import plant

# ---- the loop

plant(
    "callbacks_without_a_budget",
    "Node's process.nextTick, as its guide warns: callbacks that schedule callbacks starved I/O",
    "lib/loop/event_loop.cpp",
    "  for (std::size_t budget = kCallbacksPerTurn; budget > 0; --budget) {\n"
    "    if (ready_.taken() >= s.batch_end) {\n",
    "  for (;;) {\n    if (ready_.taken() >= s.batch_end) {\n")

# ---- timers

plant(
    "cancelled_timer_fires",
    "muduo #668, JeroMQ #534: a timer cancelled when it was as good as due fired all the same",
    "lib/loop/timer_queue.cpp",
    "    if (!timer.armed) {\n      live_[top.slot] = 0;\n      pop();\n",
    "    if (!timer.armed) {\n      timer.armed = true;\n      ++armed_;\n")

plant(
    "timer_early_by_rounding",
    "libuv (#4773, #1105), Node (#26578), uvloop (#739): time in whole milliseconds let timers fire "
    "up to one too early",
    "lib/loop/timer_queue.cpp",
    "    if (top.when > ticks(batch_end_)) return nullptr;\n",
    "    if (top.when / 1'000'000 > ticks(batch_end_) / 1'000'000) return nullptr;\n")

plant(
    "timers_of_one_deadline_out_of_order",
    "Tornado #1069, Ladybird #6260: a heap does not keep the order of equals",
    "lib/loop/timer_queue.h",
    "    return a.when != b.when ? a.when < b.when : static_cast<std::int32_t>(a.order - b.order) < "
    "0;\n",
    "    return a.when < b.when;\n")

# ---- tasks

plant(
    "lock_loses_wake_up",
    "asyncio (bpo-27585): a waiter of Lock woken and cancelled in one turn passed nothing on",
    "lib/task/lock.cpp",
    "    if (!lock_.locked_) lock_.waiters_.wake_first();\n",
    "")

plant(
    "semaphore_loses_wake_up",
    "asyncio (python/asyncio #270): the same of Semaphore",
    "lib/task/semaphore.cpp",
    "    semaphore_.hand_out();\n    throw;\n",
    "    throw;\n")

plant(
    "queue_loses_wake_up",
    "asyncio (cpython #108042): the same of Queue",
    "lib/task/queue.cpp",
    "      if (getter ? !queue_.is_empty() : !queue_.is_full()) list_.wake_next();\n",
    "      static_cast<void>(getter);\n")

plant(
    "condition_loses_notification",
    "asyncio (cpython #112202): notify and cancel in one turn woke nobody",
    "lib/task/condition.cpp",
    "    wake(1);\n",
    "")

plant(
    "task_group_swallows_cancel",
    "asyncio (cpython #116720): an outer cancellation was lost behind a child's error",
    "lib/task/task_group.cpp",
    "      parent.uncancel();\n      parent.cancel();\n",
    "")

plant(
    "timeout_swallows_cancel",
    "async-timeout #229, wait_for (cpython #86296): a cancellation from outside was taken for the "
    "timeout's own",
    "lib/task/timeout.cpp",
    "    if (task.uncancel() <= cancelling_ && failure) {\n",
    "    task.uncancel();\n    if (failure) {\n")
