#include "descriptors.h"
#include "load_run.h"
#include "options.h"
#include "report.h"

#include <ferry/fd.h>
#include <ferry/net.h>

#include <fcntl.h>
#include <sys/resource.h>

#include <cerrno>
#include <string>

namespace ferry::bench {

namespace {

struct Pipe {
  Fd read;
  Fd write;
};

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    throw std::system_error(errno, std::generic_category(), "pipe");
  }
  return {Fd(ends[0]), Fd(ends[1])};
}

/// The pipes between this process and the server's.
struct Pipes {
  explicit Pipes(std::size_t pairs) {
    for (std::size_t i = 0; i < pairs; ++i) {
      there.push_back(make_pipe());
      back.push_back(make_pipe());
    }
  }
  std::vector<Pipe> there;
  std::vector<Pipe> back;
};

class ServerProcess final : public SubprocessProtocol {
 public:
  void process_exited() override { exited_ = true; }
  void connection_lost(std::error_code) override {
    if (on_end_) on_end_();
  }
  bool exited() const noexcept { return exited_; }
  void set_on_end(Function<void()> on_end) { on_end_ = std::move(on_end); }

 private:
  bool exited_ = false;
  Function<void()> on_end_;
};

/// Starts this very program as the server at the other ends of `pipes`, which are its own then.
Subprocess<ServerProcess> start_server(EventLoop& loop, Pipes& pipes) {
  SubprocessOptions options;
  options.in = options.out = Stdio::devnull();
  options.err = Stdio::inherit();
  options.executable = "/proc/self/exe";
  std::string named;
  for (std::size_t i = 0; i < pipes.there.size(); ++i) {
    const int read = pipes.there[i].read.get();
    const int write = pipes.back[i].write.get();
    options.pass_fds.insert(options.pass_fds.end(), {read, write});
    if (i > 0) named += ',';
    named += std::to_string(read) + ':' + std::to_string(write);
  }
  auto server = loop.run_until_complete(subprocess_exec(
      loop, [] { return std::make_shared<ServerProcess>(); },
      {"ferry-bench", "serve", "--transport", "pipe", "--pipes", named}, std::move(options)));
  for (Pipe& pipe : pipes.there) pipe.read.reset();
  for (Pipe& pipe : pipes.back) pipe.write.reset();
  return server;
}

/// CPU time of the children that have ended, user and system.
double children_cpu_seconds() {
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  rusage usage{};
  getrusage(RUSAGE_CHILDREN, &usage);
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

/// The server is a child, as there is nothing to connect to. It ends when its pipes do, and only
/// then is its CPU time known: that is of the whole run, warm-up and start included.
int pipe_load(const LoadOptions& options) {
  constexpr std::size_t kDescriptors = 4;  // of a pair, until the child has its own
  check_writable(options.json);
  raise_descriptor_limit(options.connections * kDescriptors);
  EventLoop loop;
  loop.set_log_sink(stderr_log_sink());
  LoadRun run(loop, options);
  Pipes pipes(options.connections);
  const auto server = start_server(loop, pipes);
  for (std::size_t i = 0; i < options.connections; ++i) {
    const PipePair pair{pipes.back[i].read.release(), pipes.there[i].write.release()};
    open_pipes(loop, pair, run.stream(i), run.pipe_user(i));
  }
  run.begin();
  loop.run_forever();

  const LoadFigures& figures = run.figures();
  if (figures.errors > 0) server.transport->close();
  if (!server.protocol->exited()) {
    server.protocol->set_on_end([&loop] { loop.stop(); });
    loop.run_forever();
  }
  Report report;
  figures.add_to(report, options.size);
  const auto total = static_cast<double>(figures.total_messages);
  report.add("server_cpu_us_per_message", total > 0 ? children_cpu_seconds() * 1e6 / total : 0);
  report.add_latencies(figures.latencies);
  report.add("errors", figures.errors);
  report.print();
  if (!options.json.empty()) report.write_json(options.json);
  return figures.errors == 0 ? 0 : 1;
}

}  // namespace ferry::bench
