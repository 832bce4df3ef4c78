#pragma once

#include <ferry/address.h>
#include <ferry/kernel.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace ferry::testing {

class SimWires;

/// What the way from one address to another does to what is sent. By default nothing: all of it
/// arrives at once, while `send` is running.
struct SimLink {
  /// How the bytes of a stream arrive. Pieces of more modes than `whole` are told one by one: a
  /// program that reads when it is told sees each of them.
  enum class Pieces {
    whole,     ///< What one call sent, together.
    single,    ///< Byte by byte.
    random,    ///< From 1 byte to `piece_size`, all sizes as likely.
    fixed,     ///< `piece_size` bytes, the last piece of a call perhaps less.
    boundary,  ///< To a multiple of `piece_size` in the stream, or one byte less or more than that,
               ///< as likely; the last piece of a call perhaps less. For frames of that size.
  };

  /// How long it takes, drawn anew for each piece and each datagram. Order is kept all the same.
  Duration latency_min{};
  /// Not less than that; 0: `latency_min`.
  Duration latency_max{};
  /// Bytes a second, of each direction of a connection for itself; 0: no limit. With a limit even
  /// `whole` arrives in packets, of 1448 bytes.
  std::uint64_t bandwidth = 0;
  Pieces pieces = Pieces::whole;
  std::size_t piece_size = 1448;

  // -- datagrams, of a thousand so many
  unsigned loss = 0;         ///< never arrive;
  unsigned duplication = 0;  ///< arrive twice;
  /// come later than the others, by up to `latency_max` or a millisecond: who is sent meanwhile
  /// overtakes them.
  unsigned reorder = 0;
};

/// The traffic that something is about: what goes between two addresses. An empty address stands
/// for all, port 0 for all ports of that host, so the default is everything. IPv4 addresses that
/// an IPv6 socket sees (::ffff:127.0.0.1) are IPv4 here.
struct SimRoute {
  Address from{};
  Address to{};
  bool one_way = false;  ///< Only what goes from `from` to `to`; else what comes back, too.

  friend bool operator==(const SimRoute&, const SimRoute&) = default;
};

/// Which ends of a connection learn that it was cut: the one at SimRoute::from (of a connection
/// that fits both ways, the one that connected), the one at SimRoute::to, or both.
enum class SimEnds { both, from, to };

/// Lasts as long as its trouble does. The kernel must outlive it.
class [[nodiscard]] SimGuard {
 public:
  SimGuard(SimGuard&& other) noexcept
      : wires_(std::exchange(other.wires_, nullptr)), number_(other.number_) {}
  SimGuard& operator=(SimGuard&&) = delete;
  ~SimGuard() { end(); }
  /// Ends it now.
  void end() noexcept;

 private:
  friend class SimNetwork;
  SimGuard(SimWires& wires, std::uint64_t number) noexcept : wires_(&wires), number_(number) {}
  SimWires* wires_;
  std::uint64_t number_;
};

/// What the network has done so far.
struct SimNetworkStats {
  std::uint64_t deliveries = 0;  ///< Pieces of streams, FINs, RSTs and datagrams that arrived.
  std::uint64_t bytes = 0;       ///< Of streams, that arrived.
  std::uint64_t in_flight = 0;   ///< Bytes of streams that are under way now.
  std::uint64_t datagrams = 0;   ///< That arrived; a duplicate counts.
  std::uint64_t lost = 0;        ///< Datagrams, by `loss` or a partition.
  std::uint64_t duplicated = 0;
  std::uint64_t reordered = 0;
  std::uint64_t cut = 0;      ///< Connections.
  std::uint64_t stopped = 0;  ///< By partitions: pieces of streams, datagrams and connects.
};

/// The network between the TCP and UDP sockets of a SimKernel (`SimKernel::network`); unix sockets
/// and pipes have none between them. It begins to exist with the first link or trouble that is
/// set, at any time; before that, what is sent is there at once, and nothing is counted here.
///
///     SimNetwork& network = kernel.network();
///     network.set_link({.latency_min = 20ms, .latency_max = 80ms,
///                       .pieces = SimLink::Pieces::random});
///     auto guard = network.partition({.to = server});
///
/// Everything happens on the virtual clock, which jumps to the next arrival if nothing else is to
/// be done before. Whatever is drawn by lot comes from the stream "net" of SimOptions::seed: the
/// same program with the same seed sees the same network.
///
/// **Streams.** What was sent is in flight until it arrives, and fills the sender's buffer so long;
/// room that the reader makes is known to the writer at once. Nothing is lost, doubled or out of
/// order, as TCP promises; a FIN comes behind the bytes that were sent before. A socket that is
/// closed with unread input, or with SO_LINGER 0, sends a RST, and what has not arrived by then
/// never does. Bytes that find their receiver closed or reset are answered by a RST. A connect
/// takes a round trip, then both ends have the connection.
///
/// **Datagrams** arrive in order but for what the link does to them. A refusal (ECONNREFUSED)
/// reaches a connected sender when the datagram would have arrived.
class SimNetwork {
 public:
  explicit SimNetwork(SimWires& wires) noexcept : wires_(wires) {}
  SimNetwork(const SimNetwork&) = delete;
  SimNetwork& operator=(const SimNetwork&) = delete;

  /// From now on what is sent along `route` is treated so; what is under way already is not. Of
  /// several links that fit, the one set last counts; to set a route again replaces its link.
  void set_link(SimLink link, SimRoute route = {});

  /// Nothing arrives: what is sent waits and comes when it ends, datagrams and connects, too.
  SimGuard stall(SimRoute route = {});
  /// Nothing gets through: streams wait, and go on when it ends (TCP sends again); datagrams are
  /// lost; connects are not answered. One is tried again after 1, 3, 7, 15, 31 and 63 seconds and
  /// fails after 127 (ETIMEDOUT), as Linux does it.
  SimGuard partition(SimRoute route = {});
  /// Cuts the connections of the route: what is in flight is lost, both ways, and each of `ends`
  /// gets a RST now; the other end learns of it when it sends, now if something of its own is lost.
  /// How many connections that were.
  std::size_t cut(SimRoute route = {}, SimEnds ends = SimEnds::both);
  /// Does so with each connection, those to come as well, when `bytes` more bytes have arrived
  /// along the route (0: when the first one would): counted for each connection, both directions
  /// together unless it is one way. So a handshake is cut in the middle. Of several that fit, the
  /// one set last counts.
  SimGuard cut_after(std::uint64_t bytes, SimRoute route = {}, SimEnds ends = SimEnds::both);
  /// Who was cut and was not told, is now: what TCP's keep-alive does in the end.
  void tell_cut();
  /// Ends all stalls, partitions and cuts to come, and does `tell_cut`; links stay.
  void heal();

  SimNetworkStats stats() const;

 private:
  SimWires& wires_;
};

}  // namespace ferry::testing
