#include "pcapng.h"

#include <cstring>

namespace ferry::pcapng {
namespace {

enum BlockType : std::uint32_t {
  kSectionHeader = 0x0A0D0D0A,
  kInterfaceDescription = 1,
  kInterfaceStatistics = 5,
  kEnhancedPacket = 6,
};
enum OptionCode : std::uint16_t {
  kEndOfOptions = 0,
  kComment = 1,
  kFlags = 2,            // of a packet
  kInterfaceName = 2,    // of an interface
  kUserApplication = 4,  // of a section
  kReceived = 4,         // of statistics
  kDropped = 5,          // of statistics
  kTimeResolution = 9,   // of an interface
};
constexpr std::uint16_t kLinkTypeRaw = 101;
constexpr std::uint8_t kNanoseconds = 9;

constexpr std::size_t padded(std::size_t size) {
  return (size + 3) / 4 * 4;
}
constexpr std::size_t option_size(std::size_t value) {
  return 4 + padded(value);
}

/// Appends one block; its end is the destructor. If there is no memory, nothing of it is appended.
class Block {
 public:
  Block(Buffer& file, BlockType type, std::size_t size) : file_(file), size_(size) {
    file.prepare(size);
    value(static_cast<std::uint32_t>(type));
    value(static_cast<std::uint32_t>(size));
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() { value(static_cast<std::uint32_t>(size_)); }

  template <class T>
  Block& value(T number) {
    file_.append(BytesView(reinterpret_cast<const std::byte*>(&number), sizeof number));
    return *this;
  }
  Block& time(std::uint64_t nanoseconds) {
    value(static_cast<std::uint32_t>(nanoseconds >> 32));
    return value(static_cast<std::uint32_t>(nanoseconds));
  }
  Block& pad(std::size_t size) {
    const char zeros[4] = {};
    file_.append(std::string_view(zeros, padded(size) - size));
    return *this;
  }
  Block& option(OptionCode code, std::string_view text) {
    value(static_cast<std::uint16_t>(code)).value(static_cast<std::uint16_t>(text.size()));
    file_.append(text);
    return pad(text.size());
  }
  template <class T>
  Block& number_option(OptionCode code, T number) {
    return option(code, std::string_view(reinterpret_cast<const char*>(&number), sizeof number));
  }
  Block& end_of_options() { return option(kEndOfOptions, {}); }

 private:
  Buffer& file_;
  const std::size_t size_;
};

constexpr std::size_t kFrame = 12;  // type, size, and size again

}  // namespace

void append_header(Buffer& file) {
  const std::string_view name = "ferry";
  Block(file, kSectionHeader, kFrame + 16 + option_size(name.size()) + option_size(0))
      .value(std::uint32_t{0x1A2B3C4D})
      .value(std::uint16_t{1})
      .value(std::uint16_t{0})
      .value(std::int64_t{-1})  // as long as the file is
      .option(kUserApplication, name)
      .end_of_options();
  Block(file, kInterfaceDescription,
        kFrame + 8 + option_size(name.size()) + option_size(1) + option_size(0))
      .value(kLinkTypeRaw)
      .value(std::uint16_t{0})
      .value(std::uint32_t{0})  // packets of any length
      .option(kInterfaceName, name)
      .number_option(kTimeResolution, kNanoseconds)
      .end_of_options();
}

std::size_t packet_block_size(const Packet& packet) {
  return kFrame + 20 + padded(packet.headers.size() + packet.payload.size()) +
         (packet.comment.empty() ? 0 : option_size(packet.comment.size())) + option_size(4) +
         option_size(0);
}

void append_packet(Buffer& file, const Packet& packet) {
  const std::size_t size = packet.headers.size() + packet.payload.size();
  Block block(file, kEnhancedPacket, packet_block_size(packet));
  block.value(std::uint32_t{0})
      .time(packet.time)
      .value(static_cast<std::uint32_t>(size))
      .value(static_cast<std::uint32_t>(size));
  file.append(packet.headers);
  file.append(packet.payload);
  block.pad(size);
  if (!packet.comment.empty()) block.option(kComment, packet.comment);
  block.number_option(kFlags, static_cast<std::uint32_t>(packet.direction)).end_of_options();
}

void append_statistics(Buffer& file, std::uint64_t time, std::uint64_t packets,
                       std::uint64_t dropped) {
  Block(file, kInterfaceStatistics, kFrame + 12 + 2 * option_size(8) + option_size(0))
      .value(std::uint32_t{0})
      .time(time)
      .number_option(kReceived, packets)
      .number_option(kDropped, dropped)
      .end_of_options();
}

std::size_t whole_blocks(BytesView blocks) {
  std::size_t whole = 0;
  while (blocks.size() - whole >= 8) {
    std::uint32_t size = 0;
    std::memcpy(&size, blocks.data() + whole + 4, 4);
    if (size < kFrame || size > blocks.size() - whole) break;
    whole += size;
  }
  return whole;
}

}  // namespace ferry::pcapng
