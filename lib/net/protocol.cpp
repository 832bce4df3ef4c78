#include <ferry/protocol.h>

#include <ferry/transport.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace ferry {

void Protocol::connection_made(std::shared_ptr<Transport>) {}
void Protocol::data_received(BytesView) {}
bool Protocol::eof_received() {
  return false;
}
void Protocol::connection_lost(std::error_code) {}
void Protocol::pause_writing() {}
void Protocol::resume_writing() {}

void BufferedProtocol::data_received(BytesView data) {
  while (!data.empty()) {
    const MutableBytes into = get_buffer(data.size());
    if (into.empty()) throw std::logic_error("get_buffer() returned an empty buffer");
    const std::size_t size = std::min(into.size(), data.size());
    std::memcpy(into.data(), data.data(), size);
    data = data.drop(size);
    buffer_updated(size);
  }
}

}  // namespace ferry
