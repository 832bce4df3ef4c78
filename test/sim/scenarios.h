#pragma once

#include <ferry/testing/seeds.h>

#include <vector>

namespace ferry::test {

// Each file of scenarios has one of these.
void add_chaos_scenarios(std::vector<testing::Scenario>& all);
void add_bank_scenarios(std::vector<testing::Scenario>& all);
void add_record_scenarios(std::vector<testing::Scenario>& all);
void add_bulk_scenarios(std::vector<testing::Scenario>& all);
void add_echo_scenarios(std::vector<testing::Scenario>& all);
void add_connection_scenarios(std::vector<testing::Scenario>& all);
void add_stream_scenarios(std::vector<testing::Scenario>& all);
void add_stream_flow_scenarios(std::vector<testing::Scenario>& all);
void add_sync_scenarios(std::vector<testing::Scenario>& all);
void add_condition_scenarios(std::vector<testing::Scenario>& all);
void add_queue_scenarios(std::vector<testing::Scenario>& all);
void add_group_scenarios(std::vector<testing::Scenario>& all);
void add_task_scenarios(std::vector<testing::Scenario>& all);
void add_race_scenarios(std::vector<testing::Scenario>& all);
void add_connect_scenarios(std::vector<testing::Scenario>& all);
void add_upgrade_scenarios(std::vector<testing::Scenario>& all);
void add_flow_scenarios(std::vector<testing::Scenario>& all);
void add_server_scenarios(std::vector<testing::Scenario>& all);
void add_tls_scenarios(std::vector<testing::Scenario>& all);
void add_relay_scenarios(std::vector<testing::Scenario>& all);
void add_datagram_scenarios(std::vector<testing::Scenario>& all);
void add_loop_scenarios(std::vector<testing::Scenario>& all);
void add_stream_server_scenarios(std::vector<testing::Scenario>& all);
void add_stream_pool_scenarios(std::vector<testing::Scenario>& all);
void add_datagram_stream_scenarios(std::vector<testing::Scenario>& all);
void add_close_scenarios(std::vector<testing::Scenario>& all);
void add_stream_end_scenarios(std::vector<testing::Scenario>& all);
void add_job_scenarios(std::vector<testing::Scenario>& all);
void add_stream_upgrade_scenarios(std::vector<testing::Scenario>& all);
void add_timeout_scenarios(std::vector<testing::Scenario>& all);
void add_sendfile_scenarios(std::vector<testing::Scenario>& all);

/// All of them; on the system's own kernel without those that need what only a simulation has.
std::vector<testing::Scenario> scenarios(bool real = false);

/// Those that scenarios without coroutines reach.
void add_rare_states(std::vector<const char*>& all);
/// The states that must be met now and then (Trial::reached), in any of the scenarios.
std::vector<const char*> rare_states();
/// Those of tasks and streams.
std::vector<const char*> stream_states();

}  // namespace ferry::test
