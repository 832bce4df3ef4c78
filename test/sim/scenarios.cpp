#include "scenarios.h"

namespace ferry::test {

std::vector<testing::Scenario> scenarios() {
  std::vector<testing::Scenario> all;
  add_chaos_scenarios(all);
  add_bank_scenarios(all);
  add_echo_scenarios(all);
  add_connection_scenarios(all);
  return all;
}

}  // namespace ferry::test
