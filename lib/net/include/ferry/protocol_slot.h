#pragma once

#include <ferry/transport.h>

#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>

namespace ferry {

/// For those who write transports: where one keeps its protocol, and the one way it calls it. Each
/// call says whether the callback returned; if it threw, the exception has gone to the loop's
/// handler and the transport must end the connection. A LoopExit leaves through the next ready
/// callback, so that no transport is left half way. A protocol that is replaced while one of its
/// callbacks runs lives until that returns.
class ProtocolSlot {
 public:
  explicit ProtocolSlot(std::shared_ptr<Protocol> protocol) { set(std::move(protocol)); }
  ProtocolSlot(const ProtocolSlot&) = delete;
  ProtocolSlot& operator=(const ProtocolSlot&) = delete;

  const std::shared_ptr<Protocol>& get() const noexcept { return protocol_; }
  void set(std::shared_ptr<Protocol> protocol);
  /// Lets go of the protocol, after connection_lost.
  void drop() noexcept { keep_while_running(std::exchange(protocol_, nullptr)); }
  /// Takes over a protocol whose connection_made was called by another transport.
  void adopt_made() noexcept { state_ = State::made; }
  /// connection_made has been called.
  bool made() const noexcept { return state_ != State::fresh; }

  // Each takes the transport that owns this slot: who is told, and who is reported.
  bool connection_made(Transport& owner, std::shared_ptr<Transport> transport);
  bool data_received(Transport& owner, BytesView data);
  /// Both only while the protocol is a BufferedProtocol.
  bool get_buffer(Transport& owner, MutableBytes& into);
  bool buffer_updated(Transport& owner, std::size_t size);
  bool eof_received(Transport& owner, bool& keep_open);
  bool pause_writing(Transport& owner);
  bool resume_writing(Transport& owner);
  bool connection_lost(Transport& owner, std::error_code error);

 private:
  enum class State : std::uint8_t { fresh, made, lost };
  /// A callback on the stack.
  struct Frame {
    Protocol* running;
    Frame* outer;
    std::shared_ptr<Protocol> replaced;
  };

  void keep_while_running(const std::shared_ptr<Protocol>& old) noexcept;
  template <class Callback>
  bool call(Transport& owner, const char* name, Callback&& callback);

  std::shared_ptr<Protocol> protocol_;
  Frame* frames_ = nullptr;
  State state_ = State::fresh;
};

}  // namespace ferry
