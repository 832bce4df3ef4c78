#pragma once

#include "connection_set.h"
#include "stream_rare.h"
#include "write_queue.h"

#include <ferry/flow_control.h>
#include <ferry/protocol_slot.h>
#include <ferry/transport.h>

#include <memory>
#include <new>

namespace ferry {

/// What can be done with a stream's descriptor.
struct StreamEnds {
  bool socket = true;  ///< Else read(2) and write(2) are its calls.
  bool reads = true;
  bool writes = true;
  /// A read that does not fill the buffer may leave something behind (a terminal's lines).
  bool short_reads = false;
};

/// What a StreamTransport starts with.
struct StreamStart {
  Socket socket;  ///< Connected, non-blocking.
  std::shared_ptr<Protocol> protocol;
  Address peer;
  /// The server's set the connection belongs to; null for a client.
  std::shared_ptr<ConnectionSet> clients;
  /// Called once connection_made has returned or thrown; may be empty.
  Function<void()> made;
  StreamEnds ends{};
};

/// A Transport over a connected stream socket of the loop's kernel, TCP and unix alike, or over one
/// end of a pipe.
/// Its life: start -> connection_made -> open -> closing -> lost. Reading is in stream_read.cpp,
/// writing in stream_write.cpp, sending files in stream_sendfile.cpp, passing on to another one
/// without copying in stream_splice.cpp, the rest of the life in stream_transport.cpp.
///
/// Where memory is wanting, the connection ends with not_enough_memory; closing itself needs none.
class StreamTransport final : public Transport, private LoopResource, private FdWatch::Listener {
 public:
  /// Makes the transport; connection_made follows from the loop, then reading starts.
  /// Throws std::system_error if the kernel cannot watch the socket.
  static std::shared_ptr<StreamTransport> start(EventLoop& loop, StreamStart start);

  StreamTransport(EventLoop& loop, StreamStart& start);  // for `start`
  ~StreamTransport() override;

  EventLoop& loop() const noexcept override { return LoopResource::loop(); }

  void write(BytesView data) override;
  void writelines(std::span<const BytesView> pieces) override;
  using Transport::writelines;
  void write_eof() override;
  bool can_write_eof() const noexcept override { return ends_.writes; }

  void close() override;
  void abort() override;
  bool is_closing() const noexcept override { return closing_; }

  void pause_reading() override;
  void resume_reading() override;
  bool is_reading() const noexcept override { return !paused_ && !closing_ && ends_.reads; }

  void set_write_buffer_limits(std::optional<std::size_t> high,
                               std::optional<std::size_t> low) override;
  WriteLimits get_write_buffer_limits() const noexcept override { return flow_.limits(); }
  std::size_t get_write_buffer_size() const noexcept override;
  void set_write_hard_limit(std::size_t bytes) override;

  void set_protocol(std::shared_ptr<Protocol> protocol) override;
  std::shared_ptr<Protocol> get_protocol() const override { return slot_.get(); }
  const Address& sockname() const noexcept override;
  const Address& peername() const noexcept override { return peername_; }
  int native_handle() const noexcept override { return fd_; }
  const Error& error() const noexcept override;

  /// connection_made has been called.
  bool made() const noexcept { return slot_.made(); }
  /// As ferry/sendfile.h has checked that it may; reading is paused. Takes `file` if it does not
  /// throw.
  void send_file(std::unique_ptr<FileSending>& file);
  bool eof_wanted() const noexcept { return eof_wanted_; }
  /// While it is, `write` and its kin throw.
  bool writing_reserved() const noexcept { return writing_reserved_; }
  void reserve_writing(bool on) noexcept { writing_reserved_ = on; }

  /// True if it is over a socket, and splice_to makes sense.
  bool is_socket() const noexcept { return ends_.socket; }
  /// From now on what is read goes straight to `sink`, behind what was written to that, and
  /// `watcher` is told, which must live as long as this goes on: until stop_splicing, until either
  /// transport gets another protocol or is lost, or the watcher is told. `sink` must be over a
  /// socket, too.
  void splice_to(std::shared_ptr<StreamTransport> sink, SpliceWatcher& watcher);
  /// What is read goes to the protocol again.
  void stop_splicing();
  bool is_splicing() const noexcept { return splicing_; }

  /// The next connection of the same server.
  StreamTransport* next_client() const noexcept { return next_client_; }

 private:
  class Cork;

  void on_loop_close() override;
  void on_overdue() override;
  void on_readable(FdWatch::ReadEvent event) override;
  void on_writable() override;

  bool lost() const noexcept { return fd_ < 0; }

  // -- the life (stream_transport.cpp)
  void make_connection(Function<void()> made);
  void fail(std::error_code code, const char* operation);
  void set_error(std::error_code code, const char* operation);
  template <class F>
  void or_fail(const char* operation, F&& f);
  void end_soon();
  void lose();
  void discard_input();
  void join_clients(std::shared_ptr<ConnectionSet> clients) noexcept;
  void leave_clients();

