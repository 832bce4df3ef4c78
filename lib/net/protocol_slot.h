#pragma once

#include <ferry/transport.h>

#include <memory>
#include <system_error>

namespace ferry {

/// Where a transport keeps its protocol, and the one way it calls it. Each call says whether the
/// callback returned; if it threw, the exception has gone to the loop's handler and the
/// transport must end the connection. A LoopExit leaves through the next ready callback,
/// so that no transport is left half way. A protocol that is replaced while one of its
/// callbacks runs lives until that returns.
class ProtocolSlot {
 public:
  ProtocolSlot(Transport& transport, std::shared_ptr<Protocol> protocol)
      : transport_(transport) {
    set(std::move(protocol));
  }
  ProtocolSlot(const ProtocolSlot&) = delete;
  ProtocolSlot& operator=(const ProtocolSlot&) = delete;

  const std::shared_ptr<Protocol>& get() const noexcept { return protocol_; }
  void set(std::shared_ptr<Protocol> protocol);
  /// Lets go of the protocol, after connection_lost.
  void drop() noexcept {
    buffered_ = nullptr;
    protocol_.reset();
  }
  /// The protocol as a BufferedProtocol; null if it is not one.
  BufferedProtocol* buffered() const noexcept { return buffered_; }
  /// connection_made has been called.
  bool made() const noexcept { return state_ != State::fresh; }
  /// A callback is on the stack.
  bool busy() const noexcept { return frames_ != nullptr; }

  bool connection_made(std::shared_ptr<Transport> transport);
  bool data_received(BytesView data);
  bool get_buffer(MutableBytes& into);
  bool buffer_updated(std::size_t size);
  bool eof_received(bool& keep_open);
  bool pause_writing();
  bool resume_writing();
  bool connection_lost(std::error_code error);

 private:
  enum class State : std::uint8_t { fresh, made, lost };
  /// A callback on the stack.
  struct Frame {
    Protocol* running;
    Frame* outer;
    std::shared_ptr<Protocol> replaced;
  };

  template <class Callback>
  bool call(const char* name, Callback&& callback);
  void report(const char* name, const Protocol* protocol);

  Transport& transport_;
  std::shared_ptr<Protocol> protocol_;
  BufferedProtocol* buffered_ = nullptr;
  Frame* frames_ = nullptr;
  State state_ = State::fresh;
};

}  // namespace ferry
