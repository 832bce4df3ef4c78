#include "scenarios.h"

#include <set>
#include <stdexcept>
#include <string>
#include <string_view>

namespace ferry::test {

namespace {

/// Addresses that never answer, names of the scenario's own.
constexpr const char* kSimulated[] = {"unanswered-tcp", "several-addresses-tcp"};

}  // namespace

std::vector<testing::Scenario> scenarios(bool real) {
  std::vector<testing::Scenario> all;
  add_chaos_scenarios(all);
  add_bank_scenarios(all);
  add_record_scenarios(all);
  add_echo_scenarios(all);
  add_connection_scenarios(all);
  add_stream_scenarios(all);
  add_stream_flow_scenarios(all);
  add_sync_scenarios(all);
  add_condition_scenarios(all);
  add_queue_scenarios(all);
  add_group_scenarios(all);
  add_task_scenarios(all);
  add_race_scenarios(all);
  add_connect_scenarios(all);
  add_upgrade_scenarios(all);
  add_flow_scenarios(all);
  add_server_scenarios(all);
  add_tls_scenarios(all);
  add_relay_scenarios(all);
  add_datagram_scenarios(all);
  add_loop_scenarios(all);
  add_stream_server_scenarios(all);
  add_stream_pool_scenarios(all);
  add_datagram_stream_scenarios(all);
  add_close_scenarios(all);
  add_stream_end_scenarios(all);
  add_job_scenarios(all);
  add_stream_upgrade_scenarios(all);
  add_timeout_scenarios(all);
  add_sendfile_scenarios(all);
  add_bulk_scenarios(all);
  std::set<std::string_view> names;
  for (const testing::Scenario& each : all) {
    // Of two with one name only the first could be asked for.
    if (!names.insert(each.name).second) {
      throw std::logic_error("two scenarios are called '" + each.name + "'");
    }
  }
  if (!real) return all;
  for (const char* name : kSimulated) {
    const auto same = [name](const testing::Scenario& each) { return each.name == name; };
    if (std::erase_if(all, same) != 1) throw std::logic_error(std::string("who is ") + name + "?");
  }
  return all;
}

}  // namespace ferry::test
