#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// What every peer is told: `NAME --port P [--message BYTES]`, and some more beside.
struct PeerOptions {
  unsigned short port;      ///< 0 lets the system choose
  size_t message;           ///< size of a message in bytes; 0 echoes chunks as they come
  const char* certificate;  ///< PEM files, of a peer that speaks TLS
  const char* key;
  int segmentation;  ///< UDP: let the kernel join and split datagrams (UDP_GRO, UDP_SEGMENT)
};

static inline unsigned long peer_number(const char* option, const char* text, unsigned long max) {
  char* end = NULL;
  const unsigned long value = text != NULL ? strtoul(text, &end, 10) : 0;
  if (text == NULL || *text < '0' || *text > '9' || *end != '\0' || value > max) {
    fprintf(stderr, "%s wants a number from 0 to %lu\n", option, max);
    exit(2);
  }
  return value;
}

/// Reads the command line; ends the program with code 2 where it is not as above.
static inline struct PeerOptions peer_options(int argc, char** argv) {
  struct PeerOptions options = {0, 0, NULL, NULL, 0};
  for (int i = 1; i < argc; i += 2) {
    const char* value = i + 1 < argc ? argv[i + 1] : NULL;
    if (strcmp(argv[i], "--port") == 0) {
      options.port = (unsigned short)peer_number("--port", value, 65535);
    } else if (strcmp(argv[i], "--message") == 0) {
      options.message = (size_t)peer_number("--message", value, 1UL << 24);
    } else if (strcmp(argv[i], "--tls-cert") == 0 && value != NULL) {
      options.certificate = value;
    } else if (strcmp(argv[i], "--tls-key") == 0 && value != NULL) {
      options.key = value;
    } else if (strcmp(argv[i], "--segmentation") == 0) {
      options.segmentation = (int)peer_number("--segmentation", value, 1);
    } else {
      const int help = strcmp(argv[i], "--help") == 0;
      fprintf(help ? stdout : stderr,
              "usage: %s --port P [--message BYTES] [--tls-cert PEM --tls-key PEM] "
              "[--segmentation 0|1]\n",
              argv[0]);
      exit(help ? 0 : 2);
    }
  }
  return options;
}

/// The same for a peer that speaks TLS and cannot do without a certificate.
static inline struct PeerOptions peer_tls_options(int argc, char** argv) {
  const struct PeerOptions options = peer_options(argc, argv);
  if (options.certificate == NULL || options.key == NULL) {
    fprintf(stderr, "%s wants --tls-cert and --tls-key\n", argv[0]);
    exit(2);
  }
  return options;
}

/// Tells whoever started the peer that it accepts connections.
static inline void peer_listening(unsigned port) {
  printf("listening on 127.0.0.1:%u\n", port);
  fflush(stdout);
}
