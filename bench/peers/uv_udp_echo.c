// UDP echo on libuv, as its guide writes it: a buffer for each datagram, handed to uv_udp_send and
// freed when that is done.
#define _GNU_SOURCE
#include <malloc.h>
#include <netinet/in.h>
#include <signal.h>
#include <uv.h>

#include "options.h"

struct Answer {
  uv_udp_send_t request;
  char* bytes;
};

static void fail(const char* what, int code) {
  fprintf(stderr, "%s: %s\n", what, uv_strerror(code));
  exit(1);
}

static void* allocate(size_t size) {
  void* memory = malloc(size);
  if (memory == NULL) fail("malloc", UV_ENOMEM);
  return memory;
}

static void on_alloc(uv_handle_t* handle, size_t suggested, uv_buf_t* buffer) {
  (void)handle;
  *buffer = uv_buf_init(allocate(suggested), (unsigned)suggested);
}

static void on_sent(uv_udp_send_t* request, int status) {
  (void)status;
  struct Answer* answer = request->data;
  free(answer->bytes);
  free(answer);
}

static void on_datagram(uv_udp_t* socket, ssize_t size, const uv_buf_t* buffer,
                        const struct sockaddr* from, unsigned flags) {
  (void)flags;
  if (size < 0 || from == NULL) {
    free(buffer->base);
    return;
  }
  struct Answer* answer = allocate(sizeof *answer);
  answer->request.data = answer;
  answer->bytes = buffer->base;
  uv_buf_t out = uv_buf_init(buffer->base, (unsigned)size);
  if (uv_udp_send(&answer->request, socket, &out, 1, from, on_sent) != 0) {
    free(answer->bytes);
    free(answer);
  }
}

static void on_signal(uv_signal_t* handle, int number) {
  (void)number;
  uv_stop(handle->loop);
}

int main(int argc, char** argv) {
  const struct PeerOptions options = peer_options(argc, argv);
  // As in uv_echo.c: what glibc does with the top of the heap is not libuv's fault.
  mallopt(M_TRIM_THRESHOLD, 16 * 1024 * 1024);
  uv_loop_t* loop = uv_default_loop();
  uv_signal_t stop[2];
  const int numbers[2] = {SIGTERM, SIGINT};
  for (int i = 0; i < 2; ++i) {
    uv_signal_init(loop, &stop[i]);
    uv_signal_start(&stop[i], on_signal, numbers[i]);
  }
  uv_udp_t socket;
  struct sockaddr_in address;
  int size = sizeof address;
  uv_udp_init(loop, &socket);
  uv_ip4_addr("127.0.0.1", options.port, &address);
  int error = uv_udp_bind(&socket, (const struct sockaddr*)&address, 0);
  if (error == 0) error = uv_udp_recv_start(&socket, on_alloc, on_datagram);
  if (error == 0) error = uv_udp_getsockname(&socket, (struct sockaddr*)&address, &size);
  if (error != 0) fail("bind", error);
  peer_listening(ntohs(address.sin_port));
  uv_run(loop, UV_RUN_DEFAULT);
  return 0;
}
