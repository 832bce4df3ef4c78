#include "scenarios.h"

namespace ferry::test {

std::vector<testing::Scenario> scenarios() {
  std::vector<testing::Scenario> all;
  add_echo_scenarios(all);
  add_stream_scenarios(all);
  add_stream_flow_scenarios(all);
  return all;
}

}  // namespace ferry::test
