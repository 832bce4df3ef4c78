#pragma once

#include <ferry/address.h>
#include <ferry/error.h>
#include <ferry/future.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ferry {

/// What to look up; the fields mean what they mean in getaddrinfo(3).
struct ResolveQuery {
  std::string host = {};  ///< A name or a numeric address; empty: loopback, or with AI_PASSIVE any.
  std::string service = {};  ///< A port number or a service name; empty: port 0.
  int family = 0;            ///< AF_UNSPEC, AF_INET, AF_INET6
  int type = 0;              ///< SOCK_STREAM, SOCK_DGRAM; 0: stream
  int protocol = 0;
  int flags = 0;  ///< AI_PASSIVE, AI_NUMERICHOST, ...
};

/// What an address is called: getnameinfo(3).
struct NameInfo {
  std::string host;
  std::string service;
};

/// A look-up that failed: an IoError of the operation "resolve" that also tells what was asked for.
/// Its code is of resolver_category() (EAI_NONAME, ...), or of std::system_category() where
/// getaddrinfo(3) left it to errno.
class ResolveError : public IoError {
 public:
  ResolveError(std::error_code code, std::string subject);
  /// The host and service of the query, as "host:service".
  const std::string& subject() const noexcept { return subject_; }
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  std::string subject_;
  std::string what_;
};

/// Turns names into addresses. Replace a loop's by EventLoop::set_resolver: a cache, c-ares, a
/// test. One resolver may serve several loops; each calls it from its own thread.
class Resolver {
 public:
  virtual ~Resolver() = default;
  /// At least one address, in the order to try them, or a ResolveError.
  /// Cancelling the future must make nothing worse: the look-up may go on unseen.
  virtual Future<std::vector<Address>> resolve(EventLoop& loop, const ResolveQuery& query) = 0;
  /// The way back. `flags` as in getnameinfo(3): NI_NUMERICHOST, NI_NUMERICSERV, ...
  /// By default getnameinfo(3) on the loop's default executor.
  virtual Future<NameInfo> name_of(EventLoop& loop, const Address& address, int flags);
};

/// getaddrinfo(3) on a small pool of threads of its own, so that slow name servers block no other
/// job.
std::shared_ptr<Resolver> make_system_resolver(std::size_t threads = 4);

/// The address of `query` if it holds only numbers and needs no look-up; else empty. Empty hosts,
/// service names and scoped addresses ("fe80::1%eth0") need one.
std::vector<Address> resolve_numeric(const ResolveQuery& query);

}  // namespace ferry
