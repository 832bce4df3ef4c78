// ferry-proxy: the command line. The only file that includes CLI11, which is slow to compile.
#include "datagram_proxy.h"
#include "stream_proxy.h"

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
  return proxy::Endpoint::parse(text)
             ? ""
             : "wants [udp:]HOST:PORT, [V6]:PORT or unix:PATH, not " + text;
}

const CLI::Range kCounts(std::size_t{0}, std::size_t{1'000'000'000});

/// Reads seconds, at least so many, into `duration` when the option is given.
void add_seconds(CLI::App& app, const std::string& name, Duration& duration,
                 const std::string& meaning, double least = 0) {
  const auto seconds = std::chrono::duration<double>(duration).count();
  app.add_option_function<double>(
         name,
         [&duration](double value) {
           duration = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(value));
         },
         meaning)
      ->default_str(CLI::detail::to_string(seconds))
      ->check([least](const std::string& text) -> std::string {
        double value = NAN;
        const bool good = CLI::detail::lexical_cast(text, value) && value >= least && value <= 1e6;
        return good ? ""
                    : "wants seconds from " + CLI::detail::to_string(least) + " to 1000000, not " +
                          text;
      });
}

/// Takes as many descriptors as the process may have, and returns how many are left for clients:
/// more would be accepted only to fail at upstream, while in the backlog they wait for their turn.
std::size_t descriptors_for_clients() {
  constexpr std::size_t kOthers = 16;  // standard streams, epoll, wake-up, timer, listening sockets
  constexpr std::size_t kPipes = 2 * (PipePool::kMostLent + PipePool::kMostIdle);
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  const std::size_t descriptors = limit.rlim_max;
  const std::size_t others = kOthers + std::min(kPipes, descriptors / 8);
  return descriptors > others + 2 ? descriptors - others : 2;
}

void log_line(LogLevel level, std::string_view line) {
  if (level < LogLevel::info) return;
  std::fprintf(stderr, "ferry-proxy: %.*s\n", static_cast<int>(line.size()), line.data());
}

std::unique_ptr<proxy::Service> make_service(EventLoop& loop, proxy::ProxyOptions options) {
  const std::size_t descriptors = descriptors_for_clients();
  const std::size_t most = descriptors / 2;  // one to the client, one to upstream
  if (options.max_connections == 0) options.max_connections = most;
  options.max_connections = std::min(options.max_connections, most);
  options.max_sessions = std::min(options.max_sessions, descriptors);
  if (options.listen.is_udp) return std::make_unique<proxy::DatagramProxy>(loop, options);
  return std::make_unique<proxy::StreamProxy>(loop, options, log_line);
}

void reload(proxy::Service& service) {
  try {
    service.reload();
    log_line(LogLevel::info, "certificates are read again");
  } catch (const std::exception& failure) {
    log_line(LogLevel::warning, std::string("certificates stay as they were: ") + failure.what());
  }
}

int serve(proxy::ProxyOptions options) {
  EventLoop loop;
  loop.set_log_sink(log_line);
  const auto service = make_service(loop, std::move(options));
  const std::vector<Address> addresses = loop.run_until_complete(service->listen());

  const auto show_statistics = [&] { log_line(LogLevel::info, service->statistics()); };
  bool ending = false;
  const auto end = [&] {
    if (std::exchange(ending, true)) return loop.stop();  // the second signal: at once
    service->drain().add_done_callback([&loop] { loop.stop(); });
  };
  loop.add_signal_handler(SIGUSR1, show_statistics);
  loop.add_signal_handler(SIGHUP, [&] { reload(*service); });
  loop.add_signal_handler(SIGTERM, end);
  loop.add_signal_handler(SIGINT, end);

  for (const Address& address : addresses) {
    std::printf("listening on %s\n", address.to_string().c_str());
  }
  std::fflush(stdout);
  loop.run_forever();
  service->stop();
  show_statistics();
  return 0;
}

/// What the options want of each other beyond what CLI11 knows; empty if all is well.
std::string complaint(const proxy::ProxyOptions& options) {
  const proxy::TlsSettings& tls = options.tls;
  if (options.listen.is_udp != options.to.is_udp) {
    return "--listen and --to must both be udp:, or neither";
  }
  if (options.listen.is_udp && (tls.to_upstream || !tls.certificate.empty())) {
    return "there is no TLS over udp:";
  }
  if (options.listen.is_udp && options.loops != 1) return "--loops is not for udp:";
  const proxy::ClientLimits& clients = options.clients;
  if (options.listen.is_udp &&
      (clients.bytes_per_second > 0 || clients.per_address > 0 || !clients.traffic_log.empty())) {
    return "--rate, --max-per-address and --traffic-log are not for udp:";
  }
  if (options.loops != 1 && !clients.traffic_log.empty()) {
    return "--traffic-log goes with one loop only";
  }
  if (tls.to_upstream && options.to.is_unix() && tls.name.empty()) {
    return "--to-tls over a unix socket needs --sni: whose certificate is it to be?";
  }
  return {};
}

void add_client_limits(CLI::App& app, proxy::ClientLimits& clients) {
  CLI::App& group = *app.add_option_group("Clients");
  group
      .add_option("--rate", clients.bytes_per_second,
                  "bytes a second of each connection, each way; 0: no limit")
      ->check(kCounts);
  group
      .add_option("--max-per-address", clients.per_address,
                  "connections at a time from one address; more are closed; 0: no limit")
      ->check(kCounts);
  group.add_option("--traffic-log", clients.traffic_log,
                   "write what clients' connections carry, without TLS, to this pcapng file");
}

void add_tls(CLI::App& app, proxy::TlsSettings& tls) {
  CLI::App& group = *app.add_option_group("TLS", "SIGHUP reads the files again");
  CLI::Option* certificate =
      group.add_option("--tls-cert", tls.certificate,
                       "clients speak TLS: PEM file of the certificate with its chain");
  CLI::Option* key = group.add_option("--tls-key", tls.key, "PEM file of its key");
  certificate->needs(key);
  key->needs(certificate);
  CLI::Option* to_tls =
      group.add_flag("--to-tls", tls.to_upstream, "upstream speaks TLS, and is verified");
  group
      .add_option("--ca", tls.ca,
                  "PEM file of whom to trust upstream; else the system's authorities")
      ->needs(to_tls);
  group
      .add_option("--sni", tls.name,
                  "upstream's name, to ask for and to find in its certificate; else its host")
      ->needs(to_tls);
  add_seconds(group, "--handshake-timeout", tls.handshake_timeout, "for a TLS handshake", 0.001);
  group
      .add_option("--max-handshakes", tls.max_handshakes,
                  "clients' handshakes under way at a time; more are refused; 0: no limit")
      ->capture_default_str()
      ->check(kCounts);
}

int run(int argc, char** argv) {
  proxy::ProxyOptions options;
  CLI::App app{
      "Relays TCP and unix connections, with or without TLS on either side, and UDP datagrams. "
      "SIGUSR1 shows statistics, SIGTERM drains and ends.",
      "ferry-proxy"};
  std::string listen;
  std::string to;
  app.add_option("--listen", listen,
                 "where clients connect: HOST:PORT or unix:PATH; or udp:HOST:PORT")
      ->required()
      ->check(check_endpoint);
  app.add_option("--to", to, "where to connect for them: HOST:PORT or unix:PATH; or udp:HOST:PORT")
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
      ->check(kCounts);
  app.add_option("--loops", options.loops, "threads that relay connections; 0: one for each core")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{0}, std::size_t{1024}));
  add_client_limits(app, options.clients);
  add_tls(app, options.tls);
  CLI::App& udp = *app.add_option_group("Datagrams");
  udp.add_option("--max-sessions", options.max_sessions,
                 "client addresses served at a time; others are refused")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{1}, std::size_t{1'000'000'000}));
  add_seconds(udp, "--session-idle", options.session_idle,
              "without a datagram either way end a session", 0.001);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    std::fprintf(stderr, "ferry-proxy: %s\n", error.what());
    return 2;
  }
  options.listen = *proxy::Endpoint::parse(listen);
  options.to = *proxy::Endpoint::parse(to);
  if (const std::string text = complaint(options); !text.empty()) {
    std::fprintf(stderr, "ferry-proxy: %s\n", text.c_str());
    return 2;
  }
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
