// UDP echo on a bare epoll loop with recvmmsg and sendmmsg: the floor the others are measured
// against. What one call received is answered by one call. With --segmentation 1 a message may be
// many datagrams from one peer (udp(7): UDP_GRO), and goes back as it came (UDP_SEGMENT).
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "options.h"

enum { kBatch = 32, kPlace = 64 * 1024 + 192 };

static char memory[kBatch][kPlace];
static struct sockaddr_in names[kBatch];
static struct iovec places[kBatch];
static struct mmsghdr messages[kBatch];
static _Alignas(struct cmsghdr) char controls[kBatch][CMSG_SPACE(sizeof(int))];
static bool segmentation;

static void fail(const char* what) {
  perror(what);
  exit(1);
}

/// The control data that came with a message becomes those of the answer.
static void keep_segments(int i) {
  struct msghdr* message = &messages[i].msg_hdr;
  struct cmsghdr* part = CMSG_FIRSTHDR(message);
  int size = 0;
  if (part != NULL && part->cmsg_level == IPPROTO_UDP && part->cmsg_type == UDP_GRO) {
    memcpy(&size, CMSG_DATA(part), sizeof size);
  }
  message->msg_control = NULL;
  message->msg_controllen = 0;
  if (size <= 0 || (unsigned)size >= messages[i].msg_len) return;  // a single one
  const uint16_t segment = (uint16_t)size;
  message->msg_control = controls[i];
  message->msg_controllen = CMSG_SPACE(sizeof segment);
  part = CMSG_FIRSTHDR(message);
  part->cmsg_level = IPPROTO_UDP;
  part->cmsg_type = UDP_SEGMENT;
  part->cmsg_len = CMSG_LEN(sizeof segment);
  memcpy(CMSG_DATA(part), &segment, sizeof segment);
}

/// Answers a batch; false when nothing is left.
static bool echo(int fd) {
  for (int i = 0; i < kBatch; ++i) {
    places[i].iov_len = kPlace;
    messages[i].msg_hdr.msg_namelen = sizeof names[i];
    if (!segmentation) continue;
    messages[i].msg_hdr.msg_control = controls[i];
    messages[i].msg_hdr.msg_controllen = sizeof controls[i];
  }
  const int received = recvmmsg(fd, messages, kBatch, 0, NULL);
  if (received < 0) {
    if (errno != EAGAIN && errno != EINTR) fail("recvmmsg");
    return false;
  }
  for (int i = 0; i < received; ++i) {
    places[i].iov_len = messages[i].msg_len;
    if (segmentation) keep_segments(i);
  }
  // What does not fit is lost, as datagrams may be.
  for (int sent = 0; sent < received;) {
    const int now = sendmmsg(fd, messages + sent, (unsigned)(received - sent), 0);
    if (now <= 0) break;
    sent += now;
  }
  return received == kBatch;
}

int main(int argc, char** argv) {
  const struct PeerOptions options = peer_options(argc, argv);
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  sigprocmask(SIG_BLOCK, &stop, NULL);
  const int stop_fd = signalfd(-1, &stop, SFD_CLOEXEC);

  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons(options.port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (fd < 0 || bind(fd, (struct sockaddr*)&address, size) != 0 ||
      getsockname(fd, (struct sockaddr*)&address, &size) != 0) {
    fail("bind");
  }
  const int on = 1;
  segmentation = options.segmentation != 0;
  if (segmentation && setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) != 0) fail("UDP_GRO");
  for (int i = 0; i < kBatch; ++i) {
    places[i].iov_base = memory[i];
    messages[i].msg_hdr.msg_iov = &places[i];
    messages[i].msg_hdr.msg_iovlen = 1;
    messages[i].msg_hdr.msg_name = &names[i];
  }

  const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event on_stop = {.events = EPOLLIN, .data.fd = stop_fd};
  struct epoll_event on_data = {.events = EPOLLIN, .data.fd = fd};
  if (stop_fd < 0 || epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, stop_fd, &on_stop) != 0 ||
      epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &on_data) != 0) {
    fail("epoll");
  }
  peer_listening(ntohs(address.sin_port));
  for (;;) {
    struct epoll_event events[2];
    const int count = epoll_wait(epoll_fd, events, 2, -1);
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < count; ++i) {
      if (events[i].data.fd == stop_fd) return 0;
      while (echo(fd)) {
      }
    }
  }
}
