#include "sim_hosts.h"

#include <ferry/event_loop.h>

#include <netdb.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

namespace ferry::testing {
namespace {

struct Service {
  std::string_view name;
  std::uint16_t port;
};
/// Of /etc/services, what tests of network programs ask for.
constexpr Service kServices[] = {{"domain", 53}, {"http", 80}, {"https", 443}};

std::string lower(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

std::optional<std::uint16_t> port_of(const std::string& service) {
  if (service.empty()) return std::uint16_t{0};
  std::uint16_t port = 0;
  const char* const end = service.data() + service.size();
  const auto [stop, error] = std::from_chars(service.data(), end, port);
  if (error == std::errc{} && stop == end) return port;
  for (const Service& each : kServices) {
    if (each.name == service) return each.port;
  }
  return std::nullopt;
}

ResolveError failure(int code, std::string host, const std::string& service) {
  if (host.empty()) host.push_back('*');
  if (!service.empty()) host.append(":").append(service);
  return {{code, resolver_category()}, std::move(host)};
}

/// Makes each job of run_in_executor late.
class Late final : public Executor {
 public:
  Late(SimExecutor& executor, Duration more) : executor_(executor), more_(more) {}
  void submit(Function<void()> job) override { executor_.submit_late(more_, std::move(job)); }

 private:
  SimExecutor& executor_;
  Duration more_;
};

}  // namespace

SimHosts::SimHosts() {
  add("localhost", {*Address::ip("::1", 0), *Address::ip("127.0.0.1", 0)}, {});
}

void SimHosts::add(std::string name, std::vector<Address> addresses, Duration latency) {
  for (Address& address : addresses) address = address.with_port(0);
  hosts_.insert_or_assign(lower(std::move(name)), Host{std::move(addresses), latency});
}

Duration SimHosts::latency(const std::string& name) const {
  const auto found = hosts_.find(lower(name));
  return found == hosts_.end() ? Duration::zero() : found->second.latency;
}

std::vector<Address> SimHosts::look_up(const ResolveQuery& query) const {
  const auto refuse = [&query](int code) { return failure(code, query.host, query.service); };
  if (query.family != AF_UNSPEC && query.family != AF_INET && query.family != AF_INET6) {
    throw refuse(EAI_FAMILY);
  }
  if (query.type != 0 && query.type != SOCK_STREAM && query.type != SOCK_DGRAM) {
    throw refuse(EAI_SOCKTYPE);
  }
  const auto port = port_of(query.service);
  if (!port) throw refuse(EAI_SERVICE);

  std::vector<Address> found;
  if (query.host.empty()) {
    const bool any = (query.flags & AI_PASSIVE) != 0;
    found = {*Address::ip(any ? "0.0.0.0" : "::1", 0), *Address::ip(any ? "::" : "127.0.0.1", 0)};
  } else if (const auto numeric = Address::ip(query.host, 0)) {
    if (query.family != AF_UNSPEC && query.family != numeric->family()) {
      throw refuse(EAI_ADDRFAMILY);
    }
    found = {*numeric};
  } else {
    const auto host = hosts_.find(lower(query.host));
    if (host == hosts_.end() || (query.flags & AI_NUMERICHOST) != 0) throw refuse(EAI_NONAME);
    found = host->second.addresses;
  }
  if (query.family != AF_UNSPEC) {
    std::erase_if(found, [&query](const Address& each) { return each.family() != query.family; });
  }
  if (found.empty()) throw refuse(EAI_NODATA);
  for (Address& address : found) address = address.with_port(*port);
  return found;
}

NameInfo SimHosts::look_up(const Address& address, int flags) const {
  if (!address.is_ip()) throw failure(EAI_FAMILY, address.to_string(), {});
  NameInfo info{{}, std::to_string(address.port())};
  if ((flags & NI_NUMERICSERV) == 0) {
    for (const Service& each : kServices) {
      if (each.port == address.port()) info.service = each.name;
    }
  }
  const Address plain = address.with_port(0);
  for (const auto& [name, host] : hosts_) {
    const auto& known = host.addresses;
    if ((flags & NI_NUMERICHOST) != 0 || !info.host.empty()) break;
    if (std::find(known.begin(), known.end(), plain) != known.end()) info.host = name;
  }
  if (info.host.empty()) {
    if ((flags & NI_NAMEREQD) != 0) throw failure(EAI_NONAME, address.to_string(), {});
    info.host = address.host();
  }
  return info;
}

Future<std::vector<Address>> SimResolver::resolve(EventLoop& loop, const ResolveQuery& query) {
  Late executor(*executor_, hosts_.latency(query.host));
  return loop.run_in_executor(&executor,
                              [hosts = &hosts_, query] { return hosts->look_up(query); });
}

Future<NameInfo> SimResolver::name_of(EventLoop& loop, const Address& address, int flags) {
  return loop.run_in_executor(executor_.get(), [hosts = &hosts_, address, flags] {
    return hosts->look_up(address, flags);
  });
}

}  // namespace ferry::testing
