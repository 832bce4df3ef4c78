#pragma once

#include <ferry/buffer.h>
#include <ferry/bytes.h>

#include <memory>

namespace ferry {

/// Memory that all TLS connections of a thread use in turn, so that none holds any while it is
/// idle. More than one piece is out at once only where TLS runs inside TLS.

/// Room for the plain text of one record.
class PlainScratch {
 public:
  static constexpr std::size_t kSize = 16 * 1024;

  PlainScratch();
  PlainScratch(const PlainScratch&) = delete;
  PlainScratch& operator=(const PlainScratch&) = delete;
  ~PlainScratch();
  MutableBytes bytes() const noexcept { return {memory_.get(), kSize}; }

 private:
  std::unique_ptr<std::byte[]> memory_;
};

/// An empty buffer, with memory if there is one to spare.
Buffer take_spare_buffer() noexcept;
void return_spare_buffer(Buffer buffer) noexcept;

}  // namespace ferry
