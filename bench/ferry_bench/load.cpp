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
  Report report;
  figures.add_to(report, options.size);
  report.add_latencies(figures.latencies);
  report.add("errors", figures.errors);
  report.print();
  if (!options.json.empty()) report.write_json(options.json);
  return figures.errors == 0 ? 0 : 1;
}

}  // namespace ferry::bench
