#pragma once

#include <ferry/pipe_pool.h>

#include <cstddef>
#include <memory>

namespace ferry {

class StreamTransport;

/// Who has one stream spliced into another: told instead of data_received. May end it, and may
/// pause, close or abort either side.
class SpliceWatcher {
 public:
  /// `bytes` were read and are on their way: sent, or in a pipe and then counted by the other
  /// transport's write buffer.
  virtual void on_spliced(std::size_t bytes) = 0;
  /// It cannot be done, or not now (no pipe is to be had): data_received from here on. With `never`
  /// it makes no sense to try again.
  virtual void on_splice_ended(bool never) = 0;

 protected:
  ~SpliceWatcher() = default;
};

/// What a StreamTransport has more while it is spliced, on the one side or the other or on both.
struct StreamSplice {
  // As the one that is read from.
  std::shared_ptr<StreamTransport> sink;  // null: data goes to the protocol
  SpliceWatcher* watcher = nullptr;       // while there is a sink
  bool unsure = false;  // EAGAIN came while the pipe held bytes: that may have been full

  // As the one that is written to.
  StreamTransport* source = nullptr;  // whose `sink` this is
  /// What it holds goes out before the write queue. Filled only while that is empty, so that it
  /// comes behind all that was written before.
  PooledPipe pipe;
};

}  // namespace ferry
