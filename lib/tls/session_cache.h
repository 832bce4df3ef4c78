#pragma once

#include "openssl.h"

#include <cstddef>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace ferry {

/// Sessions of a client, to be resumed: the latest of each server, of the servers talked to last.
/// From any thread.
class SessionCache {
 public:
  explicit SessionCache(std::size_t limit) : limit_(limit) {}

  void put(const std::string& server, SessionPtr session);
  /// Null if there is none. A session is given out once: a ticket that is used twice lets an
  /// onlooker link the two connections (RFC 8446, C.4).
  SessionPtr take(const std::string& server);

 private:
  using Entries = std::list<std::pair<std::string, SessionPtr>>;

  const std::size_t limit_;
  std::mutex mutex_;
  Entries entries_;  // the latest first
  std::map<std::string, Entries::iterator> by_server_;
};

}  // namespace ferry
