#pragma once

#include <ferry/event_loop.h>

#include <atomic>
#include <mutex>
#include <ferry/source_location.h>
#include <vector>

namespace ferry {

/// What a loop and the threads that post to it share.
struct MailboxState {
  struct Letter {
    Function<void()> callback;
    SourceLocation where;
  };

  std::mutex mutex;
  std::vector<Letter> letters;
  Kernel* kernel = nullptr;            // null: the loop is closed
  std::atomic<bool> has_mail = false;  // letters is not empty; read without the lock
};

}  // namespace ferry
