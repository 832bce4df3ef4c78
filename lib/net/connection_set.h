#pragma once

#include <cstddef>

namespace ferry {

class StreamTransport;

/// The live connections of one server: an intrusive list that StreamTransport enters when it is
/// made and leaves when its connection_lost has returned.
class ConnectionSet {
 public:
  ConnectionSet() = default;
  ConnectionSet(const ConnectionSet&) = delete;
  ConnectionSet& operator=(const ConnectionSet&) = delete;

  std::size_t size() const noexcept { return size_; }
  StreamTransport* first() const noexcept { return first_; }

 protected:
  virtual ~ConnectionSet() = default;
  /// A connection has left; from the loop. The set may be destroyed by this call.
  virtual void on_connection_left() = 0;

 private:
  friend class StreamTransport;
  StreamTransport* first_ = nullptr;
  std::size_t size_ = 0;
};

/// Transport::close on every connection, from the top where layers are above it; or abort.
void close_all(const ConnectionSet& connections);
void abort_all(const ConnectionSet& connections);

}  // namespace ferry
