#include "endpoint.h"

#include <charconv>

namespace ferry::proxy {

std::optional<Endpoint> Endpoint::parse(std::string_view text) {
  constexpr std::string_view kUnix = "unix:";
  constexpr std::string_view kUdp = "udp:";
  constexpr std::size_t kLongestPath = 107;  // sun_path without its NUL, unix(7)
  Endpoint endpoint;
  if (text.starts_with(kUnix)) {
    endpoint.path = text.substr(kUnix.size());
    const bool good = !endpoint.path.empty() && endpoint.path.size() <= kLongestPath;
    return good ? std::optional(endpoint) : std::nullopt;
  }
  // "udp:53" is a host called udp, as it always was.
  if (text.starts_with(kUdp) && text.find(':', kUdp.size()) != text.npos) {
    endpoint.is_udp = true;
    text.remove_prefix(kUdp.size());
  }
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos) return {};
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != host.npos) {
    return {};  // an IPv6 address without brackets: which colon is the last?
  }
  const auto [end, error] = std::from_chars(port.begin(), port.end(), endpoint.port);
  if (error != std::errc() || end != port.end()) return {};
  endpoint.host = host;
  return endpoint;
}

}  // namespace ferry::proxy
