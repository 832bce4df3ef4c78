#pragma once

#include <ferry/server.h>

#include <memory>
#include <vector>

namespace ferry {

/// The life of a server, whatever it listens on and wherever its connections are: created, serving,
/// closed; and those who wait for its end. It owns itself until it is closed.
class ServerBase : public Server,
                   public std::enable_shared_from_this<ServerBase>,
                   private LoopResource {
 public:
  void start_serving() final;
  void close() final;
  Future<std::size_t> drain(Duration deadline) final;
  Future<void> wait_closed() final;
  Future<void> serve_forever() final;
  bool is_serving() const noexcept final { return state_ == State::serving; }
  EventLoop& loop() const noexcept final { return loop_; }

 protected:
  explicit ServerBase(EventLoop& loop);
  /// To be called once, by who made it.
  void begin() { self_ = shared_from_this(); }

  /// Listens. Throws IoError; then the server is closed.
  virtual void open_sockets() = 0;
  virtual void close_sockets() = 0;
  /// Of a closed server: nothing is left of it.
  virtual bool is_over() const noexcept = 0;
  /// To be called when that may have changed.
  void finish_if_over();
  bool is_closed() const noexcept { return state_ == State::closed; }

 private:
  enum class State { created, serving, closed };
  /// One call of `drain`.
  struct Drain {
    explicit Drain(ServerBase& server);
    Future<std::size_t> future;
    std::size_t aborted = 0;
    Timer deadline;
  };

  void on_loop_close() override { close(); }
  /// The loop, or std::logic_error if it is gone.
  EventLoop& usable_loop() const { return lifeline_.get_loop(); }
  void check_open(const char* what) const;

  EventLoop& loop_;
  State state_ = State::created;
  std::shared_ptr<ServerBase> self_;  // until closed
  Future<void> lifeline_;             // never done: knows whether the loop still exists
  std::vector<Future<void>> waiters_;
  std::vector<std::shared_ptr<Drain>> drains_;
  Future<void> forever_;
};

}  // namespace ferry
