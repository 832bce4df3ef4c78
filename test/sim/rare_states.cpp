#include "scenarios.h"

#include "watching.h"

namespace ferry::test {

void add_rare_states(std::vector<const char*>& all) {
  // What Watching sees in any scenario, then what scenarios tell of themselves.
  const std::vector<const char*> seen = Watching::names();
  all.insert(all.end(), seen.begin(), seen.end());
  all.insert(all.end(), {
                            "abort with a full queue",
                            "close while reading is paused",
                            "close while writing is paused",
                            "end of writing while paused",
                            "connect cancelled while addresses race",
                            "deadline while the answer is on its way",
                            "answer and deadline in one moment",
                            "exception out of connection_made",
                            "exception out of data_received",
                            "exception out of eof_received",
                            "exception out of pause_writing",
                            "exception out of resume_writing",
                            "exception out of connection_lost",
                            "a descriptor's number comes back at once",
                            "the loop is closed while connecting",
                            "the loop is closed with a queue",
                            "the loop is closed while writing is paused",
                        });
}

std::vector<const char*> rare_states() {
  std::vector<const char*> all;
  add_rare_states(all);
  for (const char* each : stream_states()) all.push_back(each);
  return all;
}

}  // namespace ferry::test
