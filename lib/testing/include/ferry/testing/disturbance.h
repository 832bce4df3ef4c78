#pragma once

#include <ferry/testing/sim_network.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::testing {

/// What may go wrong in the worlds of a scenario.
struct Troubles {
  bool network = true;      ///< Latency, pieces, stalls, partitions, cuts (TCP and UDP).
  bool calls = true;        ///< Errors of single calls, at random too, and short counts.
  bool descriptors = true;  ///< For a while there are no more.
  bool clock = true;        ///< Jumps ahead by minutes: every limit may be over at once.
  /// The size of the program's messages, if they have one: what arrives in pieces often ends where
  /// they do, or one byte before or behind. 0: sizes are drawn by lot.
  std::size_t frame = 0;
  /// No piece is smaller, nor what a connection holds: for a program that moves megabytes.
  std::size_t least_piece = 1;
};

/// One thing that is out of the ordinary in a simulated world. Those of a world are drawn from its
/// seed; a failure is made simpler by leaving some of them out.
struct Disturbance {
  enum class Kind : std::uint8_t {
    // -- harmless: slower and in smaller pieces, but everything must work. Datagrams may be lost,
    // doubled and late here, too (`link`): who uses them must expect it of any network.
    schedule,      ///< What is ready at the same time is told in an order drawn by lot.
    link,          ///< `link` lies between all sockets.
    small_pipes,   ///< A connection holds `count` bytes each way.
    slow_turns,    ///< Each turn of the loop takes `lasts`.
    short_counts,  ///< `count` of a thousand calls move less than they could.
    stall,         ///< Nothing arrives for `lasts`, or nothing that goes `way`: as if the one end
                   ///< did not read.
    // -- harmful: somebody may be told of an error
    partition,    ///< Nothing gets through for `lasts`, or nothing goes `way`.
    cut,          ///< Every connection there is gets a RST; if `ends` says so only its one end,
                  ///< and the other one when it sends, or after `lasts`.
    cut_after,    ///< Each connection gets a RST once it has carried `count` bytes.
    error,        ///< `call` fails with `error`, `count` times.
    errors,       ///< `count` of a thousand calls fail, for `lasts`.
    descriptors,  ///< No further descriptor for `lasts`.
    clock,        ///< The clock jumps ahead by `lasts`.
    call,         ///< The call number `after` fails, in its `count`-th way. Never drawn.
  };
  Kind kind = Kind::schedule;
  /// It begins when the program has made so many system calls (for `error`: calls of that name).
  std::uint64_t after = 0;
  Duration lasts{};
  std::size_t count = 0;
  SimLink link{};
  enum class Way : std::uint8_t { both, to_server, from_server };
  Way way = Way::both;
  SimEnds ends = SimEnds::both;
  std::string_view call{};  ///< A literal, as FaultKernel knows it.
  int error = 0;
  bool later = false;  ///< Of "connect": it begins well, and fails then.

  bool harmful() const noexcept { return kind >= Kind::partition; }
  /// "after 17 calls: partition for 2.5 s".
  std::string to_string() const;
};

/// What is out of the ordinary in the world of that seed; nothing harmful in one of three worlds.
std::vector<Disturbance> draw_disturbances(std::uint64_t seed, const Troubles& allowed = {});

}  // namespace ferry::testing
