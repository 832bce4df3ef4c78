#pragma once

#include <ferry/buffer.h>
#include <ferry/bytes.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

// What two processes say to each other when one takes the other's listening sockets. The new one
// connects. The old one sends batches, each with up to 253 descriptors beside its first byte:
//
//     "FRL1"  u32 bytes that follow  u8 1: the last batch  u16 count  count x (u8 length, name)
//
// in network order. The new one says kReady when it serves; the old one kReleased when it has
// stopped, and closes.

namespace ferry::hand_over {

inline constexpr std::byte kReady{'R'};
inline constexpr std::byte kReleased{'T'};
inline constexpr std::string_view kMagic = "FRL1";
inline constexpr std::size_t kHeader = 8;
inline constexpr std::size_t kLongestName = 255;
inline constexpr std::size_t kPerBatch = 253;
inline constexpr std::size_t kLongestBody = 3 + kPerBatch * (1 + kLongestName);

struct Batch {
  std::vector<std::string> names;
  bool last = false;
};

std::string encode(const Batch& batch);

enum class Decoded { batch, incomplete, nonsense };
/// Takes the first batch out of `bytes`, if it is there as a whole.
Decoded decode(Buffer& bytes, Batch& batch);

}  // namespace ferry::hand_over
