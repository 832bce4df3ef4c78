#include "descriptors.h"
#include "echo.h"
#include "echo_stream.h"
#include "options.h"
#include "tls.h"

#include <ferry/group_server.h>

#include <csignal>
#include <cstdio>
#include <optional>

namespace ferry::bench {

namespace {

void say_listening(const std::vector<Address>& addresses) {
  for (const Address& address : addresses) {
    std::printf("listening on %s\n", address.to_string().c_str());
  }
  std::fflush(stdout);
}

void serve_datagrams(EventLoop& loop, const ServeOptions& serving) {
  DatagramOptions options;
  options.local_host = serving.at.host;
  options.local_port = serving.at.port;
  options.segmentation = serving.segmentation;
  const auto endpoint = loop.run_until_complete(create_datagram_endpoint(
      loop, [] { return std::make_shared<EchoDatagrams>(); }, std::move(options)));
  say_listening({endpoint.transport->sockname()});
  loop.run_forever();
}

template <class Make>
void serve_pipes(EventLoop& loop, const std::vector<PipePair>& pipes, const Make& make) {
  std::size_t open = pipes.size();
  bool running = false;
  const auto ended = [&] {
    if (--open == 0 && running) loop.stop();
  };
  for (const PipePair pair : pipes) {
    make([&](auto echo) { open_pipes(loop, pair, echo, *echo, ended); });
  }
  running = true;
  if (open > 0) loop.run_forever();
}

/// The loops that serve beside this thread's, if there are to be any.
void start_loops(std::optional<LoopGroup>& group, std::size_t loops) {
  if (loops == 0) return;
  group.emplace(LoopGroupOptions{.loops = loops, .setup = [](EventLoop& loop, std::size_t) {
                                   loop.set_log_sink(stderr_log_sink());
                                 }});
  group->start();
}

template <class Make>
void serve_connections(EventLoop& loop, const ServeOptions& options, const Make& make) {
  constexpr int kBacklog = 1024;
  const auto factory = [make, &options]() -> std::shared_ptr<Protocol> {
    if (options.api == Api::streams) {
      const auto serve_one = [size = options.message](StreamReader reader, StreamWriter writer) {
        return echo_stream(std::move(reader), std::move(writer), size);
      };
      return std::make_shared<StreamReaderProtocol>(StreamReader::kDefaultLimit, serve_one);
    }
    std::shared_ptr<Protocol> made;
    make([&](auto echo) { made = echo; });
    return made;
  };
  const ProtocolWrap wrap = options.at.tls ? serving_tls(options) : ProtocolWrap();
  std::optional<LoopGroup> group;
  start_loops(group, options.loops);
  const auto group_factory = [factory](EventLoop&) { return factory(); };
  std::shared_ptr<Server> server;
  if (options.at.transport == Carrier::unix_stream) {
    UnixListenOptions listen;
    listen.path = options.at.path;
    listen.backlog = kBacklog;
    listen.wrap = wrap;
    server = loop.run_until_complete(
        group ? create_unix_server(loop, *group, group_factory, std::move(listen))
              : create_unix_server(loop, factory, std::move(listen)));
  } else {
    ListenOptions listen;
    listen.hosts = {options.at.host};
    listen.port = options.at.port;
    listen.backlog = kBacklog;
    listen.wrap = wrap;
    const Spread spread = options.reuse_port ? Spread::reuse_port : Spread::least_loaded;
    server = loop.run_until_complete(
        group ? create_server(loop, *group, group_factory, std::move(listen), spread)
              : create_server(loop, factory, std::move(listen)));
  }
  say_listening(server->sockets());
  loop.run_forever();
  // Tasks hear of the end by their streams; nobody is to be left behind in the middle of a read.
  loop.run_until_complete(server->drain(Duration::zero()));
}

}  // namespace

int serve(const ServeOptions& options) {
  raise_descriptor_limit(0);
  EventLoop loop;
  loop.set_log_sink(stderr_log_sink());
  for (const int signal_number : {SIGTERM, SIGINT}) {
    loop.add_signal_handler(signal_number, [&loop] { loop.stop(); });
  }
  // Calls `use` with a new protocol, whichever class that is. (Not for streams.)
  const auto make = [&options](const auto& use) {
    if (options.api == Api::buffered) return use(std::make_shared<BufferedEcho>(options.message));
    if (options.message > 0) return use(std::make_shared<EchoMessages>(options.message));
    use(std::make_shared<EchoChunks>());
  };
  switch (options.at.transport) {
    case Carrier::udp:
      serve_datagrams(loop, options);
      break;
    case Carrier::pipe:
      serve_pipes(loop, options.pipes, make);
      break;
    case Carrier::tcp:
    case Carrier::unix_stream:
      serve_connections(loop, options, make);
      break;
  }
  loop.close();  // before what the protocols refer to goes
  return 0;
}

}  // namespace ferry::bench
