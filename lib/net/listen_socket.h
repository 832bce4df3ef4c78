#pragma once

#include <ferry/server.h>

#include <memory>
#include <string>

namespace ferry {

/// The file of a bound unix socket, removed at the end if it is still the same one.
class SocketFile {
 public:
  SocketFile() = default;
  /// Remembers what is at `path` now; if nothing is, there is nothing to remove. The kernel must
  /// outlive it.
  SocketFile(Kernel& kernel, Address path);
  SocketFile(SocketFile&& other) noexcept;
  SocketFile& operator=(SocketFile&& other) noexcept;
  ~SocketFile() { remove(); }

  void remove() noexcept;
  /// It is somebody else's from now on.
  void forget() noexcept { path_ = {}; }

 private:
  Kernel* kernel_ = nullptr;
  Address path_;  // empty: none
  FileId file_;
};

/// A socket that is bound and does not listen yet.
struct BoundSocket {
  Socket socket;
  Address address;
  SocketFile file;
};

/// Makes room for a unix socket of that name: removes a socket's file that is there.
void remove_stale_file(Kernel& kernel, const Address& path);
/// A TCP socket bound to `address`. On failure `error` is set and the socket is empty.
BoundSocket bind_tcp(Kernel& kernel, const Address& address, const ListenOptions& options,
                     Error& error);
/// A unix socket bound to `address`, in place of a socket file that is there already.
BoundSocket bind_unix(Kernel& kernel, const Address& address, bool cleanup, Error& error);
/// A bound socket that was made elsewhere. Takes `fd`.
BoundSocket adopt_bound(Kernel& kernel, int fd, Error& error);

/// Throws std::invalid_argument if `fd` is a socket, but not of type SOCK_STREAM.
void check_stream_type(Kernel& kernel, int fd);
/// As a connected socket, or one that is accepted from, should be, for TCP: no delay of
/// small segments.
void set_no_delay(Kernel& kernel, int fd, const Address& address);

}  // namespace ferry
