#include <ferry/resolver.h>

#include "loop_state.h"

#include <ferry/event_loop.h>

#include <netdb.h>
#include <netinet/in.h>

#include <cerrno>
#include <charconv>
#include <string_view>

namespace ferry {

namespace {

bool all_digits(std::string_view text) noexcept {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// A port number; none if `service` is a name or too large. Empty is 0.
std::optional<std::uint16_t> numeric_port(std::string_view service) noexcept {
  if (service.empty()) return std::uint16_t{0};
  if (!all_digits(service)) return std::nullopt;
  std::uint16_t port = 0;
  const char* const end = service.data() + service.size();
  const auto [stop, error] = std::from_chars(service.data(), end, port);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return port;
}

std::string subject_of(const ResolveQuery& query) {
  std::string subject = query.host.empty() ? "*" : query.host;
  if (!query.service.empty()) subject += ":" + query.service;
  return subject;
}

std::error_code code_of(int eai) noexcept {
  if (eai == EAI_SYSTEM) return system_error_code(errno);
  return {eai, resolver_category()};
}

struct FreeList {
  void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};

/// Blocks.
std::vector<Address> look_up(const ResolveQuery& query) {
  const auto refuse = [&query](int eai) -> ResolveError {
    return {{eai, resolver_category()}, subject_of(query)};
  };
  // The C function would stop at the NUL, and take 65536 + n for n.
  if (query.host.find('\0') != std::string::npos) throw refuse(EAI_NONAME);
  if (query.service.find('\0') != std::string::npos) throw refuse(EAI_SERVICE);
  if (all_digits(query.service) && !numeric_port(query.service)) throw refuse(EAI_SERVICE);

  addrinfo hints{};
  hints.ai_family = query.family;
  hints.ai_socktype = query.type == 0 ? SOCK_STREAM : query.type;
  hints.ai_protocol = query.protocol;
  hints.ai_flags = query.flags;
  // Only numeric addresses have a scope: no name server needs to hear of them.
  if (query.host.find('%') != std::string::npos) hints.ai_flags |= AI_NUMERICHOST;

  addrinfo* found = nullptr;
  const int error =
      ::getaddrinfo(query.host.empty() ? nullptr : query.host.c_str(),
                    query.service.empty() ? "0" : query.service.c_str(), &hints, &found);
  if (error != 0) throw ResolveError(code_of(error), subject_of(query));
  const std::unique_ptr<addrinfo, FreeList> list(found);

  std::vector<Address> addresses;
  for (const addrinfo* entry = found; entry; entry = entry->ai_next) {
    Address address(entry->ai_addr, entry->ai_addrlen);
    if (!address.empty()) addresses.push_back(std::move(address));
  }
  if (addresses.empty()) throw ResolveError(make_error_code(errc::no_address), subject_of(query));
  return addresses;
}

/// Blocks, unless `flags` asks for numbers.
NameInfo look_up_name(const Address& address, int flags) {
  sockaddr_storage storage{};
  const socklen_t length = address.to_sockaddr(storage);
  char host[NI_MAXHOST];
  char service[NI_MAXSERV];
  const int error = ::getnameinfo(reinterpret_cast<const sockaddr*>(&storage), length, host,
                                  sizeof host, service, sizeof service, flags);
  if (error != 0) throw ResolveError(code_of(error), address.to_string());
  return {host, service};
}

class SystemResolver final : public Resolver {
 public:
  explicit SystemResolver(std::size_t threads) : pool_({.threads = threads, .name = "ferry-dns"}) {}
  // A look-up can take minutes; nobody is left who waits for it.
  ~SystemResolver() override { pool_.detach(); }

  Future<std::vector<Address>> resolve(EventLoop& loop, const ResolveQuery& query) override {
    return loop.run_in_executor(&pool_, [query] { return look_up(query); });
  }
  Future<NameInfo> name_of(EventLoop& loop, const Address& address, int flags) override {
    return loop.run_in_executor(&pool_, [address, flags] { return look_up_name(address, flags); });
  }

 private:
  ThreadPool pool_;
};

}  // namespace

ResolveError::ResolveError(std::error_code code, std::string subject)
    : IoError({code, "resolve", {}}),
      subject_(std::move(subject)),
      what_("resolve " + subject_ + ": " + code.message()) {}

Future<NameInfo> Resolver::name_of(EventLoop& loop, const Address& address, int flags) {
  return loop.run_in_executor(nullptr, [address, flags] { return look_up_name(address, flags); });
}

std::shared_ptr<Resolver> make_system_resolver(std::size_t threads) {
  return std::make_shared<SystemResolver>(threads);
}

std::shared_ptr<Resolver> Kernel::make_resolver() {
  return make_system_resolver();
}

std::vector<Address> resolve_numeric(const ResolveQuery& query) {
  const bool stream = query.type == 0 || query.type == SOCK_STREAM;
  if (!stream && query.type != SOCK_DGRAM) return {};
  if (query.protocol != 0 && query.protocol != (stream ? IPPROTO_TCP : IPPROTO_UDP)) return {};
  // Brackets belong to URLs and to Address::parse, not to host names.
  if (query.host.find_first_of("%[") != std::string::npos) return {};
  const auto port = numeric_port(query.service);
  if (!port) return {};
  std::optional<Address> address = Address::ip(query.host, *port);
  if (!address) return {};
  if (query.family != AF_UNSPEC && query.family != address->family()) return {};
  return {*std::move(address)};
}

Future<std::vector<Address>> EventLoop::getaddrinfo(const ResolveQuery& query) {
  check_usable("getaddrinfo");
  if (std::vector<Address> numeric = resolve_numeric(query); !numeric.empty()) {
    Future<std::vector<Address>> done(*this);
    done.set_result(std::move(numeric));
    return done;
  }
  Future<std::vector<Address>> found = resolver().resolve(*this, query);
  if (debug()) {
    found.add_done_callback([this, begin = time(), subject = subject_of(query)] {
      const Duration taken = time() - begin;
      if (taken < state_->slow_callback) return;
      log(LogLevel::info, "resolving " + subject + " took " +
                              std::to_string(std::chrono::duration<double>(taken).count()) + " s");
    });
  }
  return found;
}

Future<NameInfo> EventLoop::getnameinfo(const Address& address, int flags) {
  check_usable("getnameinfo");
  return resolver().name_of(*this, address, flags);
}

void EventLoop::set_resolver(std::shared_ptr<Resolver> resolver) {
  check_usable("set_resolver");
  state_->resolver = std::move(resolver);
}

Resolver& EventLoop::resolver() {
  if (!state_->resolver) state_->resolver = kernel_->make_resolver();
  return *state_->resolver;
}

}  // namespace ferry
