#pragma once

// Everything for coroutines.
#include <ferry/as_completed.h>     // IWYU pragma: export
#include <ferry/async_context.h>    // IWYU pragma: export
#include <ferry/async_generator.h>  // IWYU pragma: export
#include <ferry/awaitable.h>        // IWYU pragma: export
#include <ferry/barrier.h>          // IWYU pragma: export
#include <ferry/call_graph.h>       // IWYU pragma: export
#include <ferry/condition.h>        // IWYU pragma: export
#include <ferry/context.h>          // IWYU pragma: export
#include <ferry/event.h>            // IWYU pragma: export
#include <ferry/exception_group.h>  // IWYU pragma: export
#include <ferry/finally.h>          // IWYU pragma: export
#include <ferry/gather.h>           // IWYU pragma: export
#include <ferry/lock.h>             // IWYU pragma: export
#include <ferry/queue.h>            // IWYU pragma: export
#include <ferry/run.h>              // IWYU pragma: export
#include <ferry/semaphore.h>        // IWYU pragma: export
#include <ferry/shield.h>           // IWYU pragma: export
#include <ferry/sleep.h>            // IWYU pragma: export
#include <ferry/staggered_race.h>   // IWYU pragma: export
#include <ferry/task.h>             // IWYU pragma: export
#include <ferry/task_dump.h>        // IWYU pragma: export
#include <ferry/task_factory.h>     // IWYU pragma: export
#include <ferry/task_group.h>       // IWYU pragma: export
#include <ferry/timeout.h>          // IWYU pragma: export
#include <ferry/to_thread.h>        // IWYU pragma: export
#include <ferry/wait.h>             // IWYU pragma: export
