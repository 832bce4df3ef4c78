#pragma once

#include <ferry/ref.h>
#include <ferry/wait_list.h>

#include <exception>
#include <utility>

namespace ferry {

/// For those who feed streams by hand: what a StreamWriter knows of its connection, which the
/// protocol tells it, and the tasks that wait to hear it.
class WriteFlow : public Counted<WriteFlow> {
 public:
  bool paused() const noexcept { return paused_; }
  bool lost() const noexcept { return lost_; }
  /// Why it was lost; null if all was well.
  const std::exception_ptr& error() const noexcept { return error_; }

  void pause() noexcept { paused_ = true; }
  void resume();
  /// The end. Again: nothing.
  void lose(std::exception_ptr error);

  /// Tasks that wait for `resume`, and for the end.
  WaitList& draining() noexcept { return draining_; }
  WaitList& ending() noexcept { return ending_; }

 private:
  WaitList draining_;
  WaitList ending_;
  std::exception_ptr error_;
  bool paused_ = false;
  bool lost_ = false;
};

}  // namespace ferry
