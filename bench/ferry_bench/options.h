#pragma once

#include "pipes.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ferry::bench {

/// What carries the bytes.
enum class Carrier { tcp, unix_stream, udp, pipe };

/// What the echo server is written with.
enum class Api { callbacks, buffered, streams };

/// Where a server is or shall be.
struct Endpoint {
  Carrier transport = Carrier::tcp;
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  std::string path;  ///< Of unix sockets, instead of host and port.
  bool tls = false;
};

struct ServeOptions {
  Endpoint at;
  std::vector<PipePair> pipes{PipePair{}};  ///< For Carrier::pipe, instead of an endpoint.
  bool segmentation = true;                 ///< Of datagrams, by the kernel.
  Api api = Api::callbacks;
  std::size_t message = 0;  ///< Bytes of a message; 0: echo chunks as they come.
  std::size_t loops = 0;    ///< Serve on so many loops; 0: on the one of the main thread.
  bool reuse_port = false;  ///< Each loop listens, instead of one that hands out what it accepts.
  std::string certificate;  ///< PEM files for TLS; empty: made for this run.
  std::string key;
};

struct LoadOptions {
  Endpoint to;
  bool segmentation = true;     ///< Of datagrams, by the kernel.
  std::size_t connections = 1;  ///< Of datagrams: sockets; of pipes: pairs of them.
  std::size_t size = 64;        ///< Bytes of a message.
  std::size_t depth = 1;        ///< Messages under way on each connection.
  std::size_t loops = 1;        ///< Threads that share the connections.
  std::size_t first = 0;        ///< The index of the first connection.
  double seconds = 1;
  double warmup = 0;  ///< Seconds before the figures start to count.
  std::string json;   ///< Where to write the figures; empty: nowhere.
};

struct ChurnOptions {
  Endpoint to;
  std::size_t connections = 1;  ///< Open at any time.
  double seconds = 1;
  std::string json;
};

struct IdleOptions {
  Endpoint to;
  std::size_t connections = 1;
};

/// The subcommands. Each returns the program's exit code, and throws std::exception for what it
/// cannot even begin.
int serve(const ServeOptions& options);
int load(const LoadOptions& options);
int udp_load(const LoadOptions& options);
int pipe_load(const LoadOptions& options);
int churn(const ChurnOptions& options);
int idle(const IdleOptions& options);

}  // namespace ferry::bench
