#include "scenarios.h"

namespace ferry::test {

std::vector<const char*> rare_states() {
  return {
      "abort with a full queue",
      "close while reading is paused",
      "close while writing is paused",
      "end of writing while paused",
      "connect cancelled while addresses race",
  };
}

}  // namespace ferry::test