  // -- reading (stream_read.cpp)
  void on_reader_gone();
  void read_ready(bool drain);
  bool deliver(MutableBytes into, std::size_t size, bool buffered);
  void on_eof();
  void read_later();
  void read_again();

  StreamRare& rare() const {
    if (!rare_) rare_ = std::make_unique<StreamRare>();
    return *rare_;
  }
  bool failed() const noexcept { return forgot_error_ || (rare_ && rare_->error); }
  bool sending_file() const noexcept { return rare_ && rare_->file; }

  // -- both without copying (stream_splice.cpp)
  enum class Spliced {
    passed_on,
    nothing,     // there is nothing, or the pipe is full and its end will tell
    by_copying,  // not this time
    over         // the connection is, or reading
  };
  StreamSplice& splice();
  void forget_splicing();
  Spliced splice_some();
  bool takes_splice() const noexcept {
    return slot_.made() && !closing_ && !eof_wanted_ && !writing_reserved_;
  }
  bool send_pipe();
  bool unpipe();
  void drop_pipe();
  void source_may_go_on();

  // -- writing (stream_write.cpp)
  bool nothing_queued() const noexcept { return queue_.empty() && !piped_; }
  std::size_t queued() const noexcept {
    return queue_.size() + (piped_ ? rare_->splice->pipe.held() : 0);
  }
  IoResult transmit(std::span<const BytesView> pieces);
  bool accepts_writes();
  bool take(BytesView data);
  bool queue_up(BytesView data);
  void go_on_writing();
  void send(BytesView data);
  void send_gathered();
  void send_pieces(std::span<const BytesView> pieces);
  void await_writable();
  void send_queue();
  void uncork();
  void check_high_water();
  void limits_changed();
  void flushed();
  void send_eof();
  void fail_refused_eof();
  bool resume_if_low();
  void check_not_reserved() const;

  // -- sending files (stream_sendfile.cpp)
  void send_more_of_file();
  void send_file_by_reading();
  void end_file(std::error_code code);
  void resume_after_file();

  // In this order the small members fill what ProtocolSlot and FlowControl leave over.
  [[no_unique_address]] ProtocolSlot slot_;
  std::uint16_t dropped_writes_ = 0;
  bool closing_ : 1 = false;       // close, abort or failure has begun
  bool aborted_ : 1 = false;       // what is queued is not sent any more
  bool ending_ : 1 = false;        // connection_lost is on its way
  bool paused_ : 1 = false;        // by pause_reading
  bool readable_ : 1 = false;      // an event came that nobody has read for yet
  bool read_queued_ : 1 = false;   // a read is in the ready queue
  bool eof_received_ : 1 = false;  // the peer's
  bool eof_wanted_ : 1 = false;    // write_eof was called
  bool eof_sent_ : 1 = false;
  bool eof_refused_ : 1 = false;  // the connection is gone, and reading has not told yet
  bool corked_ : 1 = false;       // one of our callbacks runs: writes are gathered
  bool write_armed_ : 1 = false;
  bool writing_reserved_ : 1 = false;  // a file is being sent
  bool splicing_ : 1 = false;          // what is read goes to splice().sink
  bool piped_ : 1 = false;             // splice().pipe holds bytes, which go before the queue
  bool forgot_error_ : 1 = false;      // there was no memory for it; or it is that
  StreamEnds ends_;
  FdWatchPtr watch_;
  WriteQueue queue_;
  [[no_unique_address]] FlowControl flow_;
  int fd_;  // -1: lost, connection_lost has returned and the loop may be gone
  Address peername_;
  mutable std::unique_ptr<StreamRare> rare_;  // made when the first of it is needed

  std::shared_ptr<StreamTransport>
      self_;  // the loop's ownership, until connection_lost has returned
  std::shared_ptr<ConnectionSet> clients_;
  StreamTransport* next_client_ = nullptr;
  StreamTransport** client_link_ = nullptr;
};

/// Does `f`; if there is no memory for it, ends the connection.
template <class F>
void StreamTransport::or_fail(const char* operation, F&& f) {
  try {
    f();
  } catch (const std::bad_alloc&) {
    fail(std::make_error_code(std::errc::not_enough_memory), operation);
  }
}

/// While one exists, the transport gathers its writes; its end sends them.
class StreamTransport::Cork {
 public:
  explicit Cork(StreamTransport& transport) : transport_(transport) { transport.corked_ = true; }
  Cork(const Cork&) = delete;
  Cork& operator=(const Cork&) = delete;
  ~Cork() { transport_.uncork(); }

 private:
  StreamTransport& transport_;
};

}  // namespace ferry
