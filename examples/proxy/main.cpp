// ferry-proxy: the command line. The only file that includes CLI11, which is slow to compile.
#include "proxy.h"

#include <ferry/pipe_pool.h>

#include <sys/resource.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <map>

namespace {

using namespace ferry;

std::string check_endpoint(const std::string& text) {
  return proxy::Endpoint::parse(text) ? "" : "wants HOST:PORT, [V6]:PORT or unix:PATH, not " + text;
}

/// Reads seconds into `duration` when the option is given.
void add_seconds(CLI::App& app, const std::string& name, Duration& duration,
                 const std::string& meaning) {
  const auto seconds = std::chrono::duration<double>(duration).count();
  app.add_option_function<double>(
         name,
         [&duration](double value) {
           duration = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(value));
         },
         meaning)
      ->default_str(CLI::detail::to_string(seconds))
      ->check([](const std::string& text) -> std::string {
        double value = NAN;
        const bool good = CLI::detail::lexical_cast(text, value) && value >= 0 && value <= 1e6;
        return good ? "" : "wants seconds from 0 to 1000000, not " + text;
      });
}

/// Takes as many descriptors as the process may have, and returns how many clients they suffice
/// for: more would be accepted only to fail at upstream, while in the backlog they wait for their
/// turn.
std::size_t most_connections() {
  constexpr std::size_t kOthers = 16;  // standard streams, epoll, wake-up, timer, listening sockets
  constexpr std::size_t kPipes = 2 * (PipePool::kMostLent + PipePool::kMostIdle);
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  const std::size_t descriptors = limit.rlim_max;
  const std::size_t others = kOthers + std::min(kPipes, descriptors / 8);
  return descriptors > others + 2 ? (descriptors - others) / 2 : 1;
}

void log_line(LogLevel level, std::string_view line) {
  if (level < LogLevel::info) return;
  std::fprintf(stderr, "ferry-proxy: %.*s\n", static_cast<int>(line.size()), line.data());
}

int serve(proxy::ProxyOptions options) {
  const std::size_t most = most_connections();
  if (options.max_connections == 0) options.max_connections = most;
  options.max_connections = std::min(options.max_connections, most);
  EventLoop loop;
  loop.set_log_sink(log_line);
  proxy::Proxy proxy(loop, std::move(options));
  const auto server = loop.run_until_complete(proxy.listen());

  const auto show_statistics = [&] { log_line(LogLevel::info, proxy.statistics().to_string()); };
  bool ending = false;
  const auto end = [&] {
    if (std::exchange(ending, true)) return loop.stop();  // the second signal: at once
    proxy.drain().add_done_callback([&loop] { loop.stop(); });
  };
  loop.add_signal_handler(SIGUSR1, show_statistics);
  loop.add_signal_handler(SIGTERM, end);
  loop.add_signal_handler(SIGINT, end);

  for (const Address& address : server->sockets()) {
    std::printf("listening on %s\n", address.to_string().c_str());
  }
  std::fflush(stdout);
  loop.run_forever();
  loop.close();  // before the proxy dies: what is still open tells it so
  show_statistics();
  return 0;
}

int run(int argc, char** argv) {
  proxy::ProxyOptions options;
  CLI::App app{
      "Relays TCP and unix connections. SIGUSR1 shows statistics, SIGTERM drains and ends.",
      "ferry-proxy"};
  std::string listen;
  std::string to;
  app.add_option("--listen", listen, "where clients connect: HOST:PORT or unix:PATH")
      ->required()
      ->check(check_endpoint);
  app.add_option("--to", to, "where to connect for them: HOST:PORT or unix:PATH")
      ->required()
      ->check(check_endpoint);
  add_seconds(app, "--connect-timeout", options.connect_timeout, "for reaching upstream; 0: none");
  add_seconds(app, "--idle-timeout", options.relay.idle, "without a byte either way; 0: none");
  add_seconds(app, "--half-close-linger", options.relay.half_close_linger,
              "of silence once one side has ended; 0: none");
  add_seconds(app, "--drain-timeout", options.drain_timeout, "for open connections at SIGTERM");
  app.add_option("--splice", options.relay.splice,
                 "let the kernel move the bytes: auto (when much comes), never, always")
      ->transform(CLI::Transformer(std::map<std::string, Splice>{
          {"auto", Splice::automatic}, {"never", Splice::never}, {"always", Splice::always}}));
  app.add_option(
         "--max-connections", options.max_connections,
         "clients at a time; more wait in the backlog; 0: as many as there are descriptors for")
      ->check(CLI::Range(std::size_t{0}, std::size_t{1'000'000'000}));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    std::fprintf(stderr, "ferry-proxy: %s\n", error.what());
    return 2;
  }
  options.listen = *proxy::Endpoint::parse(listen);
  options.to = *proxy::Endpoint::parse(to);
  return serve(std::move(options));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "ferry-proxy: %s\n", failure.what());
    return 1;
  }
}
