#include <ferry/datagram_inbox.h>

#include <utility>

namespace ferry {

namespace {

/// Room for one datagram of any size is kept; what a burst needed beyond that is given back.
constexpr std::size_t kKeep = 128 * 1024;

}  // namespace

void DatagramInbox::Batch::clear() noexcept {
  if (bytes.capacity() > kKeep) {
    bytes.reset();
    entries = std::vector<Entry>();
  }
  bytes.clear();
  entries.clear();
  next = offset = 0;
}

void DatagramInbox::append(BytesView data, const DatagramInfo& info) {
  filling_.bytes.append(data);
  filling_.entries.push_back({data.size(), info});
  ++count_;
  size_ += data.size();
}

DatagramView DatagramInbox::take() {
  if (reading_.next == reading_.entries.size()) {
    reading_.clear();
    std::swap(reading_, filling_);
  }
  const Entry& entry = reading_.entries[reading_.next++];
  const BytesView data = reading_.bytes.view().drop(reading_.offset).first(entry.size);
  reading_.offset += entry.size;
  --count_;
  size_ -= entry.size;
  return {data, entry.info};
}

}  // namespace ferry
