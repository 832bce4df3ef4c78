#include "scenarios.h"

namespace ferry::test {

std::vector<const char*> rare_states() {
  std::vector<const char*> all = {
      "paused while writing",
      "close while paused",
      "lost while paused",
  };
  for (const char* each : stream_states()) all.push_back(each);
  return all;
}

}  // namespace ferry::test
