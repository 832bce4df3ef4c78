#pragma once

#include <ferry/address.h>
#include <ferry/future.h>

#include <string>
#include <vector>

namespace ferry::proxy {

/// A proxy of some kind on one loop, which it must outlive.
class Service {
 public:
  virtual ~Service() = default;
  /// Binds, and gives the addresses where clients are served; fails with IoError.
  virtual Future<std::vector<Address>> listen() = 0;
  /// No new clients; done when the last one is over, or the drain limit has passed.
  virtual Future<void> drain() = 0;
  /// Reads its files again. Throws std::system_error, and then nothing has changed.
  virtual void reload() = 0;
  /// "accepted=3 active=1 ...", on one line.
  virtual std::string statistics() = 0;
  /// Closes the loop, and all that is open is lost. `statistics` can still be asked for.
  virtual void stop() = 0;
};

}  // namespace ferry::proxy
