#pragma once

#include <ferry/any_future.h>
#include <ferry/task_core.h>
#include <ferry/task_factory.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace ferry {

/// What the loop's thread is at, for another to read: in debug mode, while somebody watches.
struct RunningStep {
  std::mutex mutex;
  std::string text;  // empty between steps
};

/// The tasks of a loop that are not done. The loop owns them by it.
class TaskList final : public LoopExtension {
 public:
  static TaskList& of(EventLoop& loop);

  /// Gives the task its number.
  std::uint64_t add(TaskCore& task) noexcept;
  static void remove(TaskCore& task) noexcept;
  std::vector<TaskCore*> all() const;
  /// Null: none.
  std::shared_ptr<TaskFactory>& factory() noexcept { return factory_; }
  /// From the first call on, the steps of tasks are written down there.
  std::shared_ptr<RunningStep> running_step();
  const std::shared_ptr<RunningStep>& watched_step() const noexcept { return running_step_; }

  /// What a user's own code said about who waits for what.
  struct Link {
    AnyFuture future;
    AnyFuture waiter;
    friend bool operator==(const Link&, const Link&) noexcept = default;
  };
  const std::vector<Link>& links() const noexcept { return links_; }
  /// Until it is dropped, or the future is done.
  void add_link(Link link);
  void drop_link(const Link& link);

  /// What is left is destroyed where it stands, with a word to the exception handler.
  void on_loop_close() override;
  void on_overdue() override;
  std::size_t task_count() const noexcept override { return count_; }

 private:
  explicit TaskList(EventLoop& loop) : loop_(&loop) {}

  EventLoop* loop_;
  TaskCore* first_ = nullptr;
  std::size_t count_ = 0;
  std::vector<Link> links_;
  std::shared_ptr<TaskFactory> factory_;
  std::shared_ptr<RunningStep> running_step_;  // null: nobody watches
  std::uint64_t last_number_ = 0;
};

}  // namespace ferry
