#include "load_run.h"

#include "descriptors.h"
#include "dialer.h"
#include "report.h"

#include <algorithm>
#include <barrier>
#include <cstddef>
#include <future>
#include <utility>
#include <vector>

namespace ferry::bench {

namespace {

/// One loop's share of the load, on a thread of its own. `all_open` waits for the others.
LoadFigures load_on_one_loop(const LoadOptions& options, std::barrier<>& all_open) {
  struct Arrival {
    std::barrier<>& all_open;
    bool arrived = false;
    ~Arrival() {
      if (!arrived) all_open.arrive_and_drop();  // it failed: nobody is to wait for it
    }
  } arrival{all_open};
  EventLoop loop;
  loop.set_log_sink(stderr_log_sink());
  LoadRun run(loop, options);
  Dialer dialer(
      loop, options.to, options.connections,
      [&run](std::size_t index) { return run.stream(index); }, options.first);
  loop.run_until_complete(dialer.open());
  arrival.arrived = true;
  all_open.arrive_and_wait();
  run.begin();
  loop.run_forever();
  return run.figures();
}

/// Shares the connections out, runs all loops, and adds up.
LoadFigures load_on_all_loops(const LoadOptions& options) {
  std::barrier<> all_open(static_cast<std::ptrdiff_t>(options.loops));
  std::vector<LoadOptions> shares(options.loops, options);
  std::size_t first = 0;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    shares[i].connections = (options.connections + i) / options.loops;
    shares[i].first = std::exchange(first, first + shares[i].connections);
  }
  std::vector<std::future<LoadFigures>> running;
  for (std::size_t i = 1; i < shares.size(); ++i) {
    running.push_back(std::async(std::launch::async, [&share = shares[i], &all_open] {
      return load_on_one_loop(share, all_open);
    }));
  }
  LoadFigures sum = load_on_one_loop(shares[0], all_open);
  for (auto& share : running) {
    const LoadFigures figures = share.get();
    sum.messages += figures.messages;
    sum.total_messages += figures.total_messages;
    sum.seconds = std::max(sum.seconds, figures.seconds);
    sum.latencies.add(figures.latencies);
    sum.errors += figures.errors;
  }
  return sum;
}

}  // namespace

int load(const LoadOptions& options) {
  check_writable(options.json);
  raise_descriptor_limit(options.connections);
  const LoadFigures figures = load_on_all_loops(options);
  Report report;
  figures.add_to(report, options.size);
  report.add_latencies(figures.latencies);
  report.add("errors", figures.errors);
  report.print();
  if (!options.json.empty()) report.write_json(options.json);
  return figures.errors == 0 ? 0 : 1;
}

}  // namespace ferry::bench
