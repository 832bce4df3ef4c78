#pragma once

#include "bsd_pool_worker.h"

#include <ferry/process_pool.h>

#include <memory>
#include <string>

namespace ferry {

/// The program's side of one worker process: sends it one call at a time, receives the answer.
class WorkerLink final : private FdWatch::Listener {
 public:
  class Owner {
   public:
    /// From a callback of the loop, or from `drain`. The link may have been given another call, or
    /// been detached, when this returns; it must still exist.
    virtual void on_answer(WorkerLink& link, AnswerHeader::Kind kind, BytesView answer) = 0;
    /// The worker does not listen any more, or does not speak as it should. Also inside `give`.
    virtual void on_broken(WorkerLink& link) = 0;

   protected:
    ~Owner() = default;
  };

  WorkerLink(Owner& owner, int pid, Fd socket, std::size_t message_limit)
      : owner_(owner), pid_(pid), socket_(std::move(socket)), message_limit_(message_limit) {}

  int pid() const noexcept { return pid_; }
  /// It can be given a call.
  bool idle() const noexcept { return !busy_ && !broken_; }
  /// It has a call, whose answer may not be wanted any more.
  bool busy() const noexcept { return busy_; }

  /// Begins to listen and to send, if it does not yet. An error: the kernel refuses to watch.
  std::error_code attach(EventLoop& loop);
  void detach() noexcept;
  /// `idle()`. Sends as much as goes at once.
  void give(std::string request);
  /// The request, if not one byte of it has been sent: then the call has not begun.
  bool take_back(std::string& request) noexcept;
  /// Reads what is there; after the worker has ended. Not idle from now on.
  void drain();

 private:
  void on_readable(FdWatch::ReadEvent) override;
  void on_writable() override { send(); }
  void send();
  /// False: there is nothing more to be read now.
  bool receive();
  void answer_complete();
  void become_broken();

  Owner& owner_;  // who owns this
  int pid_;
  Fd socket_;
  std::size_t message_limit_;
  EventLoop* loop_ = nullptr;
  FdWatchPtr watch_;
  bool busy_ = false;
  bool broken_ = false;
  std::string request_;
  std::size_t sent_ = 0;
  AnswerHeader header_;
  std::unique_ptr<std::byte[]> answer_;  // once the header is complete
  std::size_t received_ = 0;             // of the header, then of the answer
};

}  // namespace ferry
