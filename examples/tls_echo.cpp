// An echo server over TLS: tls_echo CERTIFICATE KEY [PORT], both PEM files; 7443 unless a port is
// given, 0 for any. SIGHUP reads the files again, SIGINT or SIGTERM ends it. With SSLKEYLOGFILE in
// the environment each connection's secrets go to that file, for Wireshark.
//
//     openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost
//       -addext subjectAltName=DNS:localhost -keyout key.pem -out certificate.pem
//     tls_echo certificate.pem key.pem &
//     openssl s_client -connect localhost:7443 -CAfile certificate.pem
#include <ferry/net.h>
#include <ferry/tls.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

class Echo : public ferry::Protocol {
 public:
  void connection_made(std::shared_ptr<ferry::Transport> transport) override {
    transport_ = std::move(transport);
  }
  void data_received(ferry::BytesView data) override { transport_->write(data); }
  void pause_writing() override { transport_->pause_reading(); }
  void resume_writing() override { transport_->resume_reading(); }

 private:
  std::shared_ptr<ferry::Transport> transport_;
};

int run(int argc, char** argv) {
  ferry::TlsServerOptions files;
  files.identity.certificate_file = argv[1];
  files.identity.key_file = argv[2];
  files.alpn = {"echo"};
  if (const char* key_log = std::getenv("SSLKEYLOGFILE")) files.key_log_file = key_log;
  const auto context = ferry::TlsContext::server(std::move(files));

  ferry::EventLoop loop;
  loop.set_log_sink(ferry::stderr_log_sink());
  for (const int signal_number : {SIGINT, SIGTERM}) {
    loop.add_signal_handler(signal_number, [&loop] { loop.stop(); });
  }
  loop.add_signal_handler(SIGHUP, [&context] {
    try {
      context->reload();
    } catch (const std::exception& failure) {
      std::fprintf(stderr, "tls_echo: the old certificate stays: %s\n", failure.what());
    }
  });

  ferry::ListenOptions options{.hosts = {"127.0.0.1"}, .port = 7443};
  if (argc > 3) options.port = static_cast<std::uint16_t>(std::atoi(argv[3]));
  options.wrap = ferry::tls_server(context);
  auto server = loop.run_until_complete(ferry::create_server(
      loop, [] { return std::make_shared<Echo>(); }, std::move(options)));
  std::printf("listening on %s\n", server->sockets()[0].to_string().c_str());
  std::fflush(stdout);
  loop.run_forever();
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: tls_echo CERTIFICATE KEY [PORT]\n", stderr);
    return 2;
  }
  try {
    return run(argc, argv);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "tls_echo: %s\n", failure.what());
    return 1;
  }
}
