#include "descriptors.h"
#include "dialer.h"
#include "histogram.h"
#include "options.h"
#include "pattern.h"
#include "report.h"

#include <algorithm>
#include <cstdio>
#include <vector>

namespace ferry::bench {

namespace {

constexpr std::size_t kMessage = 64;

/// What the workers share.
struct ChurnRun {
  EventLoop& loop;
  const Endpoint& to;
  Pattern pattern{};
  bool stopping = false;
  std::size_t workers = 0;        ///< That have not ended.
  std::uint64_t connections = 0;  ///< Begun, good or bad.
  std::uint64_t completed = 0;
  std::uint64_t errors = 0;
  Histogram latencies{};  ///< From connecting to the last byte of the answer.

  void fail(const std::string& what) {
    if (errors++ == 0) std::fprintf(stderr, "ferry-bench: %s\n", what.c_str());
    stopping = true;
  }
};

/// Connects, makes one round trip, closes, and does it again: the protocol of all its connections.
class ChurnWorker final : public Protocol, public std::enable_shared_from_this<ChurnWorker> {
 public:
  explicit ChurnWorker(ChurnRun& run) : run_(run) { ++run_.workers; }

  void next() {
    if (run_.stopping) {
      if (--run_.workers == 0) run_.loop.stop();
      return;
    }
    index_ = run_.connections++;
    received_ = 0;
    begun_ = run_.loop.time();
    auto self = shared_from_this();
    dial(
        run_.loop, [self]() -> std::shared_ptr<Protocol> { return self; }, run_.to, index_)
        .add_done_callback([self](Future<Connection<>> connection) {
          if (std::exception_ptr failure = connection.exception()) self->not_connected(failure);
        });
  }

  void connection_made(std::shared_ptr<Transport> transport) override {
    transport_ = std::move(transport);
    transport_->write(run_.pattern.at(index_, 0, kMessage));
  }

  void data_received(BytesView data) override {
    const std::size_t good = run_.pattern.matching(index_, received_, data);
    received_ += good;
    if (good < data.size() || received_ > kMessage) {
      return fail("wrong byte at offset " + std::to_string(std::min(received_, kMessage)));
    }
    if (received_ < kMessage) return;
    run_.latencies.add(run_.loop.time() - begun_);
    ++run_.completed;
    transport_->close();
  }

  void connection_lost(std::error_code) override {
    if (received_ < kMessage && !failed_) {
      fail("bytes missing from offset " + std::to_string(received_) + ": " +
           (transport_->error() ? transport_->error().message() : "the server closed"));
    }
    transport_.reset();
    next();
  }

 private:
  void fail(const std::string& what) {
    failed_ = true;
    run_.fail("connection " + std::to_string(index_) + ": " + what);
    transport_->abort();
  }

  void not_connected(std::exception_ptr failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      run_.fail(error.what());
    }
    next();
  }

  ChurnRun& run_;
  std::shared_ptr<Transport> transport_;
  std::size_t index_ = 0;
  std::size_t received_ = 0;
  TimePoint begun_;
  bool failed_ = false;
};

}  // namespace

int churn(const ChurnOptions& options) {
  check_writable(options.json);
  raise_descriptor_limit(options.connections);
  EventLoop loop;
  loop.set_log_sink(stderr_log_sink());
  ChurnRun run{loop, options.to};
  for (std::size_t i = 0; i < options.connections; ++i) std::make_shared<ChurnWorker>(run)->next();

  const TimePoint begun = loop.time();
  std::uint64_t completed = 0;
  double seconds = 0;
  const auto measure = [&] {
    run.stopping = true;
    completed = run.completed;
    seconds = std::chrono::duration<double>(loop.time() - begun).count();
  };
  loop.call_later(
      std::chrono::duration_cast<Duration>(std::chrono::duration<double>(options.seconds)),
      measure);
  loop.run_forever();
  if (seconds == 0) measure();

  Report report;
  report.add("connections_per_second", static_cast<double>(completed) / seconds);
  report.add("total_connections", run.completed);
  report.add("seconds", seconds);
  report.add_latencies(run.latencies);
  report.add("errors", run.errors);
  report.print();
  if (!options.json.empty()) report.write_json(options.json);
  return run.errors == 0 ? 0 : 1;
}

}  // namespace ferry::bench
