// A line server whose connections may turn into TLS ones: starttls_server CERTIFICATE KEY [PORT],
// both PEM files; 7444 unless a port is given, 0 for any. SIGINT or SIGTERM ends it.
//
//     HELLO      ->  "+ in plain text" or "+ in secret (TLS_AES_256_GCM_SHA384)"
//     STARTTLS   ->  "+ go ahead"; then the client begins the handshake
//     QUIT       ->  "+ goodbye", and the end
#include <ferry/net.h>
#include <ferry/tls.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

class LineServer : public ferry::Protocol, public std::enable_shared_from_this<LineServer> {
 public:
  explicit LineServer(std::shared_ptr<ferry::TlsContext> context) : context_(std::move(context)) {}

  void connection_made(std::shared_ptr<ferry::Transport> transport) override {
    transport_ = std::move(transport);
    transport_->write("+ ferry\r\n");
  }

  void data_received(ferry::BytesView data) override {
    line_ += data.text();
    for (std::size_t end; (end = line_.find('\n')) != std::string::npos;) {
      std::string line = line_.substr(0, end);
      line_.erase(0, end + 1);
      if (line.ends_with('\r')) line.pop_back();
      if (line == "STARTTLS" && !tls_) return upgrade();
      handle(line);
    }
    if (line_.size() > 1000) transport_->abort();
  }

 private:
  void handle(const std::string& line) {
    if (line == "HELLO") {
      transport_->write(tls_ ? "+ in secret (" + tls_->cipher() + ")\r\n" : "+ in plain text\r\n");
    } else if (line == "QUIT") {
      transport_->write("+ goodbye\r\n");
      transport_->close();
    } else {
      transport_->write("- unknown\r\n");
    }
  }

  void upgrade() {
    transport_->write("+ go ahead\r\n");
    // Whatever came behind that line is no more text: a man in the middle may have put it there.
    const std::string rest = std::move(line_);
    line_.clear();
    ferry::start_tls(transport_, context_, {}, ferry::BytesView(rest))
        .add_done_callback(
            [self = shared_from_this()](ferry::Future<std::shared_ptr<ferry::TlsTransport>> done) {
              if (done.cancelled() || done.exception()) return;  // connection_lost says why
              self->tls_ = done.result();
              self->transport_ = self->tls_;
            });
  }

  void connection_lost(std::error_code error) override {
    if (error) std::fprintf(stderr, "starttls_server: %s\n", error.message().c_str());
    transport_.reset();
    tls_.reset();
  }

  std::shared_ptr<ferry::TlsContext> context_;
  std::shared_ptr<ferry::Transport> transport_;
  std::shared_ptr<ferry::TlsTransport> tls_;  // the same, once it is one
  std::string line_;
};

int run(int argc, char** argv) {
  ferry::TlsServerOptions files;
  files.identity.certificate_file = argv[1];
  files.identity.key_file = argv[2];
  const auto context = ferry::TlsContext::server(std::move(files));

  ferry::EventLoop loop;
  for (const int signal_number : {SIGINT, SIGTERM}) {
    loop.add_signal_handler(signal_number, [&loop] { loop.stop(); });
  }
  ferry::ListenOptions options{.hosts = {"127.0.0.1"}, .port = 7444};
  if (argc > 3) options.port = static_cast<std::uint16_t>(std::atoi(argv[3]));
  auto server = loop.run_until_complete(ferry::create_server(
      loop, [context] { return std::make_shared<LineServer>(context); }, std::move(options)));
  std::printf("listening on %s\n", server->sockets()[0].to_string().c_str());
  std::fflush(stdout);
  loop.run_forever();
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: starttls_server CERTIFICATE KEY [PORT]\n", stderr);
    return 2;
  }
  try {
    return run(argc, argv);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "starttls_server: %s\n", failure.what());
    return 1;
  }
}
