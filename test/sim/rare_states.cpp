#include "scenarios.h"

namespace ferry::test {

std::vector<const char*> rare_states() {
  return {
      "paused while writing",
      "close while paused",
      "lost while paused",
      "connect cancelled while addresses race",
  };
}

}  // namespace ferry::test
