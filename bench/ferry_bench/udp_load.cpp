#include "load_run.h"

#include "descriptors.h"
#include "report.h"

#include <cstdio>
#include <cstring>

namespace ferry::bench {

namespace {

constexpr Duration kLostAfter = std::chrono::milliseconds(500);

Duration from_seconds(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

class UdpStream;

/// One run: warm-up, measuring, then what is still under way. A datagram that is not answered for
/// half a second counts as lost, and another one is sent in its place.
struct UdpRun {
  EventLoop& loop;
  const LoadOptions& options;
  Pattern pattern{};
  std::vector<std::shared_ptr<UdpStream>> streams{};
  LoadFigures figures{};
  std::uint64_t lost = 0;
  bool measuring = false;
  bool stopping = false;

  void fail(std::size_t index, const std::string& what) {
    if (figures.errors++ > 0) return;
    std::fprintf(stderr, "ferry-bench: socket %zu: %s\n", index, what.c_str());
    loop.stop();
  }
};

/// One socket with `depth` datagrams under way. Each begins with its number, by which its answer is
/// known; the rest is the pattern from there on.
class UdpStream final : public DatagramProtocol {
 public:
  UdpStream(UdpRun& run, std::size_t index)
      : run_(run), index_(index), slots_(run.options.depth), datagram_(run.options.size) {}

  void connection_made(std::shared_ptr<DatagramTransport> transport) override {
    transport_ = std::move(transport);
  }

  void begin(TimePoint now) {
    for (std::size_t i = 0; i < slots_.size(); ++i) send(i, i, now);
  }

  void datagram_received(BytesView data, const DatagramInfo&) override {
    std::uint64_t number = 0;
    if (data.size() != run_.options.size) return run_.fail(index_, "an answer of another size");
    std::memcpy(&number, data.data(), sizeof number);
    Slot& slot = slots_[static_cast<std::size_t>(number % slots_.size())];
    if (number != slot.number || !slot.waiting) return;  // given up as lost before
    const BytesView rest = data.drop(sizeof number);
    if (run_.pattern.matching(index_, number, rest) != rest.size()) {
      return run_.fail(index_, "wrong bytes in the answer to datagram " + std::to_string(number));
    }
    const TimePoint now = run_.loop.time();
    ++run_.figures.total_messages;
    if (run_.measuring) {
      ++run_.figures.messages;
      run_.figures.latencies.add(now - slot.sent_at);
    }
    slot.waiting = false;
    if (!run_.stopping) send(static_cast<std::size_t>(number % slots_.size()), next(slot), now);
  }

  void error_received(std::error_code error) override { run_.fail(index_, error.message()); }

  /// Gives up what is too old. The number still waited for.
  std::size_t look(TimePoint now) {
    std::size_t waiting = 0;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      Slot& slot = slots_[i];
      if (!slot.waiting) continue;
      if (now - slot.sent_at < kLostAfter) {
        ++waiting;
        continue;
      }
      ++run_.lost;
      slot.waiting = false;
      if (!run_.stopping) send(i, next(slot), now);
    }
    return waiting;
  }

 private:
  struct Slot {
    std::uint64_t number = 0;
    TimePoint sent_at{};
    bool waiting = false;
  };

  std::uint64_t next(const Slot& slot) const noexcept { return slot.number + slots_.size(); }

  void send(std::size_t index, std::uint64_t number, TimePoint now) {
    slots_[index] = {number, now, true};
    const std::size_t rest = datagram_.size() - sizeof number;
    std::memcpy(datagram_.data(), &number, sizeof number);
    std::memcpy(datagram_.data() + sizeof number, run_.pattern.at(index_, number, rest).data(),
                rest);
    transport_->sendto(datagram_);
  }

  UdpRun& run_;
  const std::size_t index_;
  std::vector<Slot> slots_;
  std::vector<std::byte> datagram_;
  std::shared_ptr<DatagramTransport> transport_;
};

void open_all(UdpRun& run) {
  for (std::size_t i = 0; i < run.options.connections; ++i) {
    auto stream = std::make_shared<UdpStream>(run, i);
    DatagramOptions options;
    options.remote_host = run.options.to.host;
    options.remote_port = run.options.to.port;
    options.segmentation = run.options.segmentation;
    run.loop.run_until_complete(create_datagram_endpoint(
        run.loop, [stream] { return stream; }, std::move(options)));
    run.streams.push_back(std::move(stream));
  }
}

/// Looks for lost datagrams, and at the end stops the loop when the last answer is there.
void look_again(UdpRun& run) {
  run.loop.call_later(kLostAfter / 5, [&run] {
    std::size_t waiting = 0;
    for (const auto& stream : run.streams) waiting += stream->look(run.loop.time());
    if (run.stopping && waiting == 0) return run.loop.stop();
    look_again(run);
  });
}

}  // namespace

int udp_load(const LoadOptions& options) {
  check_writable(options.json);
  raise_descriptor_limit(options.connections);
  EventLoop loop;
  loop.set_log_sink(stderr_log_sink());
  UdpRun run{loop, options};
  open_all(run);

  TimePoint measured_from;
  loop.call_later(from_seconds(options.warmup), [&] {
    run.measuring = true;
    measured_from = loop.time();
    loop.call_later(from_seconds(options.seconds), [&] {
      run.measuring = false;
      run.stopping = true;
      run.figures.seconds = std::chrono::duration<double>(loop.time() - measured_from).count();
    });
  });
  for (const auto& stream : run.streams) stream->begin(loop.time());
  look_again(run);
  loop.run_forever();

  LoadFigures& figures = run.figures;
  if (figures.total_messages == 0 && figures.errors == 0) run.fail(0, "no answer at all");
  Report report;
  figures.add_to(report, options.size);
  report.add("lost", run.lost);
  report.add_latencies(figures.latencies);
  report.add("errors", figures.errors);
  report.print();
  if (!options.json.empty()) report.write_json(options.json);
  loop.close();
  return figures.errors == 0 ? 0 : 1;
}

}  // namespace ferry::bench
