#pragma once

#include <ferry/buffer.h>
#include <ferry/datagram.h>

#include <cstddef>
#include <string>
#include <vector>

namespace ferry {

/// A datagram, and where it came from.
struct Datagram {
  std::string data;
  DatagramInfo info;
};

/// The same, lent. Both are good until the next receive.
struct DatagramView {
  BytesView data;
  const DatagramInfo& info;
};

/// Datagrams that were received and that nobody has asked for yet, in order. Once it has grown to
/// what comes in a burst it allocates nothing for a datagram.
class DatagramInbox {
 public:
  bool empty() const noexcept { return count_ == 0; }
  std::size_t count() const noexcept { return count_; }
  /// Bytes, without what is lent.
  std::size_t size() const noexcept { return size_; }

  void append(BytesView data, const DatagramInfo& info);
  /// Takes the first one; there must be one. It is good until the next `take`, whatever is
  /// appended meanwhile.
  DatagramView take();

 private:
  struct Entry {
    std::size_t size;
    DatagramInfo info;
  };
  struct Batch {
    void clear() noexcept;

    Buffer bytes;
    std::vector<Entry> entries;
    std::size_t next = 0;    // of the entries
    std::size_t offset = 0;  // where its bytes begin
  };

  // What is read from is never written to, so that what is lent stays where it is.
  Batch reading_;
  Batch filling_;
  std::size_t count_ = 0;
  std::size_t size_ = 0;
};

}  // namespace ferry
