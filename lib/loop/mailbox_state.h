#pragma once

#include <ferry/event_loop.h>

#include <ferry/source_location.h>
#include <atomic>
#include <mutex>
#include <utility>
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
  ReservedLetter* reserved = nullptr;  // those that have come, the oldest first
  ReservedLetter** reserved_end = &reserved;
  Kernel* kernel = nullptr;  // null: the loop is closed

  /// What call_soon must look at before it takes its short way; 0 nearly always. Read without the
  /// lock.
  enum Attention : unsigned { mail = 1, debug = 2, closed = 4 };
  std::atomic<unsigned> attention = 0;

  /// With the lock: takes out all reserved letters.
  ReservedLetter* take_reserved() noexcept {
    reserved_end = &reserved;
    return std::exchange(reserved, nullptr);
  }
  /// Destroys their callbacks, and so perhaps the letters.
  static void drop(ReservedLetter* letters) noexcept {
    while (letters) {
      ReservedLetter* const letter = std::exchange(letters, letters->next);
      const Function<void()> dropped = std::move(letter->callback);
    }
  }

  bool needs(unsigned what) const noexcept {
    return (attention.load(std::memory_order_relaxed) & what) != 0;
  }
};

}  // namespace ferry
