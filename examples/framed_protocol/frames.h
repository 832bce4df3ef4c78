#pragma once

// A binary protocol of one's own. A frame on the wire:
//
//     4 bytes  length of the payload, most significant byte first; at most 64 KiB
//     1 byte   kind
//     n bytes  payload
#include <ferry/net.h>

#include <array>

struct Frame {
  enum Kind : std::uint8_t { text = 1, reversed = 2, error = 3 };
  static constexpr std::size_t kHeader = 5;
  static constexpr std::size_t kLongest = 64 * 1024;

  std::uint8_t kind = 0;
  ferry::BytesView payload;  // belongs to whoever was asked to decode it
};

/// What is at the front of some bytes: `size` is 0 as long as the frame is not complete.
struct Decoded {
  bool too_long = false;
  std::size_t size = 0;
  Frame frame = {};
};

/// The codec knows bytes only, no connection: easy to test, to fuzz, to use elsewhere.
inline Decoded decode(ferry::BytesView bytes) {
  if (bytes.size() < Frame::kHeader) return {};
  std::size_t length = 0;
  for (std::byte digit : bytes.first(4)) length = length << 8 | std::to_integer<std::size_t>(digit);
  if (length > Frame::kLongest) return {.too_long = true};
  if (bytes.size() - Frame::kHeader < length) return {};
  return {
      .size = Frame::kHeader + length,
      .frame = {std::to_integer<std::uint8_t>(bytes[4]), bytes.drop(Frame::kHeader).first(length)}};
}

inline std::array<unsigned char, Frame::kHeader> encode_header(const Frame& frame) {
  const std::size_t n = frame.payload.size();
  const auto byte = [n](int shift) { return static_cast<unsigned char>(n >> shift & 0xff); };
  return {byte(24), byte(16), byte(8), byte(0), frame.kind};
}

/// Turns a byte stream into frames: derive from it and say what to do with one.
class FrameProtocol : public ferry::Protocol {
 public:
  void connection_made(std::shared_ptr<ferry::Transport> transport) override {
    transport_ = std::move(transport);
  }
  void data_received(ferry::BytesView data) final {
    received_.append(data);
    Decoded next;
    while (!transport_->is_closing() && (next = decode(received_)).size > 0) {
      frame_received(next.frame);
      received_.consume(next.size);
    }
    if (next.too_long) transport_->abort();
  }

 protected:
  virtual void frame_received(const Frame& frame) = 0;
  /// Header and payload leave in one system call, together with whatever else this callback sends.
  void send(const Frame& frame) { transport_->writelines({encode_header(frame), frame.payload}); }
  ferry::Transport& transport() { return *transport_; }

 private:
  std::shared_ptr<ferry::Transport> transport_;
  ferry::Buffer received_;  // at most one frame that is not complete
};
