#pragma once

#include "engine.h"

#include <ferry/flow_control.h>
#include <ferry/tls.h>
#include <ferry/transport_layer.h>

#include <atomic>
#include <memory>
#include <optional>

namespace ferry {

/// Handshakes under way of one server, or of several on loops of their own that share a wrap.
struct HandshakeCount {
  std::atomic<std::size_t> running = 0;
};

/// What a TlsConnection starts with.
struct TlsStart {
  std::shared_ptr<Protocol> protocol;
  std::shared_ptr<TlsContext> context;
  TlsOptions options;
  std::shared_ptr<HandshakeCount> handshakes;  // null: they are not counted
};

/// A protocol to the transport below, a transport to the protocol above, and a TlsEngine between.
/// Its life: fresh -> handshaking -> open -> lost; `closing_` and `over_` come on top. The life is
/// in tls_connection.cpp, bytes upwards in tls_read.cpp, bytes downwards in tls_write.cpp.
///
/// Everything that happens ends in `work`, which goes as far as it can and sends, at its end, what
/// the engine has written: one `write` below for all that one event caused.
class TlsConnection final : public TransportLayer<TlsTransport>,
                            public std::enable_shared_from_this<TlsConnection> {
 public:
  explicit TlsConnection(TlsStart start);
  ~TlsConnection() override;

  /// For start_tls: takes `below` over from its protocol, which keeps its place above.
  Future<std::shared_ptr<TlsTransport>> upgrade(std::shared_ptr<Transport> below,
                                                BytesView received);

  // -- ProtocolLayer
  void when_made(const std::string& host, Made made) override;
  void close_top() override;

  // -- Protocol: what the transport below says
  void connection_made(std::shared_ptr<Transport> below) override;
  void data_received(BytesView data) override;
  bool eof_received() override;
  void connection_lost(std::error_code error) override;
  void pause_writing() override { below_paused_ = true; }
  void resume_writing() override;

  // -- Transport: what the protocol above calls
  EventLoop& loop() const noexcept override { return *loop_; }
  void write(BytesView data) override;
  void writelines(std::span<const BytesView> pieces) override;
  using Transport::writelines;
  void write_eof() override;
  bool can_write_eof() const noexcept override { return half_close_; }
  void close() override;
  void abort() override;
  bool is_closing() const noexcept override { return closing_; }
  void pause_reading() override;
  void resume_reading() override;
  bool is_reading() const noexcept override { return !paused_ && !closing_; }
  void set_write_buffer_limits(std::optional<std::size_t> high,
                               std::optional<std::size_t> low) override;
  WriteLimits get_write_buffer_limits() const noexcept override { return flow_.limits(); }
  std::size_t get_write_buffer_size() const noexcept override;
  void set_write_hard_limit(std::size_t bytes) override;
  void set_protocol(std::shared_ptr<Protocol> protocol) override;
  const Error& error() const noexcept override;

  // -- TlsTransport
  TlsVersion version() const override { return facts().version; }
  std::string cipher() const override { return facts().cipher; }
  int cipher_bits() const override { return facts().cipher_bits; }
  std::string alpn() const override { return facts().alpn; }
  std::string server_name() const override { return facts().server_name; }
  bool resumed() const override { return facts().resumed; }
  std::optional<TlsCertificate> peer_certificate() const override;

 private:
  enum class State : std::uint8_t { fresh, handshaking, open, lost };
  class Cork;

  // -- the life (tls_connection.cpp)
  void begin(BytesView received);
  bool make_engine();
  bool count_handshake();
  void uncount_handshake() noexcept;
  void handshake();
  void handshake_done();
  void release_upgraded();
  void deadline_passed();
  void fail(std::error_code code, const char* operation);
  void fail_by_engine(const char* operation);
  void set_error(std::error_code code, const char* operation);
  void finish_closing();
  void finish_writing();
  void settle_error(std::error_code below);
  void handshake_failed();
  const TlsFacts& facts() const;

  // -- upwards (tls_read.cpp)
  void work(BytesView received = {});
  void work_silently();
  void advance();
  void read();
  void work_later();
  bool deliver(MutableBytes into, std::size_t size, bool buffered);
  void discard();
  void on_close_notify();
  void steer_below();
  bool held() const noexcept { return paused_ || held_; }

  // -- downwards (tls_write.cpp)
  bool accepts_writes();
  void encrypt_backlog();
  std::size_t encrypt(BytesView data);
  void flush();
  void check_high_water();
  bool check_low_water();

  EventLoop* loop_ = nullptr;            // from connection_made on
  std::shared_ptr<TlsContext> context_;  // until the engine is made
  std::optional<std::string> server_hostname_;
  Duration handshake_timeout_;
  Duration shutdown_timeout_;
  std::size_t max_handshakes_;
  std::shared_ptr<HandshakeCount> handshakes_;  // while this one counts, or has yet to
  std::unique_ptr<TlsEngine> engine_;           // until lost
  mutable std::unique_ptr<TlsFacts> facts_;     // made when first asked for, or else then
  Buffer input_;                                // encrypted bytes received and not yet read
  Buffer backlog_;                              // plain bytes written and not yet encrypted
  FlowControl flow_;
  std::optional<Timer> deadline_;  // of the handshake, then of the shutdown
  std::optional<Timer> more_;      // goes on with `work`, in a turn of its own
  std::unique_ptr<Error> error_;
  Future<std::shared_ptr<TlsTransport>> upgraded_;  // no future at all, but for start_tls

  State state_ = State::fresh;
  std::uint16_t dropped_writes_ = 0;
  bool counted_ : 1 = false;        // in handshakes_
  bool half_close_ : 1 = false;     // by the options
  bool eof_wanted_ : 1 = false;     // write_eof was called
  bool eof_told_ : 1 = false;       // eof_received was called, and the connection stays
  bool closing_ : 1 = false;        // close, abort or failure has begun
  bool over_ : 1 = false;           // abort or failure: nothing is sent or read any more
  bool aborted_ : 1 = false;        // by the program
  bool below_closing_ : 1 = false;  // we have closed the transport below
  bool below_paused_ : 1 = false;   // it holds bytes that the kernel has not taken
  bool below_reading_ : 1 = true;
  bool below_eof_ : 1 = false;
  bool paused_ : 1 = false;   // by pause_reading
  bool held_ : 1 = false;     // after start_tls, until its future's callbacks have run
  bool working_ : 1 = false;  // `work` is on the stack
  bool again_ : 1 = false;    // and must look again
  bool silent_ : 1 = false;   // it is in a call of the program's: no callback now
  bool unread_ : 1 = false;   // the turn's budget was spent before the input was
  bool resumed_ : 1 = false;  // resume_writing was called in this turn
  bool corked_ : 1 = false;   // one of our callbacks runs: writes are gathered
};

/// While one exists, what the protocol writes is gathered.
class TlsConnection::Cork {
 public:
  explicit Cork(TlsConnection& connection) : connection_(connection), was_(connection.corked_) {
    connection.corked_ = true;
  }
  Cork(const Cork&) = delete;
  Cork& operator=(const Cork&) = delete;
  ~Cork() { connection_.corked_ = was_; }

 private:
  TlsConnection& connection_;
  const bool was_;
};

}  // namespace ferry
