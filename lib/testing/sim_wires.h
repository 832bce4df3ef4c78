#pragma once

#include "sim_agenda.h"
#include "sim_flow.h"
#include "sim_socket.h"

#include <ferry/bytes.h>
#include <ferry/function.h>
#include <ferry/testing/seed.h>
#include <ferry/testing/sim_network.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace ferry::testing {

class SimTurns;

/// The network of a SimKernel from inside: SimNetwork is what tests see of it, SimSockets puts
/// into it what is sent.
class SimWires {
 public:
  enum class Trouble : std::uint8_t { stall, partition, cut };

  SimWires(SimTurns& turns, std::uint64_t seed) : turns_(turns), seed_(seed, "net") {}
  SimWires(const SimWires&) = delete;
  SimWires& operator=(const SimWires&) = delete;

  /// False while nothing was ever set: then nobody need ask anything else.
  bool active() const noexcept { return active_; }
  /// Called once, when it becomes active, to `join` the connections there are.
  void set_join_all(Function<void()> join_all) { join_all_ = std::move(join_all); }
  /// Who gets datagrams that have arrived.
  void set_datagram_sink(Function<void(SimDatagram)> sink) { sink_ = std::move(sink); }

  // -- for SimNetwork
  void set_link(SimLink link, SimRoute route);
  std::uint64_t begin(Trouble trouble, SimRoute route, std::uint64_t bytes = 0,
                      SimEnds ends = SimEnds::both);
  void end(std::uint64_t number) noexcept;
  void end_all();
  std::size_t cut(SimRoute route, SimEnds ends);
  void tell_cut();
  SimNetworkStats stats() const;

  // -- for SimSockets
  /// A new TCP connection: its ends get their flows.
  void join(SimSocket& client, SimSocket& server);
  /// The end is closed; what it sent is on its way yet.
  void leave(SimSocket& socket) noexcept;
  void send(SimFlow& flow, std::span<const BytesView> pieces, std::size_t size);
  void send_fin(SimFlow& flow);
  void send_rst(SimFlow& flow);
  /// A RST instead of what has not arrived.
  void abort(SimFlow& flow);
  /// A RST behind what the other end has a place for: the rest was not sent, and will not be.
  void refuse(SimFlow& flow);
  void send_datagram(SimDatagram datagram);
  /// How long a connect takes.
  Duration round_trip(const Address& from, const Address& to);
  /// Something between them, either way, is in such a trouble.
  bool between(const Address& from, const Address& to, Trouble trouble) const;
  /// A partition stopped something.
  void note_stopped() noexcept { ++stats_.stopped; }
  TimePoint now() const noexcept;

  /// What is due arrives.
  void settle() { agenda_.run_due(now()); }
  /// When the next arrival is due.
  TimePoint next() const noexcept { return agenda_.next(); }

 private:
  struct LinkRule {
    SimRoute route;
    SimLink link;
  };
  struct Rule {
    std::uint64_t number;
    Trouble trouble;
    SimRoute route;
    std::uint64_t bytes;
    SimEnds ends;
  };
  /// The way of datagrams from one address to another.
  struct Path {
    TimePoint last_due{};
    TimePoint free_at{};
    std::size_t under_way = 0;
  };

  void activate();
  const SimLink& link_of(SimFlow& flow);
  SimLink link_between(const Address& from, const Address& to) const;
  Duration latency(const SimLink& link);
  bool in_trouble(const Address& from, const Address& to, Trouble trouble) const;
  bool blocked(const SimFlow& flow) const;

  void enter(SimFlow& flow, SimFlow::Segment::Kind kind, std::size_t size = 0, bool alone = false);
  /// How many of `left` bytes make the next piece.
  std::size_t piece_of(const SimFlow& flow, const SimLink& link, std::size_t left);
  /// After something was entered: what may arrive at once does.
  void start(SimFlow& flow);
  void schedule(SimFlow& flow);
  /// What is due of a flow arrives.
  void pump(SimFlow& flow);
  void deliver(SimFlow& flow, SimFlow::Segment segment);
  void deliver_bytes(SimFlow& flow, std::size_t size);
  void clear(SimFlow& flow) noexcept;
  void doom(SimConnection& connection, const Rule& rule) const;
  void cut(SimConnection& connection, const SimRoute& route, SimEnds ends);
  void fly(SimDatagram datagram, TimePoint due);
  void land(SimDatagram datagram);
  void note(unsigned kind, const Address& from, const Address& to, std::size_t size);

  SimTurns& turns_;
  Seed seed_;
  bool active_ = false;
  Function<void()> join_all_;
  Function<void(SimDatagram)> sink_;

  std::vector<LinkRule> links_;  // the last one that fits counts
  std::uint64_t link_version_ = 1;
  std::vector<Rule> rules_;
  std::uint64_t next_rule_ = 1;

  SimAgenda agenda_;
  std::map<std::uint64_t, std::unique_ptr<SimConnection>> connections_;
  std::uint64_t next_connection_ = 0;
  std::map<std::pair<Address, Address>, Path> paths_;
  std::vector<SimDatagram> held_;  // by a stall
  SimNetworkStats stats_;
};

}  // namespace ferry::testing
