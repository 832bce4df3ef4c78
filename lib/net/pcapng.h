#pragma once

#include <ferry/buffer.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ferry::pcapng {

/// The blocks of a pcapng file (draft-ietf-opsawg-pcapng) as ferry writes them: one section, one
/// interface of raw IP packets (LINKTYPE_RAW), time in nanoseconds since 1970. In this machine's
/// byte order, as the format has it.

/// Section Header Block and Interface Description Block: the beginning of the file.
void append_header(Buffer& file);

enum class Direction : std::uint32_t { inbound = 1, outbound = 2 };

/// A packet of an Enhanced Packet Block, in two parts.
struct Packet {
  std::uint64_t time = 0;
  Direction direction = Direction::inbound;
  BytesView headers;
  BytesView payload;
  std::string_view comment{};  ///< Empty: none. At most 65535 bytes.
};
/// What append_packet appends.
std::size_t packet_block_size(const Packet& packet);
void append_packet(Buffer& file, const Packet& packet);

/// Interface Statistics Block: packets in the file, and those that were left out.
void append_statistics(Buffer& file, std::uint64_t time, std::uint64_t packets,
                       std::uint64_t dropped);

/// How much of `blocks`, cut short somewhere, is whole blocks.
std::size_t whole_blocks(BytesView blocks);

}  // namespace ferry::pcapng
