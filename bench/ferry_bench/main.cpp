// The command line of ferry-bench. The only file that includes CLI11, which is slow to compile.
#include "options.h"

#include <CLI/CLI.hpp>

#include <cmath>
#include <cstdio>
#include <exception>

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

void add_endpoint(CLI::App& command, Endpoint& endpoint, unsigned least_port) {
  command.add_option("--host", endpoint.host, "name or address")->capture_default_str();
  command.add_option("--port", endpoint.port, "port")
      ->required()
      ->check(CLI::Range(least_port, 65535U));
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

void add_transport(CLI::App& command, bool& udp) {
  command
      .add_option_function<std::string>(
          "--transport", [&udp](const std::string& name) { udp = name == "udp"; }, "tcp or udp")
      ->check(CLI::IsMember({"tcp", "udp"}))
      ->default_str("tcp");
}

int run(int argc, char** argv) {
  CLI::App app{"Servers and load for measuring ferry.", "ferry-bench"};
  app.require_subcommand(1);
  const auto message_size = CLI::Range(std::size_t{1}, std::size_t{64} << 20);

  ServeOptions serving;
  CLI::App* serve_command = app.add_subcommand("serve", "an echo server");
  add_endpoint(*serve_command, serving.at, 0);
  add_transport(*serve_command, serving.udp);
  std::string api = "callbacks";
  serve_command->add_option("--api", api, "callbacks: Protocol; buffered: BufferedProtocol")
      ->check(CLI::IsMember({"callbacks", "buffered"}))
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
  CLI::App* load_command = app.add_subcommand("load", "closed-loop load on an echo server");
  add_endpoint(*load_command, loading.to, 1);
  add_transport(*load_command, loading.udp);
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
  add_endpoint(*churn_command, churning.to, 1);
  add_connections(*churn_command, churning.connections);
  add_run(*churn_command, churning.seconds, churning.json);

  IdleOptions idling;
  CLI::App* idle_command =
      app.add_subcommand("idle", "open connections and hold them until stdin ends or SIGTERM");
  add_endpoint(*idle_command, idling.to, 1);
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
  if (loading.size * loading.depth > std::size_t{1} << 30) {
    std::fputs("ferry-bench: --size times --depth is more than 1 GiB\n", stderr);
    return 2;
  }
  if (loading.udp && (loading.size < 8 || loading.size > 65507)) {
    std::fputs("ferry-bench: --transport udp wants a --size from 8 to 65507\n", stderr);
    return 2;
  }
  if (loading.loops > loading.connections) {
    std::fputs("ferry-bench: --loops is more than --connections\n", stderr);
    return 2;
  }
  if ((loading.udp && loading.loops > 1) || (serving.udp && serving.loops > 0)) {
    std::fputs("ferry-bench: --transport udp goes with one loop only\n", stderr);
    return 2;
  }
  serving.buffered = api == "buffered";
  serving.reuse_port = spread == "reuse_port";
  if (serving.udp && (serving.buffered || serving.message > 0)) {
    std::fputs("ferry-bench: --transport udp goes with neither --api buffered nor --message\n",
               stderr);
    return 2;
  }
  if (serve_command->parsed()) return serve(serving);
  if (load_command->parsed()) return loading.udp ? udp_load(loading) : load(loading);
  if (churn_command->parsed()) return churn(churning);
  return idle(idling);
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
