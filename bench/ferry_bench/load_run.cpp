#include "load_run.h"

#include <cstdio>

namespace ferry::bench {

namespace {

Duration from_seconds(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

void LoadFigures::add_to(Report& report, std::size_t size) const {
  const double rate = seconds > 0 ? static_cast<double>(messages) / seconds : 0;
  report.add("messages", messages);
  report.add("total_messages", total_messages);
  report.add("seconds", seconds);
  report.add("messages_per_second", rate);
  report.add("mb_per_second", rate * static_cast<double>(size) / 1e6);
}

/// One connection. It keeps `depth` messages under way; what comes back is compared with the
/// pattern whatever the sizes of the chunks, and a message counts when its last byte is there.
class LoadStream final : public Protocol, public PipeUser {
 public:
  LoadStream(LoadRun& run, std::size_t index)
      : run_(run), index_(index), sent_at_(run.options_.depth) {}

  void connection_made(std::shared_ptr<Transport> transport) override {
    if (!transport_) transport_ = std::move(transport);
  }
  void writes_to(std::shared_ptr<Transport> writer) override { transport_ = std::move(writer); }

  void begin(TimePoint now) { send(run_.options_.depth, now); }

  /// No message will be sent any more: ends the connection once the last reply is there.
  void finish() {
    if (finished_ || received_ < sent_) return;
    finished_ = true;
    transport_->can_write_eof() ? transport_->write_eof() : transport_->close();
  }

  void data_received(BytesView data) override {
    const BytesView expected = data.first(static_cast<std::size_t>(sent_ - received_));
    const std::size_t good = run_.pattern_.matching(index_, received_, expected);
    received_ += good;
    if (good < expected.size()) return wrong(expected[good]);
    if (expected.size() < data.size()) return fail("a byte too many");

    const std::uint64_t answered = received_ / run_.options_.size - answered_;
    if (answered == 0) return;
    const TimePoint now = run_.loop_.time();
    count(answered, now);
    if (run_.phase_ < LoadRun::Phase::draining) {
      send(answered, now);
    } else {
      finish();
    }
  }

  bool eof_received() override {
    if (!finished_) fail("the server ended the stream: the bytes are missing");
    return false;
  }

  void connection_lost(std::error_code error) override {
    if (run_.phase_ == LoadRun::Phase::over) return;
    if (finished_) return run_.ended();
    fail(!error                ? "the server closed"
         : transport_->error() ? transport_->error().message()
                               : error.message());
  }

  std::uint64_t missing() const noexcept { return sent_ - received_; }
  void fail(const std::string& what) {
    run_.fail(index_, what + " at offset " + std::to_string(received_) + ", after " +
                          std::to_string(sent_) + " bytes sent");
  }

 private:
  void wrong(std::byte actual) {
    char text[64];
    const std::byte expected = run_.pattern_.at(index_, received_, 1)[0];
    std::snprintf(text, sizeof text, "wrong byte 0x%02x instead of 0x%02x",
                  static_cast<unsigned>(actual), static_cast<unsigned>(expected));
    fail(text);
  }

  void count(std::uint64_t messages, TimePoint now) {
    LoadFigures& figures = run_.figures_;
    figures.total_messages += messages;
    const bool measured = run_.phase_ == LoadRun::Phase::measuring;
    if (measured) figures.messages += messages;
    for (; messages > 0; --messages) {
      if (measured) figures.latencies.add(now - sent_at_[oldest_]);
      if (++oldest_ == sent_at_.size()) oldest_ = 0;
      ++answered_;
    }
  }

  /// The next messages, as few writes as can be: messages that follow each other are one run of the
  /// pattern.
  void send(std::uint64_t messages, TimePoint now) {
    std::uint64_t rest = messages * run_.options_.size;
    for (; messages > 0; --messages) {
      sent_at_[newest_] = now;
      if (++newest_ == sent_at_.size()) newest_ = 0;
    }
    while (rest > 0) {
      const BytesView piece = run_.pattern_.at(index_, sent_, static_cast<std::size_t>(rest));
      sent_ += piece.size();
      rest -= piece.size();
      transport_->write(piece);
    }
  }

  LoadRun& run_;
  const std::size_t index_;
  std::shared_ptr<Transport> transport_;  // to write to
  std::uint64_t sent_ = 0;                // bytes, as received_
  std::uint64_t received_ = 0;
  std::uint64_t answered_ = 0;
  // When each message under way was sent: a ring that is always full while the run goes on.
  std::vector<TimePoint> sent_at_;
  std::size_t oldest_ = 0;
  std::size_t newest_ = 0;
  bool finished_ = false;
};

LoadRun::LoadRun(EventLoop& loop, const LoadOptions& options)
    : loop_(loop), options_(options), timer_(loop, [this] { next_phase(); }) {
  streams_.reserve(options.connections);
  for (std::size_t i = 0; i < options.connections; ++i) {
    streams_.push_back(std::make_shared<LoadStream>(*this, i));
  }
}

LoadRun::~LoadRun() {
  phase_ = Phase::over;
  loop_.close();
}

std::shared_ptr<Protocol> LoadRun::stream(std::size_t index) {
  return streams_[index];
}

PipeUser& LoadRun::pipe_user(std::size_t index) {
  return *streams_[index];
}

void LoadRun::begin() {
  if (figures_.errors > 0) return loop_.stop();  // a connection was lost before the last was open
  open_ = streams_.size();
  if (options_.warmup > 0) {
    phase_ = Phase::warmup;
    timer_.set(from_seconds(options_.warmup));
  } else {
    measure();
  }
  for (const auto& stream : streams_) stream->begin(loop_.time());
}

void LoadRun::next_phase() {
  if (phase_ == Phase::warmup) return measure();
  if (phase_ == Phase::measuring) return drain();
  // Draining: the server may take its time, but not stand still.
  if (figures_.total_messages != std::exchange(total_at_last_look_, figures_.total_messages)) {
    return timer_.set(std::chrono::seconds(10));
  }
  for (const auto& stream : streams_) {
    if (stream->missing() > 0) return stream->fail("no answer within 10 s: the bytes are missing");
  }
  // All is there, only the server does not close after our end of file; that is its own affair.
  phase_ = Phase::over;
  loop_.stop();
}

void LoadRun::measure() {
  phase_ = Phase::measuring;
  measured_from_ = loop_.time();
  timer_.set(from_seconds(options_.seconds));
}

void LoadRun::drain() {
  phase_ = Phase::draining;
  figures_.seconds = std::chrono::duration<double>(loop_.time() - measured_from_).count();
  total_at_last_look_ = figures_.total_messages;
  timer_.set(std::chrono::seconds(10));
  for (const auto& stream : streams_) stream->finish();
}

void LoadRun::ended() {
  if (--open_ > 0) return;
  phase_ = Phase::over;
  loop_.stop();
}

void LoadRun::fail(std::size_t connection, const std::string& what) {
  if (phase_ == Phase::over) return;
  if (phase_ == Phase::measuring) {
    figures_.seconds = std::chrono::duration<double>(loop_.time() - measured_from_).count();
  }
  ++figures_.errors;
  std::fprintf(stderr, "ferry-bench: connection %zu: %s\n", connection, what.c_str());
  // While connecting, begin() will see the error: the others may still come up.
  if (std::exchange(phase_, Phase::over) != Phase::connecting) loop_.stop();
}

}  // namespace ferry::bench
