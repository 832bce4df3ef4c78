// Descriptors that pass between processes: over unix sockets, and by inheritance.

#include "bsd_sockets.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

namespace ferry {

namespace {

// For what else may come along, such as SCM_CREDENTIALS, too.
constexpr std::size_t kControlSize = CMSG_SPACE(Kernel::kMaxDescriptors * sizeof(int)) + 256;

struct alignas(cmsghdr) Control {
  std::byte bytes[kControlSize];
};

template <class Call>
IoResult uninterrupted(Call call) {
  for (;;) {
    const std::ptrdiff_t value = call();
    if (value >= 0) return {value, 0};
    if (errno != EINTR) return {-1, errno};
  }
}

/// A unix socket's path as the system wants it, without memory from the heap; empty if it has none.
struct PathText {
  explicit PathText(const Address& address) {
    sockaddr_storage storage{};
    address.to_sockaddr(storage);
    if (!address.is_unix() || address.is_abstract()) return;
    const auto& name = reinterpret_cast<const sockaddr_un&>(storage);
    std::memcpy(text, name.sun_path, sizeof name.sun_path);
  }
  char text[sizeof(sockaddr_un::sun_path) + 1] = {};
};

}  // namespace

IoResult Kernel::send_descriptors(int, BytesView, std::span<const int>) {
  return {-1, EOPNOTSUPP};
}

IoResult Kernel::recv_descriptors(int, MutableBytes, std::vector<Fd>&) {
  return {-1, EOPNOTSUPP};
}

IoResult Kernel::peer_credentials(int, PeerCredentials&) {
  return {-1, EOPNOTSUPP};
}

IoResult Kernel::find_socket_file(const Address&, FileId&) {
  return {-1, EOPNOTSUPP};
}

IoResult Kernel::remove_file(const Address&) {
  return {-1, EOPNOTSUPP};
}

PeerCredentials Kernel::own_credentials() {
  return {};
}

IoResult set_close_on_exec(int fd) noexcept {
  return uninterrupted([fd] { return ::fcntl(fd, F_SETFD, FD_CLOEXEC); });
}

IoResult BsdSockets::send_descriptors(int fd, BytesView bytes, std::span<const int> descriptors) {
  if (bytes.empty() || descriptors.size() > kMaxDescriptors) return {-1, EINVAL};
  iovec vector{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  Control control{};
  if (!descriptors.empty()) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  }
  return uninterrupted([&] { return ::sendmsg(fd, &message, MSG_NOSIGNAL); });
}

IoResult BsdSockets::recv_descriptors(int fd, MutableBytes into, std::vector<Fd>& descriptors) {
  try {
    descriptors.reserve(descriptors.size() + kMaxDescriptors);
  } catch (const std::bad_alloc&) {
    return {-1, ENOMEM};  // nothing may fail once they are ours
  }
  iovec vector{into.data(), into.size()};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  Control control;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
#ifdef MSG_CMSG_CLOEXEC
  constexpr int kFlags = MSG_CMSG_CLOEXEC;
#else
  constexpr int kFlags = 0;
#endif
  const IoResult received = uninterrupted([&] { return ::recvmsg(fd, &message, kFlags); });
  if (!received.ok()) return received;
  const std::size_t before = descriptors.size();
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int came = -1;
      std::memcpy(&came, CMSG_DATA(part) + i * sizeof came, sizeof came);
      if (kFlags == 0) set_close_on_exec(came);
      descriptors.emplace_back(came);
    }
  }
  if (message.msg_flags & MSG_CTRUNC) {
    descriptors.resize(before);
    return {-1, EMSGSIZE};
  }
  return received;
}

IoResult BsdSockets::peer_credentials(int fd, PeerCredentials& credentials) {
#if defined(SO_PEERCRED)
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return {-1, errno};
  credentials = {peer.pid, peer.uid, peer.gid};
  return {};
#else
  uid_t user = 0;
  gid_t group = 0;
  if (::getpeereid(fd, &user, &group) != 0) return {-1, errno};
  credentials = {0, user, group};
  return {};
#endif
}

IoResult BsdSockets::find_socket_file(const Address& path, FileId& file) {
  struct stat status {};
  if (::lstat(PathText(path).text, &status) != 0) return {-1, errno};
  if (!S_ISSOCK(status.st_mode)) return {-1, ENOTSOCK};
  file = {static_cast<std::uint64_t>(status.st_dev), static_cast<std::uint64_t>(status.st_ino)};
  return {};
}

IoResult BsdSockets::remove_file(const Address& path) {
  return ::unlink(PathText(path).text) == 0 ? IoResult{} : IoResult{-1, errno};
}

PeerCredentials BsdSockets::own_credentials() {
  return {::getpid(), ::geteuid(), ::getegid()};
}

}  // namespace ferry
