#include "load_run.h"

#include "descriptors.h"
#include "dialer.h"
#include "report.h"

namespace ferry::bench {

int load(const LoadOptions& options) {
  check_writable(options.json);
  raise_descriptor_limit(options.connections);
  EventLoop loop;
  loop.set_log_sink(stderr_log_sink());
  LoadRun run(loop, options);
  Dialer dialer(loop, options.to, options.connections,
                [&run](std::size_t index) { return run.stream(index); });
  loop.run_until_complete(dialer.open());
  run.begin();
  loop.run_forever();

  const LoadFigures& figures = run.figures();
  const auto messages = static_cast<double>(figures.messages);
  Report report;
  report.add("messages", figures.messages);
  report.add("total_messages", figures.total_messages);
  report.add("seconds", figures.seconds);
  report.add("messages_per_second", figures.seconds > 0 ? messages / figures.seconds : 0);
  report.add("mb_per_second", figures.seconds > 0 ? messages / figures.seconds *
                                                        static_cast<double>(options.size) / 1e6
                                                  : 0);
  report.add_latencies(figures.latencies);
  report.add("errors", figures.errors);
  report.print();
  if (!options.json.empty()) report.write_json(options.json);
  return figures.errors == 0 ? 0 : 1;
}

}  // namespace ferry::bench
