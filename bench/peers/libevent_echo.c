// TCP echo on libevent's bufferevents, as its book writes it: the input buffer is moved to the
// output buffer; with --message one bufferevent_write for each message.
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>

#include "options.h"

enum { kHighWater = 64 * 1024, kLowWater = 16 * 1024 };

static size_t message_size;

static void on_read(struct bufferevent* connection, void* context) {
  (void)context;
  struct evbuffer* input = bufferevent_get_input(connection);
  struct evbuffer* output = bufferevent_get_output(connection);
  if (message_size == 0) {
    evbuffer_add_buffer(output, input);
  } else {
    while (evbuffer_get_length(input) >= message_size) {
      const unsigned char* message = evbuffer_pullup(input, (ev_ssize_t)message_size);
      bufferevent_write(connection, message, message_size);
      evbuffer_drain(input, message_size);
    }
  }
  if (evbuffer_get_length(output) > kHighWater) bufferevent_disable(connection, EV_READ);
}

/// The output has fallen to the low-water mark.
static void on_low_output(struct bufferevent* connection, void* context) {
  (void)context;
  if (!(bufferevent_get_enabled(connection) & EV_READ)) bufferevent_enable(connection, EV_READ);
}

static void on_flushed(struct bufferevent* connection, void* context) {
  (void)context;
  if (evbuffer_get_length(bufferevent_get_output(connection)) == 0) bufferevent_free(connection);
}

static void on_event(struct bufferevent* connection, short events, void* context) {
  (void)context;
  if ((events & BEV_EVENT_EOF) && evbuffer_get_length(bufferevent_get_output(connection)) > 0) {
    bufferevent_disable(connection, EV_READ);
    bufferevent_setcb(connection, NULL, on_flushed, on_event, NULL);
    bufferevent_setwatermark(connection, EV_WRITE, 0, 0);
  } else if (events & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) {
    bufferevent_free(connection);
  }
}

static void on_accept(struct evconnlistener* listener, evutil_socket_t fd, struct sockaddr* peer,
                      int peer_size, void* context) {
  (void)peer;
  (void)peer_size;
  (void)context;
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct event_base* base = evconnlistener_get_base(listener);
  struct bufferevent* connection = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
  if (connection == NULL) {
    evutil_closesocket(fd);
    return;
  }
  bufferevent_setcb(connection, on_read, on_low_output, on_event, NULL);
  bufferevent_setwatermark(connection, EV_WRITE, kLowWater, 0);
  bufferevent_enable(connection, EV_READ | EV_WRITE);
}

static void on_signal(evutil_socket_t number, short events, void* base) {
  (void)number;
  (void)events;
  event_base_loopexit(base, NULL);
}

int main(int argc, char** argv) {
  const struct PeerOptions options = peer_options(argc, argv);
  message_size = options.message;
  signal(SIGPIPE, SIG_IGN);
  struct event_base* base = event_base_new();
  if (base == NULL) {
    fprintf(stderr, "event_base_new failed\n");
    return 1;
  }

  struct event* terminated = evsignal_new(base, SIGTERM, on_signal, base);
  struct event* interrupted = evsignal_new(base, SIGINT, on_signal, base);
  event_add(terminated, NULL);
  event_add(interrupted, NULL);

  struct sockaddr_in address;
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_port = htons(options.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  struct evconnlistener* listener = evconnlistener_new_bind(
      base, on_accept, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC,
      SOMAXCONN, (struct sockaddr*)&address, sizeof address);
  if (listener == NULL ||
      getsockname(evconnlistener_get_fd(listener), (struct sockaddr*)&address, &size) != 0) {
    perror("listen");
    return 1;
  }
  peer_listening(ntohs(address.sin_port));
  event_base_dispatch(base);

  evconnlistener_free(listener);
  event_free(interrupted);
  event_free(terminated);
  event_base_free(base);
  return 0;
}
