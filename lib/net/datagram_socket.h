#pragma once

#include "datagram_queue.h"
#include "listen_socket.h"

#include <ferry/datagram.h>
#include <ferry/flow_control.h>

#include <array>
#include <deque>
#include <memory>
#include <vector>

namespace ferry {

/// What a DatagramSocket starts with.
struct DatagramStart {
  Socket socket;  ///< Of type SOCK_DGRAM, non-blocking.
  std::shared_ptr<DatagramProtocol> protocol;
  Address remote;  ///< Where datagrams go by default; empty: nowhere.
  bool connected = false;
  bool receive_info = false;
  bool segmentation = true;
  SocketFile file;
  /// Called once connection_made has returned or thrown; may be empty.
  Function<void()> made;
};

/// A DatagramTransport over a socket of the loop's kernel. Its life is in datagram_socket.cpp,
/// receiving in datagram_receive.cpp, sending in datagram_send.cpp.
class DatagramSocket final : public DatagramTransport,
                             private LoopResource,
                             private FdWatch::Listener {
 public:
  /// Makes the transport; connection_made follows from the loop, then reading starts.
  /// Throws std::system_error if the kernel cannot watch the socket.
  static std::shared_ptr<DatagramSocket> start(EventLoop& loop, DatagramStart start);

  DatagramSocket(EventLoop& loop, DatagramStart& start);  // for `start`
  ~DatagramSocket() override;

  EventLoop& loop() const noexcept override { return LoopResource::loop(); }
  using DatagramTransport::sendto;
  void sendto(BytesView data, const Address& to) override;
  void sendto(BytesView data, const DatagramInfo& how) override;
  void send_each(std::span<const BytesView> datagrams, const Address& to) override;
  void close() override;
  void abort() override;
  bool is_closing() const noexcept override { return closing_; }
  void pause_reading() override { paused_ = true; }
  void resume_reading() override;
  bool is_reading() const noexcept override { return !paused_ && !closing_; }
  void set_write_buffer_limits(std::optional<std::size_t> high,
                               std::optional<std::size_t> low) override;
  WriteLimits get_write_buffer_limits() const noexcept override { return flow_.limits(); }
  std::size_t get_write_buffer_size() const noexcept override { return queue_.size(); }
  void set_write_hard_limit(std::size_t bytes) override { flow_.set_hard_limit(bytes); }
  void join_group(const Address& group, unsigned interface) override;
  void leave_group(const Address& group, unsigned interface) override;
  void set_protocol(std::shared_ptr<DatagramProtocol> protocol) override;
  std::shared_ptr<DatagramProtocol> get_protocol() const override { return protocol_; }
  const Address& sockname() const noexcept override;
  const Address& peername() const noexcept override { return remote_; }
  int native_handle() const noexcept override { return fd_; }

 private:
  class Cork;
  /// Read, but not delivered: the protocol paused in the middle of a batch.
  struct Held {
    std::vector<std::byte> bytes;
    DatagramInfo info;
  };
  static constexpr std::size_t kBatch = 32;

  void on_loop_close() override;
  void on_overdue() override;
  void on_readable(FdWatch::ReadEvent event) override;
  void on_writable() override;

  // -- the life
  bool lost() const noexcept { return fd_ < 0; }
  void set_options(bool receive_info, bool segmentation);
  void make_connection(Function<void()> made);
  void end_soon();
  void lose(std::error_code error);
  template <class Callback>
  void call(const char* name, Callback&& callback);
  void report_error(std::error_code error);
  void set_membership(const Address& group, unsigned interface, bool join);

  // -- receiving
  void receive(bool drain);
  bool receive_batch(std::size_t count);
  void deliver(BytesView bytes, const DatagramInfo& info);
  bool deliver_held();
  void receive_later();
  void receive_again();
  void receive_or_retry(bool drain);

  // -- sending
  const Address& destination(const Address& to) const;
  template <class How>
  void put(BytesView data, const Address& to, const How& how);
  void send_queue();
  void await_writable();
  void uncork();
  void check_high_water();

  std::shared_ptr<DatagramProtocol> protocol_;
  // Replaced while one of their callbacks may be on the stack.
  std::vector<std::shared_ptr<DatagramProtocol>> replaced_;
  int callbacks_ = 0;  // on the stack

  bool made_ = false;
  bool closing_ = false;      // close or abort was called
  bool ending_ = false;       // connection_lost is on its way
  bool paused_ = false;       // by pause_reading
  bool readable_ = false;     // an event came that nobody has read for yet
  bool read_queued_ = false;  // a read is in the ready queue
  bool write_armed_ = false;
  bool sending_ = false;  // in send_queue
  bool joins_ = false;    // the kernel takes several datagrams as one piece
  bool connected_;
  bool plain_;  // see IncomingDatagram::plain
  bool knows_local_ = false;
  int corks_ = 0;
  std::uint16_t dropped_sends_ = 0;

  FdWatchPtr watch_;
  DatagramQueue queue_;
  FlowControl flow_;
  Timer retry_;  // where the kernel does not tell when it can be sent to; or there was no memory
  int fd_ = -1;  // lost; or not begun
  Address remote_;
  mutable Address sockname_;
  SocketFile file_;
  std::unique_ptr<std::array<IncomingDatagram, kBatch>> places_;
  std::deque<Held> held_;
  std::shared_ptr<DatagramSocket>
      self_;  // the loop's ownership, until connection_lost has returned
};

/// While one exists, datagrams are gathered; the end of the outermost sends them.
class DatagramSocket::Cork {
 public:
  explicit Cork(DatagramSocket& socket) : socket_(socket) { ++socket_.corks_; }
  Cork(const Cork&) = delete;
  Cork& operator=(const Cork&) = delete;
  ~Cork() {
    if (--socket_.corks_ == 0) socket_.uncork();
  }

 private:
  DatagramSocket& socket_;
};

}  // namespace ferry
