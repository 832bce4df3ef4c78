#pragma once

#include "file_sending.h"

#include <ferry/protocol.h>
#include <ferry/transport.h>

#include <memory>
#include <optional>
#include <vector>

namespace ferry {

class StreamTransport;

/// Sends a file where the system does not: reads on the thread pool, writes to the transport, and
/// waits while that says pause. To hear that, it takes the place of the connection's protocol,
/// which meanwhile gets everything else through it.
class FileSender final : public Protocol, public std::enable_shared_from_this<FileSender> {
 public:
  /// `plain` is the transport if it is a StreamTransport, whose writing is reserved already. Takes
  /// `sending` if it does not throw (std::bad_alloc).
  static void start(std::shared_ptr<Transport> transport, StreamTransport* plain,
                    std::unique_ptr<FileSending>& sending);
  /// True if one is at work on this transport.
  static bool is_at_work(const Transport& transport);

  FileSender(std::shared_ptr<Transport> transport, StreamTransport* plain);  // for `start`
  ~FileSender() override;

  void data_received(BytesView data) override { owner_->data_received(data); }
  bool eof_received() override { return owner_->eof_received(); }
  void connection_lost(std::error_code error) override;
  void pause_writing() override;
  void resume_writing() override;
  BufferedProtocol* as_buffered() noexcept override { return owner_->as_buffered(); }
  ProtocolLayer* as_layer() noexcept override { return owner_->as_layer(); }

 private:
  using Chunk = std::shared_ptr<std::vector<std::byte>>;

  void go_on();
  void read();
  void take(const IoResult& read);
  void write(BytesView bytes);
  void end(std::error_code code);
  void finish(std::error_code code);
  void restore();
  void tell_owner();

  std::shared_ptr<Transport> transport_;
  StreamTransport* plain_;
  std::shared_ptr<Protocol> owner_;
  std::unique_ptr<FileSending> sending_;  // null: not begun, or done
  Chunk chunk_;
  Future<IoResult> reading_;          // no future: no job is under way
  bool paused_ = false;               // the transport has too much
  std::optional<bool> owner_paused_;  // what the owner knows; absent: what the transport does
};

}  // namespace ferry
