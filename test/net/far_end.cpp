#include "far_end.h"

namespace ferry::test {

std::string pattern(std::size_t size, std::size_t offset) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) {
    const std::size_t position = offset + i;
    bytes[i] = static_cast<char>((position * 31 + (position >> 8) * 7 + (position >> 16)) & 0xff);
  }
  return bytes;
}

void FarEnd::send(BytesView bytes) {
  outbox_.append(bytes.text());
  while (!outbox_.empty()) {
    const std::size_t sent = write(BytesView(outbox_));
    if (sent == 0) return;
    outbox_.erase(0, sent);
  }
}

void FarEnd::pump() {
  if (fd() < 0 || ended()) return;
  if (!outbox_.empty()) send("");
  RawPeer::read();
}

const std::string& FarEnd::read() {
  pump();
  return received();
}

}  // namespace ferry::test
