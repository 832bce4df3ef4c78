#pragma once

#include <ferry/subprocess.h>

#include <array>
#include <memory>
#include <vector>

namespace ferry {

/// What a ChildProcess starts with.
struct ChildStart {
  SubprocessProtocolFactory factory;
  std::vector<std::string> arguments;
  SubprocessOptions options;
  /// Called once connection_made has returned or thrown.
  Function<void()> made;
};

/// A SubprocessTransport. The loop owns it from `start` until connection_lost has returned; it then
/// has been reaped.
class ChildProcess final : public SubprocessTransport,
                           public std::enable_shared_from_this<ChildProcess>,
                           private LoopResource,
                           private FdWatch::Listener {
 public:
  /// Starts the process; connection_made follows from the loop. Throws IoError, and what the
  /// factory throws.
  static std::shared_ptr<ChildProcess> start(EventLoop& loop, ChildStart start);

  explicit ChildProcess(EventLoop& loop);  // for `start`
  ~ChildProcess() override;

  EventLoop& loop() const noexcept override { return LoopResource::loop(); }
  int get_pid() const noexcept override { return pid_; }
  std::optional<int> get_returncode() const noexcept override { return returncode_; }
  std::shared_ptr<Transport> get_pipe_transport(int fd) const override;
  void send_signal(int signal_number) override;
  void terminate() override;
  void kill() override;
  void close() override;
  bool is_closing() const noexcept override { return closing_; }
  void set_protocol(std::shared_ptr<SubprocessProtocol> protocol) override;
  std::shared_ptr<SubprocessProtocol> get_protocol() const override { return protocol_; }

 private:
  class Pipe;  // the protocol of one of the pipes

  void on_loop_close() override;
  void on_overdue() override;
  void on_readable(FdWatch::ReadEvent) override;
  void on_writable() override {}

  std::array<Socket, 3> spawn(const ChildStart& start);
  void connect_pipes(std::array<Socket, 3> ends);
  void make_connection(Function<void()> made);
  template <class Callback>
  void call(const char* name, Callback&& callback);
  void pipe_lost(int fd, std::error_code error);
  void exited(int status);
  void kill_and_reap() noexcept;
  void finish_if_ended();
  void finish(std::error_code error);

  std::shared_ptr<SubprocessProtocol> protocol_;
  Socket process_;  // stands for the child; empty once it is reaped
  FdWatchPtr watch_;
  int pid_ = -1;
  std::optional<int> returncode_;
  std::array<std::shared_ptr<Transport>, 3> pipes_;
  int open_pipes_ = 0;
  bool made_ = false;
  bool closing_ = false;
  bool finishing_ = false;                   // connection_lost is on its way
  bool finished_ = false;                    // and has returned
  std::vector<Function<void()>> too_early_;  // callbacks that wait for connection_made
  std::shared_ptr<ChildProcess> self_;       // the loop's ownership
};

}  // namespace ferry
