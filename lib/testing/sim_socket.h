#pragma once

#include <ferry/address.h>
#include <ferry/buffer.h>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ferry::testing {

class SimWatch;
struct SimFlow;

/// Some bytes in a pipe, and how many may be written behind them; none behind spliced ones.
struct SimPage {
  static constexpr std::size_t kSize = 4096;
  std::size_t bytes;
  std::size_t room;
};

/// A datagram that waits to be received.
struct SimDatagram {
  std::string bytes;
  Address from;
  Address to;
  int tos = 0;
};

/// One end of a simulated connection, or a listener. What was sent to it waits in its inbox; what
/// it sends goes straight to its peer's, or through the network, if there is one (SimWires). Or a
/// datagram socket, `connected` if it has a remote address.
struct SimSocket {
  enum class State { fresh, listening, connecting, connected, dead };

  int fd = -1;  // -1 before it is accepted
  int family = AF_UNSPEC;
  int type = SOCK_STREAM;
  enum class PipeEnd { none, read, write } pipe_end = PipeEnd::none;  // a unix socket inside
  State state = State::fresh;
  SimWatch* watch = nullptr;

  Address local;             // empty until bound or connected
  Address remote;            // empty until connect
  bool named = false;        // `local` is in the table of names
  bool shares_name = false;  // an accepted one: it is there beside its listener
  std::map<std::pair<int, int>, int> options;
  std::size_t send_size = 0;     // SO_SNDBUF
  std::size_t receive_size = 0;  // SO_RCVBUF

  // -- a listener's
  std::size_t backlog = 0;
  std::deque<std::unique_ptr<SimSocket>> pending;

  // -- a datagram socket's
  std::deque<SimDatagram> datagrams;
  std::size_t memory = 0;           // that they take of SO_RCVBUF
  std::size_t queue_limit = 0;      // of a unix one
  std::vector<SimSocket*> senders;  // unix ones whose `peer` this is
  std::set<Address> groups;         // with port 0

  // -- a connection's
  SimSocket* peer = nullptr;  // null when the other end is closed, or the connection is dead;
                              // of datagrams only a unix socket's
  bool accepted = false;      // the other end connected
  SimFlow* out = nullptr;     // the network's way to the peer, open or not; null: there is none
  Buffer inbox;
  bool fin_received = false;
  bool refused = false;  // its connect failed; the next one only says so
  bool shut_read = false;
  bool shut_write = false;
  bool closed_first = false;  // its FIN was sent before the other's came
  bool send_blocked = false;  // somebody was told that it is full: the end of that is an edge
  std::size_t arrivals = 0;   // pieces that the inbox came in, about: splice moves them as they are
  std::deque<SimPage> pages;  // of a pipe's reading end: what the inbox lies in
  int error = 0;              // what the next call, or SO_ERROR, reports

  bool is_unix() const noexcept { return family == AF_UNIX; }
  bool is_pipe() const noexcept { return pipe_end != PipeEnd::none; }
  bool is_datagram() const noexcept { return type == SOCK_DGRAM; }
  bool option(int level, int name) const {
    const auto found = options.find({level, name});
    return found != options.end() && found->second != 0;
  }

  /// As poll(2) would say, with POLLHUP and POLLERR in both.
  bool readable() const noexcept;
  bool writable() const noexcept;
  /// A FIN or an error waits behind the data.
  bool end_pending() const noexcept;
  /// The queue of a unix datagram socket has no room for that sender; there is always some for one
  /// that it is connected to itself.
  bool full_for(const SimSocket& sender) const noexcept {
    return peer != &sender && this != &sender && datagrams.size() > queue_limit;
  }
  /// Bytes `send` would take.
  std::size_t space() const noexcept;
  /// Of a pipe's writing end: how many pages are free, and how much each holds.
  std::size_t free_pages() const noexcept;
  std::size_t page_size() const noexcept { return std::min(SimPage::kSize, capacity()); }
  /// The first `count` bytes of these arrive.
  void append(std::span<const BytesView> pieces, std::size_t count);
  /// The first of what has arrived is taken out.
  void consume(std::size_t count) noexcept;
  /// Who waits for room is told if there is enough.
  void unblock();
  void edge_read();
  void edge_write();
  /// Who was told that its peer's queue is full, and can send now, is told so.
  void wake_senders();
  /// It gets a RST.
  void reset();
  /// The other end drops what it has not sent: all that is more than SO_RCVBUF, and a FIN behind
  /// it.
  void drop_unsent();
  /// TCP, and the FINs of both sides have arrived: nobody will hear anything of the other.
  bool is_over() const noexcept;
  /// TCP that hears nothing more: what comes all the same it answers with a RST.
  bool is_deaf() const noexcept { return shut_read && shut_write && !is_unix(); }

 private:
  std::size_t capacity() const noexcept { return send_size + (peer ? peer->receive_size : 0); }
};

}  // namespace ferry::testing
