#include "task_probe.h"

namespace ferry::test {

namespace {

struct Name {
  std::string_view what;
  const char* state;
};

constexpr Name kCancelled[] = {
    {"stream read", "cancel in read"},
    {"stream drain", "cancel in drain"},
    {"datagram", "cancel in recvfrom"},
    {"lock", "cancel in Lock"},
    {"semaphore", "cancel in Semaphore"},
    {"event", "cancel in Event"},
    {"condition", "cancel in Condition"},
    {"barrier", "cancel in Barrier"},
    {"queue.get", "cancel in Queue.get"},
    {"queue.put", "cancel in Queue.put"},
    {"task group", "cancel while a TaskGroup waits for its tasks"},
};

constexpr Name kWoken[] = {
    {"lock", "cancel between wake-up and turn in Lock"},
    {"semaphore", "cancel between wake-up and turn in Semaphore"},
    {"event", "cancel between wake-up and turn in Event"},
    {"condition", "cancel between wake-up and turn in Condition"},
    {"barrier", "cancel between wake-up and turn in Barrier"},
    {"queue.get", "cancel between wake-up and turn in Queue.get"},
    {"queue.put", "cancel between wake-up and turn in Queue.put"},
};

void note(testing::Trial& trial, std::span<const Name> names, std::string_view what) {
  for (const Name& each : names) {
    if (each.what == what) return trial.reached(each.state);
  }
}

}  // namespace

void note_cancel(testing::Trial& trial, std::string_view waiting) {
  note(trial, kCancelled, waiting);
}

void note_cancel_of_woken(testing::Trial& trial, std::string_view waited) {
  note(trial, kWoken, waited);
}

}  // namespace ferry::test
