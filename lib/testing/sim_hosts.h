#pragma once

#include "sim_jobs.h"

#include <ferry/address.h>
#include <ferry/kernel.h>
#include <ferry/resolver.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ferry::testing {

/// The names that a simulation knows.
class SimHosts {
 public:
  SimHosts();
  void add(std::string name, std::vector<Address> addresses, Duration latency);
  /// How much longer than a job a look-up of it takes.
  Duration latency(const std::string& name) const;
  /// Throws ResolveError, with getaddrinfo(3)'s codes.
  std::vector<Address> look_up(const ResolveQuery& query) const;
  NameInfo look_up(const Address& address, int flags) const;

 private:
  struct Host {
    std::vector<Address> addresses;  // with port 0
    Duration latency;
  };
  std::map<std::string, Host> hosts_;
};

/// Looks names up in them, in the time of a job.
class SimResolver final : public Resolver {
 public:
  SimResolver(const SimHosts& hosts, std::shared_ptr<SimExecutor> executor)
      : hosts_(hosts), executor_(std::move(executor)) {}
  Future<std::vector<Address>> resolve(EventLoop& loop, const ResolveQuery& query) override;
  Future<NameInfo> name_of(EventLoop& loop, const Address& address, int flags) override;

 private:
  const SimHosts& hosts_;
  std::shared_ptr<SimExecutor> executor_;
};

}  // namespace ferry::testing
