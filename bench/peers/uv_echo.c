// TCP echo on libuv, as its guide writes it: a buffer allocated for each read, handed to uv_write
// and freed when that is done; with --message one uv_write for each message.
#define _GNU_SOURCE
#include <malloc.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <uv.h>

#include "options.h"

enum { kHighWater = 1024 * 1024, kLowWater = 64 * 1024 };

struct Connection {
  uv_tcp_t tcp;
  uv_shutdown_t shutdown;
  size_t held;    // memory of writes not yet reported done
  bool paused;    // reading waits until less is held
  char* partial;  // the start of a message whose rest has not come
  size_t partial_size;
};

struct ChunkWrite {
  uv_write_t request;
  char* chunk;
  size_t capacity;
};

struct MessageWrite {
  uv_write_t request;
  char bytes[];
};

static size_t message_size;

static void fail(const char* what, int code) {
  fprintf(stderr, "%s: %s\n", what, uv_strerror(code));
  exit(1);
}

static void* allocate(size_t size) {
  void* memory = malloc(size);
  if (memory == NULL) fail("malloc", UV_ENOMEM);
  return memory;
}

static void on_closed(uv_handle_t* handle) {
  struct Connection* c = handle->data;
  free(c->partial);
  free(c);
}

static void close_connection(struct Connection* c) {
  if (!uv_is_closing((uv_handle_t*)&c->tcp)) uv_close((uv_handle_t*)&c->tcp, on_closed);
}

static void on_alloc(uv_handle_t* handle, size_t suggested, uv_buf_t* buffer) {
  (void)handle;
  *buffer = uv_buf_init(allocate(suggested), (unsigned)suggested);
}

static void on_read(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer);

static void on_written(struct Connection* c, size_t released, int status) {
  c->held -= released;
  if (status != 0) {
    close_connection(c);
  } else if (c->paused && c->held <= kLowWater && !uv_is_closing((uv_handle_t*)&c->tcp)) {
    c->paused = false;
    uv_read_start((uv_stream_t*)&c->tcp, on_alloc, on_read);
  }
}

static void on_chunk_written(uv_write_t* request, int status) {
  struct ChunkWrite* write = request->data;
  on_written(request->handle->data, write->capacity, status);
  free(write->chunk);
  free(write);
}

static void on_message_written(uv_write_t* request, int status) {
  on_written(request->handle->data, sizeof(struct MessageWrite) + message_size, status);
  free(request->data);
}

/// Echoes what was read and takes its buffer over.
static int write_chunk(struct Connection* c, const uv_buf_t* chunk, size_t size) {
  struct ChunkWrite* write = allocate(sizeof *write);
  write->request.data = write;
  write->chunk = chunk->base;
  write->capacity = chunk->len;
  uv_buf_t buffer = uv_buf_init(chunk->base, (unsigned)size);
  const int error = uv_write(&write->request, (uv_stream_t*)&c->tcp, &buffer, 1, on_chunk_written);
  if (error == 0) {
    c->held += write->capacity;
  } else {
    free(chunk->base);
    free(write);
  }
  return error;
}

static int on_message(struct Connection* c, const char* message) {
  struct MessageWrite* write = allocate(sizeof *write + message_size);
  write->request.data = write;
  memcpy(write->bytes, message, message_size);
  uv_buf_t buffer = uv_buf_init(write->bytes, (unsigned)message_size);
  const int error =
      uv_write(&write->request, (uv_stream_t*)&c->tcp, &buffer, 1, on_message_written);
  if (error == 0) {
    c->held += sizeof *write + message_size;
  } else {
    free(write);
  }
  return error;
}

static int on_data(struct Connection* c, const char* data, size_t size) {
  int error = 0;
  while (size > 0 && error == 0) {
    if (c->partial_size == 0 && size >= message_size) {
      error = on_message(c, data);
      data += message_size;
      size -= message_size;
      continue;
    }
    if (c->partial == NULL) c->partial = allocate(message_size);
    const size_t missing = message_size - c->partial_size;
    const size_t taken = size < missing ? size : missing;
    memcpy(c->partial + c->partial_size, data, taken);
    c->partial_size += taken;
    data += taken;
    size -= taken;
    if (c->partial_size == message_size) {
      c->partial_size = 0;
      error = on_message(c, c->partial);
    }
  }
  return error;
}

static void on_shutdown(uv_shutdown_t* request, int status) {
  (void)status;
  close_connection(request->handle->data);
}

static void on_read(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer) {
  struct Connection* c = stream->data;
  int error = size < 0 ? (int)size : 0;
  if (size > 0 && message_size == 0) {
    error = write_chunk(c, buffer, (size_t)size);
  } else {
    if (size > 0) error = on_data(c, buffer->base, (size_t)size);
    free(buffer->base);
  }
  if (error == UV_EOF) {
    // The shutdown comes after all that is still queued.
    uv_read_stop(stream);
    if (uv_shutdown(&c->shutdown, stream, on_shutdown) == 0) return;
  }
  if (error != 0) {
    close_connection(c);
  } else if (!c->paused && c->held > kHighWater) {
    c->paused = true;
    uv_read_stop(stream);
  }
}

static void on_connection(uv_stream_t* listener, int status) {
  if (status != 0) return;
  struct Connection* c = allocate(sizeof *c);
  memset(c, 0, sizeof *c);
  uv_tcp_init(listener->loop, &c->tcp);
  c->tcp.data = c;
  if (uv_accept(listener, (uv_stream_t*)&c->tcp) != 0) {
    close_connection(c);
    return;
  }
  uv_tcp_nodelay(&c->tcp, 1);
  uv_read_start((uv_stream_t*)&c->tcp, on_alloc, on_read);
}

static void on_signal(uv_signal_t* handle, int number) {
  (void)number;
  uv_stop(handle->loop);
}

int main(int argc, char** argv) {
  const struct PeerOptions options = peer_options(argc, argv);
  message_size = options.message;
  signal(SIGPIPE, SIG_IGN);
  // By default glibc gives the top of the heap back each time such a buffer is freed and takes it
  // again for the next: a system call and page faults for every message that are not libuv's fault.
  mallopt(M_TRIM_THRESHOLD, 16 * 1024 * 1024);
  uv_loop_t* loop = uv_default_loop();

  uv_signal_t stop[2];
  const int numbers[2] = {SIGTERM, SIGINT};
  for (int i = 0; i < 2; ++i) {
    uv_signal_init(loop, &stop[i]);
    uv_signal_start(&stop[i], on_signal, numbers[i]);
  }

  uv_tcp_t listener;
  struct sockaddr_in address;
  int size = sizeof address;
  uv_tcp_init(loop, &listener);
  uv_ip4_addr("127.0.0.1", options.port, &address);
  int error = uv_tcp_bind(&listener, (const struct sockaddr*)&address, 0);
  if (error == 0) error = uv_listen((uv_stream_t*)&listener, SOMAXCONN, on_connection);
  if (error == 0) error = uv_tcp_getsockname(&listener, (struct sockaddr*)&address, &size);
  if (error != 0) fail("listen", error);
  peer_listening(ntohs(address.sin_port));
  uv_run(loop, UV_RUN_DEFAULT);
  return 0;
}
