#include <ferry/address.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <new>
#include <stdexcept>
#include <utility>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

namespace ferry {
namespace {

static_assert(sizeof(void*) != 8 || sizeof(Address) == 32);

constexpr std::size_t kPathOffset = offsetof(sockaddr_un, sun_path);
constexpr std::size_t kPathSize = sizeof(sockaddr_un::sun_path);

// Digits only, no sign, no more of them than `longest`.
template <class Unsigned>
std::optional<Unsigned> number(std::string_view text, std::size_t longest) {
  Unsigned value = 0;
  if (text.empty() || text.size() > longest) return {};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end) return {};
  return value;
}

// A number or the name of an interface of this machine.
std::optional<std::uint32_t> scope_id(std::string_view text) {
  if (text.empty()) return {};
  if (text.find_first_not_of("0123456789") == text.npos) return number<std::uint32_t>(text, 10);
  if (text.size() >= IF_NAMESIZE || text.find('\0') != text.npos) return {};
  const unsigned index = ::if_nametoindex(std::string(text).c_str());
  if (index == 0) return {};
  return index;
}

// inet_pton(3) for text that is not NUL-terminated.
bool numeric(int family, std::string_view text, unsigned char* bytes) {
  char copy[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof copy || text.find('\0') != text.npos) return false;
  copy[text.copy(copy, sizeof copy - 1)] = '\0';
  return ::inet_pton(family, copy, bytes) == 1;
}

std::uint64_t load64(const unsigned char* bytes) noexcept {
  std::uint64_t value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

// The finaliser of MurmurHash3 (public domain): every input bit reaches every output bit.
std::uint64_t mix(std::uint64_t x) noexcept {
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

}  // namespace

Address::Address() noexcept : ip_{} {}

Address::Address(const sockaddr* address, socklen_t length) : ip_{} {
  if (!address || length < kPathOffset) return;
  sa_family_t family;
  std::memcpy(&family, reinterpret_cast<const char*>(address) + offsetof(sockaddr, sa_family),
              sizeof family);
  if (family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in in;
    std::memcpy(&in, address, sizeof in);
    std::memcpy(ip_.bytes, &in.sin_addr, 4);
    ip_.port = ntohs(in.sin_port);
    family_ = AF_INET;
  } else if (family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    sockaddr_in6 in6;
    std::memcpy(&in6, address, sizeof in6);
    std::memcpy(ip_.bytes, &in6.sin6_addr, 16);
    ip_.port = ntohs(in6.sin6_port);
    ip_.scope = in6.sin6_scope_id;
    family_ = AF_INET6;
  } else if (family == AF_UNIX) {
    const char* name = reinterpret_cast<const char*>(address) + kPathOffset;
    std::size_t size = std::min<std::size_t>(length - kPathOffset, kPathSize);
#ifdef __linux__
    const bool abstract = size > 0 && name[0] == '\0';
#else
    const bool abstract = false;
#endif
    // A path ends at its NUL, if it has one; of an abstract name every byte counts.
    if (!abstract) size = ::strnlen(name, size);
    name_ = size > 0 ? new std::string(name, size) : nullptr;
    family_ = AF_UNIX;
  }
}

Address::Address(const Address& other) : ip_{} {
  if (other.is_unix()) {
    name_ = other.name_ ? new std::string(*other.name_) : nullptr;
  } else {
    ip_ = other.ip_;
  }
  family_ = other.family_;
}

Address::Address(Address&& other) noexcept : ip_{} {
  if (other.is_unix()) {
    name_ = std::exchange(other.name_, nullptr);
  } else {
    ip_ = other.ip_;
  }
  family_ = std::exchange(other.family_, std::uint16_t{AF_UNSPEC});
}

Address& Address::operator=(const Address& other) {
  if (this != &other) *this = Address(other);
  return *this;
}

Address& Address::operator=(Address&& other) noexcept {
  if (this != &other) {
    this->~Address();
    ::new (this) Address(std::move(other));
  }
  return *this;
}

Address::~Address() {
  if (is_unix()) delete name_;
}

std::optional<Address> Address::ip(std::string_view host, std::uint16_t port) {
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  Address result;
  result.ip_.port = port;
  if (!bracketed && numeric(AF_INET, host, result.ip_.bytes)) {
    result.family_ = AF_INET;
    return result;
  }
  if (const std::size_t percent = host.find('%'); percent != host.npos) {
    const auto scope = scope_id(host.substr(percent + 1));
    if (!scope) return {};
    result.ip_.scope = *scope;
    host = host.substr(0, percent);
  }
  if (!numeric(AF_INET6, host, result.ip_.bytes)) return {};
  result.family_ = AF_INET6;
  return result;
}

std::optional<Address> Address::parse(std::string_view text) {
  constexpr std::string_view kUnix = "unix:";
  if (text.starts_with(kUnix)) {
    text.remove_prefix(kUnix.size());
    if (text.empty()) return {};
    try {
      return unix_path(text);
    } catch (const std::invalid_argument&) {
      return {};
    }
  }
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos) return {};
  const auto port = number<std::uint16_t>(text.substr(colon + 1), 5);
  const std::string_view host = text.substr(0, colon);
  // Without brackets "::1:80" could as well be an address without a port.
  if (!port || (host.find(':') != host.npos && !host.starts_with('['))) return {};
  return ip(host, *port);
}

Address Address::unix_path(std::string_view path) {
  Address result;
  result.name_ = nullptr;
  result.family_ = AF_UNIX;
  if (path.empty()) return result;
  // An abstract name has its NUL in front, a path behind.
  const std::size_t longest = kPathSize - (path.front() == '@' ? 0 : 1);
  if (path.size() > longest) {
    throw std::invalid_argument("unix socket path is too long: " + std::to_string(path.size()) +
                                " bytes, at most " + std::to_string(longest) + " fit");
  }
  const bool abstract = path.front() == '@';
  if (!abstract && path.find('\0') != path.npos) {
    throw std::invalid_argument("unix socket path contains a NUL byte");
  }
#ifndef __linux__
  if (abstract) throw std::invalid_argument("abstract unix socket names exist on Linux only");
#endif
  result.name_ = new std::string(path);
  if (abstract) result.name_->front() = '\0';
  return result;
}

Address Address::loopback(std::uint16_t port) {
  Address result;
  result.ip_ = {port, 0, {127, 0, 0, 1}};
  result.family_ = AF_INET;
  return result;
}

std::string Address::host() const {
  if (!is_ip()) return {};
  char text[INET6_ADDRSTRLEN] = "";
  ::inet_ntop(family_, ip_.bytes, text, sizeof text);
  std::string result = text;
  if (ip_.scope != 0) result += '%' + std::to_string(ip_.scope);
  return result;
}

std::uint16_t Address::port() const noexcept {
  return is_ip() ? ip_.port : std::uint16_t{0};
}

Address Address::with_port(std::uint16_t port) const {
  if (!is_ip()) throw std::logic_error("Address::with_port: " + to_string() + " has no port");
  Address result = *this;
  result.ip_.port = port;
  return result;
}

std::string Address::path() const {
  if (!is_unix() || !name_) return {};
  // A file whose name begins with '@' must not read like an abstract name.
  if (name_->front() == '@') return "./" + *name_;
  std::string result = *name_;
  if (result.front() == '\0') result.front() = '@';
  return result;
}

bool Address::is_abstract() const noexcept {
  return is_unix() && name_ && name_->front() == '\0';
}

std::string Address::to_string() const {
  switch (family_) {
    case AF_INET:
      return host() + ':' + std::to_string(ip_.port);
    case AF_INET6:
      return '[' + host() + "]:" + std::to_string(ip_.port);
    case AF_UNIX:
      return "unix:" + path();
    default:
      return "-";
  }
}

socklen_t Address::to_sockaddr(sockaddr_storage& storage) const noexcept {
  storage.ss_family = family_;
  if (family_ == AF_INET) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(ip_.port);
    std::memcpy(&in.sin_addr, ip_.bytes, 4);
    std::memcpy(&storage, &in, sizeof in);
    return sizeof in;
  }
  if (family_ == AF_INET6) {
    sockaddr_in6 in6{};
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(ip_.port);
    in6.sin6_scope_id = ip_.scope;
    std::memcpy(&in6.sin6_addr, ip_.bytes, 16);
    std::memcpy(&storage, &in6, sizeof in6);
    return sizeof in6;
  }
  if (family_ == AF_UNIX) {
    char* name = reinterpret_cast<char*>(&storage) + kPathOffset;
    std::size_t size = name_ ? name_->copy(name, kPathSize) : 0;
    // The NUL counts for a path (if there is room), and not for an abstract name: unix(7).
    if (size > 0 && size < kPathSize && !is_abstract()) name[size++] = '\0';
    return static_cast<socklen_t>(kPathOffset + size);
  }
  return 0;
}

