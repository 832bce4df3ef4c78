#pragma once

#include <ferry/fd.h>
#include <ferry/server.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Listening sockets from elsewhere: from the service manager that started this process, or from the
// process it is to replace.

namespace ferry {

/// A descriptor that was opened elsewhere, and what it is called there; several may share a name.
struct NamedListener {
  std::string name;
  Fd fd;
};

/// Takes all of that name out of `listeners`, for ListenOptions::sockets, which owns them from
/// create_server on; empty if there is none.
std::vector<int> take_listeners(std::vector<NamedListener>& listeners, std::string_view name);

/// The descriptors that systemd, or another that speaks its protocol, started this process with:
/// LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES (sd_listen_fds(3)); nothing if they are absent or
/// meant for another process. All are made close-on-exec. Where no names are given each is called
/// "unknown". The variables are removed from the environment, so that no child takes them for its
/// own, whatever the outcome; `keep_environment` leaves them, but a second call would give the same
/// descriptors to a second owner.
/// Throws std::system_error, saying which variable, if they make no sense or a descriptor is not
/// open; then nothing is touched but the environment. Call it early: it changes the environment,
/// which other threads must not read meanwhile.
std::vector<NamedListener> inherited_listeners(bool keep_environment = false);

/// A server under the name its successor knows it by.
struct NamedServer {
  std::string name;  ///< At most 255 bytes.
  std::shared_ptr<Server> server;
};

struct HandOverOptions {
  std::string path{};  ///< Of a unix socket; a leading '@': an abstract name.
  std::vector<NamedServer> servers{};
  /// How long a successor may take from its connect to `confirm`; then the next one has its turn.
  Duration limit = std::chrono::minutes(1);
};

/// Who has taken the listening sockets.
struct Successor {
  int pid = 0;
};

/// Hot restart, the old process's side: gives the listening sockets of some servers to a process
/// that asks for them by take_over_listeners, in this user's name (SO_PEERCRED, unix(7)). Nothing
/// else changes until that one confirms that it serves; should it die before, the next may ask.
/// Then the servers are closed, without a connection lost: what was accepted stays here, what waits
/// in a backlog is the successor's. The future is done; `Server::drain` is what is left to do.
/// Cancelling it withdraws the offer. Fails with IoError if the path cannot be bound; a stale
/// socket file is replaced. Servers that were closed in between are not given. Throws
/// std::invalid_argument for an empty path, a null server or too long a name.
Future<Successor> hand_over_listeners(EventLoop& loop, HandOverOptions options);

/// Listening sockets of another process, which still serves, too.
class TakenListeners {
 public:
  /// As they were named there. What is not moved from here is closed with this.
  std::vector<NamedListener> listeners;

  /// "I serve": the other process stops accepting. Done when it has, and has released the path,
  /// which may be bound again then. Fails with IoError if it has ended or withdrawn its offer,
  /// which it does when its limit is over, and with TimeoutError if it does not answer. Throws
  /// std::logic_error if called before, or the loop is gone. Without it the other process goes on
  /// when this object is destroyed, as if nobody had asked.
  Future<void> confirm();

  TakenListeners(TakenListeners&&) noexcept;
  TakenListeners& operator=(TakenListeners&&) noexcept;
  ~TakenListeners();

 private:
  friend Future<TakenListeners> take_over_listeners(EventLoop&, std::string, Duration);
  class Line;
  explicit TakenListeners(std::shared_ptr<Line> line) noexcept;
  std::shared_ptr<Line> line_;
};

/// Hot restart, the new process's side: asks the process at `path` for its listening sockets.
/// Fails with IoError if none is there (std::errc::no_such_file_or_directory, connection_refused),
/// if it is another user's (permission_denied), if what it says makes no sense (protocol_error), if
/// this process cannot have so many descriptors (message_size), and with TimeoutError after
/// `limit`. Cancelling it gives up.
Future<TakenListeners> take_over_listeners(EventLoop& loop, std::string path,
                                           Duration limit = std::chrono::minutes(1));

}  // namespace ferry
