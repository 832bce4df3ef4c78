#include "scenarios.h"

#include "watching.h"

namespace ferry::test {

namespace {

/// What scenarios tell of themselves.
constexpr const char* kTold[] = {
    "deadline while the answer is on its way",
    "answer and deadline in one moment",
    "a descriptor's number comes back at once",
    "the loop is closed with a queue",
    "the loop is closed while writing is paused",
    "the loop is closed while connecting",
    "a datagram comes twice",
    "a datagram is overtaken",
    "a datagram is refused",
    "no memory for a datagram",
    "the queue of datagrams is full",
    "the sending of datagrams is paused",
    "datagrams are missing",
    "more datagrams than fit into a batch",
    "close with a queue of datagrams",
    "a datagram socket is closed while paused",
    "the queue grows beyond its hard limit",
    "new limits on both sides of the queue",
    "reading is paused with more to be read",
    "an idle limit is over",
    "a timer is set again before it came",
    "a timer is cancelled when it is due",
    "a call_soon is cancelled",
    "a single receive is cancelled",
    "a reader is removed with more to be read",
    "one side is lost before its relay began",
    "a limit of a relay is over",
    "a relay's sides are silent",
    "a relay's side is silent after the other's end",
    "a relay's side takes nothing after the other's end",
    "a relay is cancelled",
    "a server has all the connections it may have",
    "a connection is refused by a gate",
    "drain aborts connections",
    "drain waits for the last one",
    "the new server is there while the old one drains",
    "connecting is cancelled in handshake",
    "the server is silent in handshake",
    "the client is silent in handshake",
    "the limit of TLS's shutdown is over",
    "a session is resumed",
    "there are too many handshakes",
    "exception out of connection_made",
    "exception out of data_received",
    "exception out of eof_received",
    "exception out of pause_writing",
    "exception out of resume_writing",
    "exception out of connection_lost",
};

}  // namespace

void add_rare_states(std::vector<const char*>& all) {
  const std::vector<const char*> seen = Watching::names();
  all.insert(all.end(), seen.begin(), seen.end());
  all.insert(all.end(), std::begin(kTold), std::end(kTold));
}

std::vector<const char*> rare_states() {
  std::vector<const char*> all;
  add_rare_states(all);
  return all;
}

}  // namespace ferry::test