std::strong_ordering operator<=>(const Address& a, const Address& b) noexcept {
  if (a.family_ != b.family_) return a.family_ <=> b.family_;
  if (a.is_ip()) {
    const int bytes = std::memcmp(a.ip_.bytes, b.ip_.bytes, sizeof a.ip_.bytes);
    if (bytes != 0) return bytes <=> 0;
    if (a.ip_.scope != b.ip_.scope) return a.ip_.scope <=> b.ip_.scope;
    return a.ip_.port <=> b.ip_.port;
  }
  if (!a.is_unix()) return std::strong_ordering::equal;
  const std::string_view left = a.name_ ? std::string_view(*a.name_) : std::string_view();
  const std::string_view right = b.name_ ? std::string_view(*b.name_) : std::string_view();
  return left <=> right;
}

std::size_t Address::hash() const noexcept {
  std::uint64_t result = mix(family_ + 1U);
  if (is_ip()) {
    result = mix(result ^ load64(ip_.bytes));
    result = mix(result ^ load64(ip_.bytes + 8));
    result = mix(result ^ ((std::uint64_t{ip_.scope} << 16) | ip_.port));
  } else if (is_unix() && name_) {
    result = mix(result ^ std::hash<std::string>{}(*name_));
  }
  return static_cast<std::size_t>(result);
}

}  // namespace ferry
