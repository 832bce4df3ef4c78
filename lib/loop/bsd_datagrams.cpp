// The datagram calls of Kernel: many messages a system call, and what travels beside their bytes.

#include "bsd_sockets.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ferry {

namespace {

// Room for all that is ever asked for: packet info, traffic class and segment size.
constexpr std::size_t kControlSize =
    CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(in_pktinfo)) + 3 * CMSG_SPACE(sizeof(int));

struct alignas(cmsghdr) Control {
  std::byte bytes[kControlSize];
};

template <class T>
T content(const cmsghdr& message) noexcept {
  T value{};
  std::memcpy(&value, CMSG_DATA(&message), std::min<std::size_t>(sizeof value, message.cmsg_len));
  return value;
}

template <class T>
void append(msghdr& message, int level, int type, const T& value) noexcept {
  auto* header = reinterpret_cast<cmsghdr*>(static_cast<std::byte*>(message.msg_control) +
                                            message.msg_controllen);
  header->cmsg_level = level;
  header->cmsg_type = type;
  header->cmsg_len = CMSG_LEN(sizeof value);
  std::memcpy(CMSG_DATA(header), &value, sizeof value);
  message.msg_controllen += CMSG_SPACE(sizeof value);
}

Address address_of(const in_addr& host) {
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr = host;
  return Address(reinterpret_cast<sockaddr*>(&name), sizeof name);
}

Address address_of(const in6_pktinfo& info) {
  sockaddr_in6 name{};
  name.sin6_family = AF_INET6;
  name.sin6_addr = info.ipi6_addr;
  if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) name.sin6_scope_id = info.ipi6_ifindex;
  return Address(reinterpret_cast<sockaddr*>(&name), sizeof name);
}

void read_control(msghdr& message, IncomingDatagram& datagram) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level == IPPROTO_UDP && part->cmsg_type == UDP_GRO) {
      datagram.segment = static_cast<std::size_t>(content<int>(*part));
    } else if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
      datagram.info.local = address_of(content<in_pktinfo>(*part).ipi_addr);
    } else if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_TOS) {
      datagram.info.tos = content<unsigned char>(*part);
    } else if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO) {
      datagram.info.local = address_of(content<in6_pktinfo>(*part));
    } else if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_TCLASS) {
      datagram.info.tos = content<int>(*part);
    }
  }
}

void write_control(msghdr& message, const OutgoingDatagram& datagram) {
  if (datagram.segment != 0) {
    append(message, IPPROTO_UDP, UDP_SEGMENT, static_cast<std::uint16_t>(datagram.segment));
  }
  sockaddr_storage from;
  if (datagram.from) datagram.from->to_sockaddr(from);
  if (datagram.from && datagram.from->family() == AF_INET) {
    in_pktinfo info{};
    info.ipi_spec_dst = reinterpret_cast<const sockaddr_in&>(from).sin_addr;
    append(message, IPPROTO_IP, IP_PKTINFO, info);
  } else if (datagram.from && datagram.from->family() == AF_INET6) {
    in6_pktinfo info{};
    info.ipi6_addr = reinterpret_cast<const sockaddr_in6&>(from).sin6_addr;
    info.ipi6_ifindex = reinterpret_cast<const sockaddr_in6&>(from).sin6_scope_id;
    append(message, IPPROTO_IPV6, IPV6_PKTINFO, info);
  }
  if (datagram.tos >= 0) {
    // A socket reads the one that is its family's and ignores the other.
    append(message, IPPROTO_IP, IP_TOS, datagram.tos);
    append(message, IPPROTO_IPV6, IPV6_TCLASS, datagram.tos);
  }
}

}  // namespace

IoResult BsdSockets::recv_datagrams(int fd, std::span<IncomingDatagram> into) {
  mmsghdr messages[kMaxDatagrams];
  iovec places[kMaxDatagrams];
  sockaddr_storage names[kMaxDatagrams];
  Control controls[kMaxDatagrams];
  const std::size_t count = std::min(into.size(), kMaxDatagrams);
  for (std::size_t i = 0; i < count; ++i) {
    places[i] = {into[i].buffer.data(), into[i].buffer.size()};
    messages[i].msg_hdr = {&names[i], sizeof names[i], &places[i], 1, nullptr, 0, 0};
    if (into[i].plain) continue;
    messages[i].msg_hdr.msg_control = &controls[i];
    messages[i].msg_hdr.msg_controllen = kControlSize;
  }
  int received;
  do {
    received = ::recvmmsg(fd, messages, static_cast<unsigned>(count), 0, nullptr);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return {-1, errno};
  for (std::size_t i = 0; i < static_cast<std::size_t>(received); ++i) {
    msghdr& message = messages[i].msg_hdr;
    IncomingDatagram& datagram = into[i];
    datagram.size = messages[i].msg_len;
    datagram.segment = 0;
    datagram.truncated = (message.msg_flags & MSG_TRUNC) != 0;
    datagram.info.peer = Address(static_cast<sockaddr*>(message.msg_name), message.msg_namelen);
    if (message.msg_controllen != 0) read_control(message, datagram);
    if (datagram.segment >= datagram.size) datagram.segment = 0;
  }
  return {received, 0};
}

IoResult BsdSockets::send_datagrams(int fd, std::span<const OutgoingDatagram> datagrams) {
  mmsghdr messages[kMaxDatagrams];
  iovec places[kMaxDatagrams];
  sockaddr_storage names[kMaxDatagrams];
  Control controls[kMaxDatagrams];
  const std::size_t count = std::min(datagrams.size(), kMaxDatagrams);
  for (std::size_t i = 0; i < count; ++i) {
    const OutgoingDatagram& datagram = datagrams[i];
    places[i] = {const_cast<std::byte*>(datagram.bytes.data()), datagram.bytes.size()};
    msghdr& message = messages[i].msg_hdr;
    message = {nullptr, 0, &places[i], 1, nullptr, 0, 0};
    if (datagram.to) {
      message.msg_name = &names[i];
      message.msg_namelen = datagram.to->to_sockaddr(names[i]);
    }
    if (datagram.segment != 0 || datagram.from || datagram.tos >= 0) {
      std::memset(&controls[i], 0, sizeof controls[i]);
      message.msg_control = &controls[i];
      write_control(message, datagram);
    }
  }
  for (;;) {
    const int sent = ::sendmmsg(fd, messages, static_cast<unsigned>(count), MSG_NOSIGNAL);
    if (sent >= 0) return {sent, 0};
    if (errno != EINTR) return {-1, errno};
  }
}

IoResult BsdSockets::set_membership(int fd, const Address& group, unsigned interface, bool join) {
  group_req request{};
  request.gr_interface = interface;
  group.to_sockaddr(request.gr_group);
  const int level = group.family() == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
  const int name = join ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP;
  if (::setsockopt(fd, level, name, &request, sizeof request) != 0) return {-1, errno};
  return {};
}

}  // namespace ferry
