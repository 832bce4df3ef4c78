#include "scenarios.h"

#include "watching.h"

namespace ferry::test {

namespace {

/// What scenarios tell of themselves.
constexpr const char* kTold[] = {
    "TLS begins before the answer",
    "connect cancelled while addresses race",
    "open_connection is cancelled",
    "a call_soon is cancelled",
    "a connection is refused by a gate",
    "a connection has read all it may in a turn",
    "a datagram comes twice",
    "a datagram is overtaken",
    "a datagram is refused",
    "a datagram socket is closed while paused",
    "a descriptor's number comes back at once",
    "a protocol is replaced in data_received",
    "a read fills the whole buffer",
    "a reader comes when bytes wait for it",
    "a relay begins to splice by itself",
    "a relay is cancelled",
    "a server has all the connections it may have",
    "a session is resumed",
    "a single receive is cancelled",
    "a timer is cancelled when it is due",
    "a timer is set again before it came",
    "a unix socket's queue is full",
    "an idle limit is over",
    "answer and deadline in one moment",
    "bytes of TLS come with the last line",
    "close during sendfile",
    "close with a queue of datagrams",
    "close with unread input",
    "connecting is cancelled",
    "connecting is cancelled in handshake",
    "connecting is refused",
    "datagrams are missing",
    "deadline while the answer is on its way",
    "drain aborts connections",
    "drain waits for the last one",
    "exception out of connection_lost",
    "exception out of connection_made",
    "exception out of data_received",
    "exception out of eof_received",
    "exception out of pause_writing",
    "exception out of resume_writing",
    "happy eyeballs are cancelled",
    "lost in the handshake of start_tls",
    "more datagrams than fit into a batch",
    "no memory for a datagram",
    "not the first address answers",
    "one side is lost before its relay began",
    "reading is paused with more to be read",
    "sendfile fails, its connection not",
    "sendfile is cancelled",
    "sendfile(2) is refused",
    "start_tls is cancelled",
    "the idle limit of a relay is over",
    "the limit of TLS's shutdown is over",
    "the limit of a client's handshake is over",
    "the limit of a half-closed relay is over",
    "the limit of a relay's drain is over",
    "the limit of a server's handshake is over",
    "the limit of connecting is over",
    "the loop is closed while connecting",
    "the loop is closed while writing is paused",
    "the loop is closed with a queue",
    "the new server is there while the old one drains",
    "the queue grows beyond its hard limit",
    "the queue of datagrams is full",
    "the sending of datagrams is paused",
    "there are too many handshakes",
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
  for (const char* each : stream_states()) all.push_back(each);
  return all;
}

}  // namespace ferry::test
