// TLS echo on asio::ssl::stream and callbacks, as Asio's SSL example writes it: handshake, then
// read some, write it, read again; shut down when the peer has.
#include <asio.hpp>
#include <asio/ssl.hpp>
#include <csignal>
#include <exception>
#include <iostream>
#include <memory>
#include <utility>

#include "options.h"

namespace {

using asio::ip::tcp;

constexpr std::size_t kChunk = 64 * 1024;

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, asio::ssl::context& context) : stream_(std::move(socket), context) {}

  void start() {
    stream_.async_handshake(asio::ssl::stream_base::server,
                            [self = shared_from_this()](std::error_code error) {
                              if (!error) self->read();
                            });
  }

 private:
  void read() {
    stream_.async_read_some(asio::buffer(data_, kChunk),
                            [self = shared_from_this()](std::error_code error, std::size_t size) {
                              if (!error) return self->write(size);
                              if (error == asio::error::eof) self->shut_down();
                            });
  }
  void write(std::size_t size) {
    asio::async_write(stream_, asio::buffer(data_, size),
                      [self = shared_from_this()](std::error_code error, std::size_t) {
                        if (!error) self->read();
                      });
  }
  void shut_down() {
    stream_.async_shutdown([self = shared_from_this()](std::error_code) {});
  }

  asio::ssl::stream<tcp::socket> stream_;
  char data_[kChunk];
};

void accept(tcp::acceptor& acceptor, asio::ssl::context& context) {
  acceptor.async_accept([&acceptor, &context](std::error_code error, tcp::socket socket) {
    if (!error) {
      socket.set_option(tcp::no_delay(true), error);
      // Not make_shared, which would zero the whole buffer.
      std::shared_ptr<Session>(new Session(std::move(socket), context))->start();
    }
    accept(acceptor, context);
  });
}

}  // namespace

int main(int argc, char** argv) {
  const PeerOptions options = peer_tls_options(argc, argv);
  try {
    asio::ssl::context tls(asio::ssl::context::tls_server);
    tls.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                    asio::ssl::context::no_tlsv1_1);
    tls.use_certificate_chain_file(options.certificate);
    tls.use_private_key_file(options.key, asio::ssl::context::pem);
    SSL_CTX_set_session_cache_mode(tls.native_handle(), SSL_SESS_CACHE_OFF);

    asio::io_context context(1);
    asio::signal_set signals(context, SIGTERM, SIGINT);
    signals.async_wait([&context](std::error_code, int) { context.stop(); });
    tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), options.port});
    peer_listening(acceptor.local_endpoint().port());
    accept(acceptor, tls);
    context.run();
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
