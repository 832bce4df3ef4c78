#pragma once

#include <ferry/server.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace ferry {

struct TrafficLogOptions {
  std::string path{};  ///< A regular file: made, or emptied. Readable by its owner only.
  /// The file grows no larger; then logging stops, with a word to the log. 0: no limit.
  std::uint64_t max_file_size = std::uint64_t{1} << 30;
  /// What may wait for the disk. Packets beyond are left out and counted, as is one that there is
  /// no memory for.
  std::size_t max_buffer = 8 * 1024 * 1024;
};

struct TrafficLogStats {
  std::uint64_t connections = 0;
  std::uint64_t packets = 0;  ///< In the file, or on their way to it.
  std::uint64_t dropped = 0;  ///< Left out: the disk did not keep up, or logging has stopped.
  std::uint64_t bytes = 0;    ///< Of the file, what is on its way included.
};

/// Writes what connections carry to a file that Wireshark and tshark read, pcapng
/// (draft-ietf-opsawg-pcapng), with made-up TCP/IP packets round it:
///
///     auto log = TrafficLog::open(loop, {.path = "traffic.pcapng"});
///     listen.wrap = stacked({tls_server(context), log->server()});   // what TLS carries, in plain
///
/// A connection begins with a handshake, and ends with FIN or RST. Bytes are logged when the
/// application is given them, and when it writes them; times are nanoseconds. Unix peers have
/// made-up addresses (192.0.2.0/24, RFC 5737), and a comment in the first packet with their names.
///
/// A message costs a copy and a checksum; the file is written by a thread of the loop's default
/// executor. If that fails the log's reader is told by the loop's log, once; logging stops, and
/// the traffic goes on. For connections of this loop alone; lives until the last of its connections
/// and holders is gone, or the loop closes, and then writes what waits.
class TrafficLog {
 public:
  /// Throws std::system_error if the file cannot be opened.
  static std::shared_ptr<TrafficLog> open(EventLoop& loop, TrafficLogOptions options);
  virtual ~TrafficLog() = default;

  /// For ConnectOptions::wrap: this side is the one that connected.
  virtual ProtocolWrap client() = 0;
  /// For ListenOptions::wrap: this side is the one that accepted.
  virtual ProtocolWrap server() = 0;
  /// Logs no more. Done when all is in the file and that is closed; fails with std::system_error if
  /// it could not be written.
  virtual Future<void> close() = 0;
  /// False after close, an error, or at the limit of the file.
  virtual bool is_open() const noexcept = 0;
  /// Why the file could not be written; empty if all is well.
  virtual std::error_code error() const noexcept = 0;
  virtual TrafficLogStats stats() const noexcept = 0;
};

}  // namespace ferry
