// TCP echo on a bare level-triggered epoll loop: the floor the others are measured against.
// One recv a readiness event into one shared buffer, the answer sent at once; a connection holds
// bytes of its own only while the kernel refuses them.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "options.h"

enum { kChunk = 64 * 1024, kHighWater = 64 * 1024, kEvents = 256 };

struct Connection {
  int fd;
  uint32_t interest;  // what epoll watches for
  bool eof;           // the peer sends no more; close once the backlog is out
  char* backlog;      // bytes the kernel has not taken: [begin, end) of capacity
  size_t begin, end, capacity;
  char* partial;  // the start of a message whose rest has not come
  size_t partial_size;
};

static size_t message_size;
static int epoll_fd;
static char chunk[kChunk];

static void fail(const char* what) {
  perror(what);
  exit(1);
}

static bool keep(struct Connection* c, const char* data, size_t size) {
  if (c->begin > 0 && c->capacity - c->end < size) {
    memmove(c->backlog, c->backlog + c->begin, c->end - c->begin);
    c->end -= c->begin;
    c->begin = 0;
  }
  if (c->capacity - c->end < size) {
    const size_t capacity = (c->end + size) * 2;
    char* grown = realloc(c->backlog, capacity);
    if (grown == NULL) return false;
    c->backlog = grown;
    c->capacity = capacity;
  }
  memcpy(c->backlog + c->end, data, size);
  c->end += size;
  return true;
}

/// Sends what the kernel takes; returns how much, or -1 when the connection is broken.
static ssize_t try_send(struct Connection* c, const char* data, size_t size) {
  const ssize_t sent = send(c->fd, data, size, MSG_NOSIGNAL);
  return sent < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : sent;
}

static bool send_bytes(struct Connection* c, const char* data, size_t size) {
  if (c->begin != c->end) return keep(c, data, size);
  const ssize_t sent = try_send(c, data, size);
  if (sent < 0) return false;
  return (size_t)sent == size || keep(c, data + sent, size - (size_t)sent);
}

static bool flush_backlog(struct Connection* c) {
  const ssize_t sent = try_send(c, c->backlog + c->begin, c->end - c->begin);
  if (sent < 0) return false;
  c->begin += (size_t)sent;
  if (c->begin == c->end) {
    free(c->backlog);
    c->backlog = NULL;
    c->begin = c->end = c->capacity = 0;
  }
  return true;
}

static bool on_message(struct Connection* c, const char* message) {
  return send_bytes(c, message, message_size);
}

static bool on_data(struct Connection* c, const char* data, size_t size) {
  if (message_size == 0) return send_bytes(c, data, size);
  while (size > 0) {
    if (c->partial_size == 0 && size >= message_size) {
      if (!on_message(c, data)) return false;
      data += message_size;
      size -= message_size;
      continue;
    }
    if (c->partial == NULL && (c->partial = malloc(message_size)) == NULL) return false;
    const size_t missing = message_size - c->partial_size;
    const size_t taken = size < missing ? size : missing;
    memcpy(c->partial + c->partial_size, data, taken);
    c->partial_size += taken;
    data += taken;
    size -= taken;
    if (c->partial_size == message_size) {
      c->partial_size = 0;
      if (!on_message(c, c->partial)) return false;
    }
  }
  return true;
}

static bool on_readable(struct Connection* c) {
  const ssize_t size = recv(c->fd, chunk, sizeof chunk, 0);
  if (size > 0) return on_data(c, chunk, (size_t)size);
  if (size < 0) return errno == EAGAIN || errno == EINTR;
  c->eof = true;
  return true;
}

/// Handles what epoll reported; false when the connection is over.
static bool on_events(struct Connection* c, uint32_t events) {
  if (events & (EPOLLERR | EPOLLHUP)) return false;
  if ((events & EPOLLOUT) && !flush_backlog(c)) return false;
  if ((events & EPOLLIN) && !on_readable(c)) return false;
  const size_t waiting = c->end - c->begin;
  if (c->eof && waiting == 0) return false;

  uint32_t interest = c->eof || waiting > kHighWater ? 0 : EPOLLIN;
  if (waiting > 0) interest |= EPOLLOUT;
  if (interest != c->interest) {
    struct epoll_event event = {.events = interest, .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event) != 0) return false;
    c->interest = interest;
  }
  return true;
}

static void close_connection(struct Connection* c) {
  close(c->fd);
  free(c->backlog);
  free(c->partial);
  free(c);
}

static void accept_all(int listener) {
  for (;;) {
    const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct Connection* c = calloc(1, sizeof *c);
    if (c == NULL) fail("calloc");
    c->fd = fd;
    c->interest = EPOLLIN;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
  }
}

static int listen_on(unsigned short port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(fd, (struct sockaddr*)&address, size) != 0 || listen(fd, SOMAXCONN) != 0 ||
      getsockname(fd, (struct sockaddr*)&address, &size) != 0) {
    fail("listen");
  }
  peer_listening(ntohs(address.sin_port));
  return fd;
}

int main(int argc, char** argv) {
  const struct PeerOptions options = peer_options(argc, argv);
  message_size = options.message;

  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  sigprocmask(SIG_BLOCK, &stop, NULL);
  int stop_fd = signalfd(-1, &stop, SFD_CLOEXEC);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  int listener = listen_on(options.port);
  struct epoll_event on_stop = {.events = EPOLLIN, .data.ptr = &stop_fd};
  struct epoll_event on_accept = {.events = EPOLLIN, .data.ptr = &listener};
  if (stop_fd < 0 || epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, stop_fd, &on_stop) != 0 ||
      epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &on_accept) != 0) {
    fail("epoll");
  }

  for (;;) {
    struct epoll_event events[kEvents];
    const int count = epoll_wait(epoll_fd, events, kEvents, -1);
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < count; ++i) {
      void* source = events[i].data.ptr;
      if (source == &stop_fd) return 0;
      if (source == &listener) {
        accept_all(listener);
      } else if (!on_events(source, events[i].events)) {
        close_connection(source);
      }
    }
  }
}
