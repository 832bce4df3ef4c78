// TLS echo on OpenSSL and a bare level-triggered epoll loop: the floor the others are measured
// against. OpenSSL works on the socket itself and reads ahead, so that a record costs one recv;
// each is answered at once. A connection holds bytes of its own only while the kernel refuses them.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "options.h"

enum { kRecord = 16 * 1024, kEvents = 256 };

struct Connection {
  SSL* ssl;
  int fd;
  uint32_t interest;  // what epoll watches for
  char* backlog;      // what the kernel has not taken of one record: [begin, end)
  size_t begin, end;
};

static SSL_CTX* context;
static int epoll_fd;
static char record[kRecord];

static void fail(const char* what) {
  if (ERR_peek_error() != 0) {
    fprintf(stderr, "%s: %s\n", what, ERR_reason_error_string(ERR_peek_error()));
  } else {
    perror(what);
  }
  exit(1);
}

enum Outcome { kDone, kWantsInput, kWantsOutput, kOver };

static enum Outcome outcome(struct Connection* c, int result) {
  if (result == 1) return kDone;
  switch (SSL_get_error(c->ssl, result)) {
    case SSL_ERROR_WANT_READ:
      return kWantsInput;
    case SSL_ERROR_WANT_WRITE:
      return kWantsOutput;
    case SSL_ERROR_ZERO_RETURN:
      SSL_shutdown(c->ssl);
      return kOver;
    default:
      ERR_clear_error();
      return kOver;
  }
}

static enum Outcome flush_backlog(struct Connection* c) {
  size_t written = 0;
  const enum Outcome end =
      outcome(c, SSL_write_ex(c->ssl, c->backlog + c->begin, c->end - c->begin, &written));
  c->begin += written;
  if (end == kDone) {
    free(c->backlog);
    c->backlog = NULL;
    c->begin = c->end = 0;
  }
  return end;
}

static enum Outcome answer(struct Connection* c, size_t size) {
  size_t written = 0;
  const enum Outcome end = outcome(c, SSL_write_ex(c->ssl, record, size, &written));
  if (end == kDone || end == kOver) return end;
  // To be tried again with the same bytes, as OpenSSL demands.
  c->backlog = malloc(size);
  if (c->backlog == NULL) fail("malloc");
  memcpy(c->backlog, record, size);
  c->end = size;
  return end;
}

/// As far as it gets.
static enum Outcome echo(struct Connection* c) {
  enum Outcome end = c->backlog != NULL ? flush_backlog(c) : kDone;
  while (end == kDone) {
    size_t size = 0;
    end = outcome(c, SSL_read_ex(c->ssl, record, sizeof record, &size));
    if (end == kDone) end = answer(c, size);
    if (end == kDone && SSL_has_pending(c->ssl) == 0) return kWantsInput;
  }
  return end;
}

static void close_connection(struct Connection* c) {
  SSL_free(c->ssl);
  close(c->fd);
  free(c->backlog);
  free(c);
}

static void on_event(struct Connection* c) {
  const enum Outcome end = echo(c);
  if (end == kOver) {
    close_connection(c);
    return;
  }
  const uint32_t interest = end == kWantsOutput ? EPOLLOUT : EPOLLIN;
  if (interest == c->interest) return;
  struct epoll_event event = {.events = interest, .data.ptr = c};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event) != 0) fail("epoll_ctl");
  c->interest = interest;
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
    c->ssl = SSL_new(context);
    if (c->ssl == NULL || SSL_set_fd(c->ssl, fd) != 1) fail("SSL_new");
    SSL_set_accept_state(c->ssl);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
  }
}

static void make_context(const struct PeerOptions* options) {
  context = SSL_CTX_new(TLS_server_method());
  if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
      SSL_CTX_use_certificate_chain_file(context, options->certificate) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, options->key, SSL_FILETYPE_PEM) != 1) {
    fail("certificate");
  }
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 1);
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
  const struct PeerOptions options = peer_tls_options(argc, argv);
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  sigprocmask(SIG_BLOCK, &stop, NULL);
  signal(SIGPIPE, SIG_IGN);
  make_context(&options);
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
      } else {
        on_event(source);
      }
    }
  }
}
