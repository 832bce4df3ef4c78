#include "hand_over_wire.h"

namespace ferry::hand_over {

namespace {

void append_number(std::string& text, std::size_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    text += static_cast<char>(value >> shift & 0xff);
  }
}

std::size_t number(BytesView bytes) {
  std::size_t value = 0;
  for (const std::byte byte : bytes) value = value << 8 | std::to_integer<std::size_t>(byte);
  return value;
}

}  // namespace

std::string encode(const Batch& batch) {
  std::string body;
  append_number(body, batch.last ? 1 : 0, 1);
  append_number(body, batch.names.size(), 2);
  for (const std::string& name : batch.names) {
    append_number(body, name.size(), 1);
    body += name;
  }
  std::string text(kMagic);
  append_number(text, body.size(), 4);
  return text + body;
}

Decoded decode(Buffer& bytes, Batch& batch) {
  const BytesView all = bytes;
  if (all.size() < kHeader) return Decoded::incomplete;
  const std::size_t size = number(all.drop(4).first(4));
  if (all.first(4).text() != kMagic || size > kLongestBody) return Decoded::nonsense;
  if (all.size() < kHeader + size) return Decoded::incomplete;
  BytesView body = all.drop(kHeader).first(size);
  if (body.size() < 3) return Decoded::nonsense;
  batch = {};
  batch.last = body[0] == std::byte{1};
  const std::size_t count = number(body.drop(1).first(2));
  if (count > kPerBatch) return Decoded::nonsense;
  body = body.drop(3);
  for (std::size_t i = 0; i < count; ++i) {
    if (body.empty()) return Decoded::nonsense;
    const std::size_t length = number(body.first(1));
    body = body.drop(1);
    if (body.size() < length) return Decoded::nonsense;
    batch.names.emplace_back(body.first(length).text());
    body = body.drop(length);
  }
  if (!body.empty()) return Decoded::nonsense;
  bytes.consume(kHeader + size);
  return Decoded::batch;
}

}  // namespace ferry::hand_over
