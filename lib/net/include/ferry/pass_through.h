#pragma once

#include <ferry/transport_layer.h>

#include <cstddef>
#include <memory>

namespace ferry {

/// For those who write wraps (ConnectOptions::wrap, ListenOptions::wrap): a layer that changes
/// nothing. A protocol to the transport below and a transport to the protocol above, it passes
/// every call on, so that the connection keeps its contract; also start_tls works through it.
/// Derive from it and override what is to be different: `on_received` to see what comes, `write`
/// and `writelines` to see what goes. It must be made by std::make_shared.
///
///     class Counting final : public PassThrough {
///      public:
///       explicit Counting(std::shared_ptr<Protocol> above) : PassThrough(std::move(above)) {}
///       std::size_t received = 0;
///      private:
///       void on_received(BytesView data) override { received += data.size(); }
///     };
///     options.wrap = [](std::shared_ptr<Protocol> protocol) {
///       return std::make_shared<Counting>(std::move(protocol));
///     };
class PassThrough : public TransportLayer<Transport>,
                    public std::enable_shared_from_this<PassThrough> {
 public:
  explicit PassThrough(std::shared_ptr<Protocol> above);
  ~PassThrough() override;

  // -- Protocol: what the transport below says. An override calls this one.
  void connection_made(std::shared_ptr<Transport> below) override;
  void data_received(BytesView data) override;
  bool eof_received() override;
  void connection_lost(std::error_code error) override;
  void pause_writing() override;
  void resume_writing() override;
  /// Lends the buffer of the protocol above, if that has one.
  BufferedProtocol* as_buffered() noexcept override;

  // -- Transport: what the protocol above calls. An override calls this one, too.
  EventLoop& loop() const noexcept override { return below_->loop(); }
  void write(BytesView data) override { below_->write(data); }
  void writelines(std::span<const BytesView> pieces) override { below_->writelines(pieces); }
  using Transport::writelines;
  void write_eof() override { below_->write_eof(); }
  bool can_write_eof() const noexcept override { return below_->can_write_eof(); }
  void close() override;
  void abort() override;
  bool is_closing() const noexcept override { return below_->is_closing(); }
  void pause_reading() override { below_->pause_reading(); }
  void resume_reading() override { below_->resume_reading(); }
  bool is_reading() const noexcept override { return below_->is_reading(); }
  void set_write_buffer_limits(std::optional<std::size_t> high,
                               std::optional<std::size_t> low) override {
    below_->set_write_buffer_limits(high, low);
  }
  WriteLimits get_write_buffer_limits() const noexcept override {
    return below_->get_write_buffer_limits();
  }
  std::size_t get_write_buffer_size() const noexcept override {
    return below_->get_write_buffer_size();
  }
  void set_write_hard_limit(std::size_t bytes) override { below_->set_write_hard_limit(bytes); }
  void set_protocol(std::shared_ptr<Protocol> protocol) override;
  const Error& error() const noexcept override;

 protected:
  Transport& below() const noexcept { return *below_; }
  /// connection_lost has come.
  bool lost() const noexcept { return lost_; }
  /// The program has called abort, or `fail` has been called.
  bool aborted() const noexcept { return aborted_ || error_ || forgot_error_; }
  /// Ends the connection: aborts below; connection_lost will have `code`, and error() the
  /// operation, a literal, too.
  void fail(std::error_code code, const char* operation);

  /// Bytes are about to be handed to the protocol above; valid during the call.
  virtual void on_received(BytesView) {}
  /// Where the transport below is to read to: at least one byte. By default what the protocol above
  /// lends.
  virtual MutableBytes get_buffer(std::size_t size_hint);
  /// The first `size` bytes of `into`, which get_buffer gave, have been filled.
  virtual void buffer_updated(MutableBytes into, std::size_t size);
  /// The buffer of the protocol above. Empty: there is none to be had, the protocol takes no buffer
  /// any more, or has failed.
  MutableBytes borrow_above();
  /// The BufferedProtocol through which get_buffer and buffer_updated are called.
  BufferedProtocol& buffered() noexcept { return face_; }

 private:
  /// What as_buffered gives while the protocol above is buffered, which it may cease to be.
  class Face final : public BufferedProtocol {
   public:
    explicit Face(PassThrough& layer) : layer_(layer) {}
    MutableBytes get_buffer(std::size_t size_hint) override;
    void buffer_updated(std::size_t size) override;
    /// Between the two.
    bool lending() const noexcept { return !lent_.empty(); }

   private:
    PassThrough& layer_;
    MutableBytes lent_;
  };

  Face face_;
  std::unique_ptr<Error> error_;
  bool lost_ = false;
  bool aborted_ = false;
  bool forgot_error_ = false;  // there was no memory for it
  std::byte spare_{};          // lent where there is nothing else
};

}  // namespace ferry
