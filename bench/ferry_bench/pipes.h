#pragma once

#include <ferry/pipe.h>

#include <unistd.h>

#include <memory>
#include <string_view>
#include <vector>

namespace ferry::bench {

/// Descriptors to read from and to write to: the standard streams, unless others are named.
struct PipePair {
  int read = STDIN_FILENO;
  int write = STDOUT_FILENO;
};

/// "5:8,6:11": pairs of descriptors; empty if `text` is anything else.
std::vector<PipePair> parse_pipes(std::string_view text);

/// A protocol that can write to another transport than the one it reads from.
class PipeUser {
 public:
  /// Before connection_made, which brings the one to read from. The writer's pause_writing and
  /// resume_writing come to this protocol as if they were the reader's.
  virtual void writes_to(std::shared_ptr<Transport> writer) = 0;

 protected:
  ~PipeUser() = default;
};

/// Gives both pipes to `protocol`, which is `user`; it must close the writer when it has lost the
/// reader, and if the writer is lost first the reader is aborted. `ended` is called when the writer
/// is lost; may be empty.
void open_pipes(EventLoop& loop, PipePair pair, std::shared_ptr<Protocol> protocol, PipeUser& user,
                Function<void()> ended = {});

}  // namespace ferry::bench
