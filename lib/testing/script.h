#pragma once

#include <ferry/connect.h>
#include <ferry/event_loop.h>
#include <ferry/protocol.h>
#include <ferry/server.h>
#include <ferry/timer.h>
#include <ferry/transport.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ferry::testing {

/// One step of a ScriptedPeer's script.
struct ScriptStep {
  enum class Kind {
    expect,
    take,
    take_until,
    expect_eof,
    expect_reset,
    expect_silence,
    send,
    send_slowly,
    shutdown,
    close,
    reset,
    wait,
    call,
  };
  Kind kind;
  std::string bytes{};
  std::size_t size = 0;
  Duration time{};
  std::string* into = nullptr;  // the test's
  Function<void()> function{};

  /// "expect "HELLO\r\n"", as in a complaint.
  std::string to_string() const;
  /// It waits for what the other side does, and so reads.
  bool reads() const noexcept;
};

/// The protocol behind a ScriptedPeer: does the steps, and knows what went wrong.
class Script final : public Protocol, public std::enable_shared_from_this<Script> {
 public:
  explicit Script(Duration limit) noexcept : limit_(limit) {}

  void add(ScriptStep step);
  /// The connection is to come from now on; the limit of time begins.
  void expect_connection(EventLoop& loop);
  /// What brings the connection; ended when it is there, or not wanted any more.
  void serve_with(std::weak_ptr<Server> server) { server_ = std::move(server); }
  void connect_with(Future<Connection<>> connecting) { connecting_ = std::move(connecting); }
  void fail(std::string what);
  /// Nobody is interested any more.
  void give_up();

  bool done() const noexcept { return failed_ || at_ == steps_.size(); }
  Future<bool> finished(EventLoop& loop);
  std::string complaint() const;
  const std::shared_ptr<Transport>& transport() const noexcept { return transport_; }

  void connection_made(std::shared_ptr<Transport> transport) override;
  void data_received(BytesView data) override;
  bool eof_received() override;
  void connection_lost(std::error_code error) override;
  void pause_writing() override { writing_paused_ = true; }
  void resume_writing() override;

 private:
  void run_soon();
  void run();
  bool begin();
  bool go_on();
  bool expect(const ScriptStep& step);
  bool take(const ScriptStep& step, std::size_t size);
  bool take_until(const ScriptStep& step);
  bool expect_end(const ScriptStep& step);
  bool expect_silence();
  bool send_piece(const ScriptStep& step);
  bool still_connected();
  void more_needed(std::size_t wanted);
  void consume(std::size_t size);
  void fail_step(const std::string& what);
  void on_deadline();
  void end_opening();
  void set_reading();
  void tell_finished();
  std::string name_of_step() const;
  std::string leftovers() const;

  Duration limit_;
  std::vector<ScriptStep> steps_;
  std::size_t at_ = 0;  // the step under way; as many as there are: the end
  bool begun_ = false;  // that step
  std::size_t add_at_ = 0;
  bool calling_ = false;

  EventLoop* loop_ = nullptr;  // null before there is a connection to come
  std::shared_ptr<Transport> transport_;
  std::weak_ptr<Server> server_;  // the loop's
  Future<Connection<>> connecting_;
  std::optional<Timer> pause_;     // of wait, send_slowly, expect_silence
  std::optional<Timer> deadline_;  // of the connection, or a step
  bool pause_over_ = false;
  bool scheduled_ = false;
  bool writing_paused_ = false;
  bool ended_before_ = false;  // eof_, when the step began
  std::size_t checked_ = 0;    // of unread_, by expect or take_until
  std::size_t sent_ = 0;       // of send_slowly

  std::string unread_;        // what came and no step has taken
  std::size_t position_ = 0;  // of its first byte in all that came
  bool eof_ = false;
  bool lost_ = false;
  std::error_code error_;

  bool failed_ = false;
  std::string failure_;
  std::vector<Future<bool>> waiting_;
};

}  // namespace ferry::testing
