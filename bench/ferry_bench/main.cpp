// The command line of ferry-bench. The only file that includes CLI11, which is slow to compile.
#include "options.h"

#include <CLI/CLI.hpp>

#include <cmath>
#include <cstdio>
#include <exception>
#include <map>
#include <string>
#include <vector>

namespace {

using namespace ferry::bench;

/// As CLI::Range for seconds, but "nan" is no number of seconds.
CLI::Validator seconds_between(double least, double most) {
  return CLI::Validator(
      [least, most](std::string& text) -> std::string {
        double value = NAN;
        if (CLI::detail::lexical_cast(text, value) && value >= least && value <= most) return {};
        return "wants seconds from " + CLI::detail::to_string(least) + " to " +
               CLI::detail::to_string(most) + ", not " + text;
      },
      "SECONDS");
}

const std::map<std::string, Carrier> kTransports{{"tcp", Carrier::tcp},
                                                 {"unix", Carrier::unix_stream},
                                                 {"udp", Carrier::udp},
                                                 {"pipe", Carrier::pipe}};

const std::map<std::string, Api> kApis{
    {"callbacks", Api::callbacks}, {"buffered", Api::buffered}, {"streams", Api::streams}};

/// `transports`: names of kTransports.
void add_endpoint(CLI::App& command, Endpoint& endpoint, unsigned least_port,
                  const std::vector<std::string>& transports) {
  command
      .add_option_function<std::string>(
          "--transport",
          [&endpoint](const std::string& name) { endpoint.transport = kTransports.at(name); },
          "what carries the bytes")
      ->check(CLI::IsMember(transports))
      ->default_str("tcp");
  command.add_option("--host", endpoint.host, "name or address")->capture_default_str();
  command.add_option("--port", endpoint.port, "port")->check(CLI::Range(least_port, 65535U));
  command.add_option("--path", endpoint.path, "of unix sockets, instead of host and port");
  command.add_flag("--tls", endpoint.tls, "over TLS; clients take any certificate");
}

void add_connections(CLI::App& command, std::size_t& connections) {
  command.add_option("--connections", connections, "how many")
      ->required()
      ->check(CLI::Range(std::size_t{1}, std::size_t{1'000'000}));
}

void add_run(CLI::App& command, double& seconds, std::string& json) {
  command.add_option("--seconds", seconds, "how long to measure")
      ->required()
      ->check(seconds_between(0.001, 86400));
  command.add_option("--json", json, "write the figures to this file, too");
}

void add_segmentation(CLI::App& command, bool& segmentation) {
  command
      .add_option("--segmentation", segmentation,
                  "udp: let the kernel join and split datagrams (UDP_SEGMENT, UDP_GRO)")
      ->capture_default_str();
}

bool is_stream(const Endpoint& endpoint) {
  return endpoint.transport == Carrier::tcp || endpoint.transport == Carrier::unix_stream;
}

/// What an endpoint wants beyond what CLI11 knows; empty if all is well.
std::string complaint(const CLI::App& command, const Endpoint& endpoint) {
  const Carrier transport = endpoint.transport;
  const bool ip = transport == Carrier::tcp || transport == Carrier::udp;
  const bool port = command.count("--port") > 0;
  if (ip && !port) return "--port is required";
  if (!ip && port) return "--port is for tcp and udp";
  if (transport == Carrier::unix_stream && endpoint.path.empty()) {
    return "--transport unix wants a --path";
  }
  if (transport != Carrier::unix_stream && !endpoint.path.empty()) {
    return "--path is for --transport unix";
  }
  if (endpoint.tls && !is_stream(endpoint)) return "--tls goes over tcp and unix only";
  return {};
}

std::string complaint(const LoadOptions& options) {
  if (options.size * options.depth > std::size_t{1} << 30) {
    return "--size times --depth is more than 1 GiB";
  }
  constexpr std::size_t kMostPipes = 4000;  // the child gets them as one argument
  if (options.to.transport == Carrier::pipe && options.connections > kMostPipes) {
    return "--transport pipe wants no more than " + std::to_string(kMostPipes) + " --connections";
  }
  const bool udp = options.to.transport == Carrier::udp;
  if (udp && (options.size < 8 || options.size > 65507)) {
    return "--transport udp wants a --size from 8 to 65507";
  }
  if (options.loops > options.connections) return "--loops is more than --connections";
  if (options.loops > 1 && !is_stream(options.to)) return "--loops is for tcp and unix";
  return {};
}

std::string complaint(const ServeOptions& options) {
  if (options.at.transport == Carrier::udp &&
      (options.api != Api::callbacks || options.message > 0)) {
    return "--transport udp goes with neither --api nor --message";
  }
  if (options.api == Api::streams && !is_stream(options.at)) {
    return "--api streams is for tcp and unix";
  }
  if (options.loops > 0 && !is_stream(options.at)) return "--loops is for tcp and unix";
  if (options.reuse_port && options.at.transport != Carrier::tcp) {
    return "--spread reuse_port is for tcp";
  }
  return {};
}

/// Says it in one line; true if there was something to say.
bool complain(const std::string& complaint) {
  if (!complaint.empty()) std::fprintf(stderr, "ferry-bench: %s\n", complaint.c_str());
  return !complaint.empty();
}

int run(int argc, char** argv) {
  CLI::App app{"Servers and load for measuring ferry.", "ferry-bench"};
  app.require_subcommand(1);
  const auto message_size = CLI::Range(std::size_t{1}, std::size_t{64} << 20);

  ServeOptions serving;
  CLI::App* serve_command = app.add_subcommand("serve", "an echo server");
  add_endpoint(*serve_command, serving.at, 0, {"tcp", "unix", "udp", "pipe"});
  add_segmentation(*serve_command, serving.segmentation);
  serve_command
      ->add_option_function<std::string>(
          "--pipes", [&serving](const std::string& text) { serving.pipes = parse_pipes(text); },
          "descriptors of pipes to serve, READ:WRITE,READ:WRITE,...")
      ->check([](const std::string& text) -> std::string {
        return parse_pipes(text).empty() ? "wants READ:WRITE,..., not " + text : "";
      })
      ->default_str("0:1");
  std::string api = "callbacks";
  serve_command
      ->add_option("--api", api,
                   "callbacks: Protocol; buffered: BufferedProtocol; streams: StreamReader")
      ->check(CLI::IsMember({"callbacks", "buffered", "streams"}))
      ->capture_default_str();
  serve_command
      ->add_option("--message", serving.message,
                   "answer each so many bytes by a write of their own")
      ->check(message_size);
  CLI::Option* serve_loops =
      serve_command->add_option("--loops", serving.loops, "loops, each on a thread of its own");
  serve_loops->check(CLI::Range(1, 1024));
  std::string spread = "least_loaded";
  serve_command
      ->add_option("--spread", spread,
                   "least_loaded: one loop accepts and hands out; reuse_port: each listens")
      ->check(CLI::IsMember({"least_loaded", "reuse_port"}))
      ->capture_default_str()
      ->needs(serve_loops);
  CLI::Option* certificate = serve_command->add_option("--tls-cert", serving.certificate,
                                                       "PEM file (one is made unless given)");
  CLI::Option* key = serve_command->add_option("--tls-key", serving.key, "PEM file");
  certificate->needs(key)->needs(serve_command->get_option("--tls"));
  key->needs(certificate);

  LoadOptions loading;
  CLI::App* load_command = app.add_subcommand(
      "load",
      "closed-loop load on an echo server; with --transport pipe on a child that it starts");
  add_endpoint(*load_command, loading.to, 1, {"tcp", "unix", "udp", "pipe"});
  add_segmentation(*load_command, loading.segmentation);
  add_connections(*load_command, loading.connections);
  load_command->add_option("--size", loading.size, "bytes of a message")
      ->required()
      ->check(message_size);
  load_command->add_option("--depth", loading.depth, "messages under way on each connection")
      ->required()
      ->check(CLI::Range(std::size_t{1}, std::size_t{100'000}));
  load_command->add_option("--loops", loading.loops, "threads that share the connections")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  add_run(*load_command, loading.seconds, loading.json);
  load_command->add_option("--warmup", loading.warmup, "seconds before the figures count")
      ->check(seconds_between(0, 3600));

  ChurnOptions churning;
  CLI::App* churn_command =
      app.add_subcommand("churn", "connect, one round trip of 64 bytes, close, again");
  add_endpoint(*churn_command, churning.to, 1, {"tcp", "unix"});
  add_connections(*churn_command, churning.connections);
  add_run(*churn_command, churning.seconds, churning.json);

  IdleOptions idling;
  CLI::App* idle_command =
      app.add_subcommand("idle", "open connections and hold them until stdin ends or SIGTERM");
  add_endpoint(*idle_command, idling.to, 1, {"tcp", "unix"});
  add_connections(*idle_command, idling.connections);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    // CLI11 only says that a command is missing.
    const bool command = !app.get_subcommands().empty() || argc < 2 || argv[1][0] == '-';
    std::fprintf(stderr, "ferry-bench: %s%s\n",
                 command ? error.what() : "no such command: ", command ? "" : argv[1]);
    return 2;
  }
  serving.api = kApis.at(api);
  serving.reuse_port = spread == "reuse_port";
  if (serve_command->parsed()) {
    if (complain(complaint(*serve_command, serving.at)) || complain(complaint(serving))) return 2;
    return serve(serving);
  }
  if (load_command->parsed()) {
    if (complain(complaint(*load_command, loading.to)) || complain(complaint(loading))) return 2;
    if (loading.to.transport == Carrier::udp) return udp_load(loading);
    if (loading.to.transport == Carrier::pipe) return pipe_load(loading);
    return load(loading);
  }
  if (churn_command->parsed()) {
    return complain(complaint(*churn_command, churning.to)) ? 2 : churn(churning);
  }
  return complain(complaint(*idle_command, idling.to)) ? 2 : idle(idling);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "ferry-bench: %s\n", failure.what());
    return 1;
  }
}
