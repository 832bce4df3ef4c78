#pragma once

#include <ferry/function.h>
#include <ferry/protocol.h>
#include <ferry/server.h>
#include <ferry/testing/contract_checker.h>
#include <ferry/transport.h>

#include <memory>
#include <string>
#include <system_error>
#include <vector>

namespace ferry::testing {

/// What one connection's callbacks were, written down and checked (see ContractChecker): what
/// RecordingProtocol and RecordingBufferedProtocol have in common.
class ConnectionRecord {
 public:
  ConnectionRecord() = default;
  ConnectionRecord(const ConnectionRecord&) = delete;
  ConnectionRecord& operator=(const ConnectionRecord&) = delete;

  // -- what to do
  /// What eof_received answers.
  bool keep_open_on_eof = false;
  /// False: `data` stays empty and bytes are only counted.
  bool keep_data = true;
  /// False where resume_writing may come above the low-water mark: from what writes in this
  /// protocol's place and tells it when that is over, such as sendfile where it reads the file.
  bool resumes_at_low = true;
  /// Called after recording, if set. An exception out of one leaves the callback. A hook must not
  /// replace itself, but may replace the others.
  Function<void()> on_made;
  Function<void(BytesView)> on_data;
  Function<void()> on_eof;
  Function<void(std::error_code)> on_lost;
  Function<void()> on_pause;
  Function<void()> on_resume;

  // -- what happened
  /// "made", "data:N" (one a call), "eof", "pause", "resume", "lost:ok" or "lost:<message>".
  const std::vector<std::string>& events() const noexcept { return events_; }
  /// The events in one line; neighbouring data events are one: "made data:10 eof lost:ok".
  std::string summary() const;
  /// All that was received.
  const std::string& data() const noexcept { return data_; }
  std::size_t bytes() const noexcept { return bytes_; }
  /// From connection_made on; kept after the loss.
  const std::shared_ptr<Transport>& transport() const noexcept { return transport_; }
  bool made() const noexcept { return checker_.made(); }
  bool eof() const noexcept { return checker_.eof(); }
  bool lost() const noexcept { return checker_.lost(); }
  /// Between pause_writing and resume_writing.
  bool writing_paused() const noexcept { return checker_.writing_paused(); }
  /// What connection_lost was given.
  std::error_code error() const noexcept { return error_; }
  /// Sentences; empty if the contract was kept.
  const std::vector<std::string>& violations() const noexcept { return checker_.violations(); }
  ContractChecker& checker() noexcept { return checker_; }

  // -- Transport's calls, made under the checker's eyes: use these in tests. Before connection_made
  // there is nothing to call: std::logic_error.
  void write(BytesView bytes);
  void writelines(std::span<const BytesView> pieces);
  void write_eof();
  void pause_reading();
  void resume_reading();
  void close();
  void abort();

 protected:
  ~ConnectionRecord() = default;
  void record_made(std::shared_ptr<Transport> transport);
  void record_data(BytesView data);
  bool record_eof();
  void record_lost(std::error_code error);
  void record_pause();
  void record_resume();

 private:
  Transport& connected(const char* call) const;

  ContractChecker checker_;
  std::vector<std::string> events_;
  std::string data_;
  std::size_t bytes_ = 0;
  std::shared_ptr<Transport> transport_;
  std::error_code error_;
  bool aborted_well_ = false;  // nothing had failed, nor was about to
};

/// A Protocol that writes everything down. Set its flags and hooks, or derive from it and call the
/// base first.
class RecordingProtocol : public Protocol, public ConnectionRecord {
 public:
  void connection_made(std::shared_ptr<Transport> transport) override;
  void data_received(BytesView data) override;
  bool eof_received() override;
  void connection_lost(std::error_code error) override;
  void pause_writing() override;
  void resume_writing() override;
};

/// The same with a buffer of its own that the transport reads into.
class RecordingBufferedProtocol : public BufferedProtocol, public ConnectionRecord {
 public:
  explicit RecordingBufferedProtocol(std::size_t buffer_size = 4096) : buffer_(buffer_size) {}

  /// Called instead of lending the buffer, if set.
  Function<MutableBytes(std::size_t size_hint)> on_get_buffer;
  /// The hint of each get_buffer.
  const std::vector<std::size_t>& hints() const noexcept { return hints_; }

  void connection_made(std::shared_ptr<Transport> transport) override;
  MutableBytes get_buffer(std::size_t size_hint) override;
  void buffer_updated(std::size_t size) override;
  bool eof_received() override;
  void connection_lost(std::error_code error) override;
  void pause_writing() override;
  void resume_writing() override;

 private:
  std::vector<std::byte> buffer_;
  MutableBytes lent_;  // of buffer_, or of on_get_buffer's owner
  std::vector<std::size_t> hints_;
};

/// Makes recording protocols for a server or client and keeps them:
///
///     RecordingFactory<> made;
///     create_server(loop, made.factory());
///     ...
///     made.at(0).data()
///
/// Must outlive the factories it gives.
template <class P = RecordingProtocol>
class RecordingFactory {
 public:
  /// Called with each new protocol before it is used: set hooks and flags here.
  Function<void(P&)> prepare;

  ProtocolFactory factory() {
    return [this]() -> std::shared_ptr<Protocol> {
      protocols_.push_back(std::make_shared<P>());
      if (prepare) prepare(*protocols_.back());
      return protocols_.back();
    };
  }
  std::size_t size() const noexcept { return protocols_.size(); }
  P& at(std::size_t index) { return *protocols_.at(index); }
  const std::vector<std::shared_ptr<P>>& all() const noexcept { return protocols_; }
  /// Every protocol's violations; empty if all kept the contract.
  std::vector<std::string> violations() const {
    std::vector<std::string> all;
    for (const auto& protocol : protocols_) {
      all.insert(all.end(), protocol->violations().begin(), protocol->violations().end());
    }
    return all;
  }

 private:
  std::vector<std::shared_ptr<P>> protocols_;
};

}  // namespace ferry::testing
