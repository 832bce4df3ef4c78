#include "scenarios.h"

namespace ferry::test {

std::vector<const char*> stream_states() {
  return {
      "data while a view is lent",
      "limit overrun at a separator",
      "write_eof with bytes buffered",
      "incomplete read at the end",
      "drain had to wait",
      "the reader's transport is paused",
      "timeout in read",
      "timeout in read, bytes wait",
      "timeout in drain",
      // task_probe.cpp
      "cancel in read",
      "cancel in drain",
      "cancel in recvfrom",
      "cancel in Lock",
      "cancel in Semaphore",
      "cancel in Event",
      "cancel in Condition",
      "cancel in Barrier",
      "cancel in Queue.get",
      "cancel in Queue.put",
      "cancel while a TaskGroup waits for its tasks",
      "cancel between wake-up and turn in Lock",
      "cancel between wake-up and turn in Semaphore",
      "cancel between wake-up and turn in Event",
      "cancel between wake-up and turn in Condition",
      "cancel between wake-up and turn in Barrier",
      "cancel between wake-up and turn in Queue.get",
      "cancel between wake-up and turn in Queue.put",
  };
}

}  // namespace ferry::test
