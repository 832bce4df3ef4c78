#include "session_cache.h"

namespace ferry {

void SessionCache::put(const std::string& server, SessionPtr session) {
  if (limit_ == 0) return;
  const std::lock_guard lock(mutex_);
  if (const auto found = by_server_.find(server); found != by_server_.end()) {
    found->second->second = std::move(session);
    entries_.splice(entries_.begin(), entries_, found->second);
    return;
  }
  if (entries_.size() == limit_) {
    by_server_.erase(entries_.back().first);
    entries_.pop_back();
  }
  entries_.emplace_front(server, std::move(session));
  by_server_[server] = entries_.begin();
}

SessionPtr SessionCache::take(const std::string& server) {
  const std::lock_guard lock(mutex_);
  const auto found = by_server_.find(server);
  if (found == by_server_.end()) return nullptr;
  SessionPtr session = std::move(found->second->second);
  entries_.erase(found->second);
  by_server_.erase(found);
  return session;
}

}  // namespace ferry
