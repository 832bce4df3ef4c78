#pragma once

#include "histogram.h"
#include "options.h"
#include "pattern.h"
#include "pipes.h"
#include "report.h"

#include <ferry/net.h>

#include <memory>
#include <string>
#include <vector>

namespace ferry::bench {

struct LoadFigures {
  std::uint64_t messages = 0;        ///< Answered while it was measured.
  std::uint64_t total_messages = 0;  ///< All that were answered, warm-up and end included.
  double seconds = 0;                ///< How long it was measured.
  Histogram latencies;
  std::uint64_t errors = 0;

  /// As names and figures, for messages of so many bytes; latencies and errors are not in it.
  void add_to(Report& report, std::size_t size) const;
};

class LoadStream;

/// One run of the load generator: warm-up, measuring, then the replies that are still under way.
/// The first error ends it. The streams refer to it until the loop has closed.
class LoadRun {
 public:
  LoadRun(EventLoop& loop, const LoadOptions& options);
  LoadRun(const LoadRun&) = delete;
  LoadRun& operator=(const LoadRun&) = delete;
  /// Closes the loop.
  ~LoadRun();

  /// The protocol of the connection of that index, from 0.
  std::shared_ptr<Protocol> stream(std::size_t index);
  /// The same one, if it is to have two pipes.
  PipeUser& pipe_user(std::size_t index);
  /// Sends the first messages. The loop is stopped when the run is over.
  void begin();
  const LoadFigures& figures() const noexcept { return figures_; }

 private:
  friend class LoadStream;
  enum class Phase { connecting, warmup, measuring, draining, over };

  void next_phase();
  void measure();
  void drain();
  /// `stream` was closed by the server, after all its replies had come.
  void ended();
  /// Says the first error on stderr; the run is over.
  void fail(std::size_t connection, const std::string& what);

  EventLoop& loop_;
  const LoadOptions& options_;
  const Pattern pattern_;
  std::vector<std::shared_ptr<LoadStream>> streams_;
  Phase phase_ = Phase::connecting;
  Timer timer_;
  TimePoint measured_from_;
  std::uint64_t total_at_last_look_ = 0;
  std::size_t open_ = 0;
  LoadFigures figures_;
};

}  // namespace ferry::bench
