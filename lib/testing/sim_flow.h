#pragma once

#include "sim_agenda.h"

#include <ferry/address.h>
#include <ferry/buffer.h>
#include <ferry/testing/sim_network.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

namespace ferry::testing {

struct SimSocket;
struct SimConnection;

/// One direction of a TCP connection on the network: what was sent and has not arrived.
struct SimFlow {
  /// What arrives together.
  struct Segment {
    enum class Kind : std::uint8_t { bytes, fin, rst };
    Kind kind;
    bool alone;        // what is behind it comes in a later turn
    std::size_t size;  // of `bytes`
    TimePoint due;
  };

  SimSocket* to = nullptr;  // null once it is closed
  SimFlow* back = nullptr;  // the other direction
  SimConnection* connection = nullptr;
  Address from_address;
  Address to_address;

  Buffer bytes;               // of all segments
  std::uint64_t entered = 0;  // bytes of all segments there ever were
  std::deque<Segment> segments;
  TimePoint last_due{};                 // nothing may overtake what is due then
  TimePoint free_at{};                  // when the bandwidth is free for more
  std::optional<SimAgenda::Key> event;  // for the first segment
  bool held = false;                    // a stall or a partition holds the first segment
  bool rst_sent = false;

  SimLink link;
  std::uint64_t link_version = 0;  // SimWires' when `link` was looked up
};

struct SimConnection {
  /// It will be cut when so many more bytes have arrived.
  struct Cut {
    std::uint64_t rule;  // its number
    std::uint64_t bytes;
  };
  std::uint64_t number;
  SimFlow there;  // from the end that connected
  SimFlow back;
  std::optional<Cut> cut;
  bool half_cut = false;  // one end does not know of it
};

}  // namespace ferry::testing
