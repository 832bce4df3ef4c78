#include "transport_maker.h"

#include "socket_pair.h"
#include "test_certificates.h"

#include <ferry/server.h>
#include <ferry/testing/memory_pair.h>
#include <ferry/tls.h>
#include <ferry/wraps.h>

#include <sys/socket.h>

#include <stdexcept>
#include <utility>

namespace ferry::test {

namespace {

/// Gives `protocol` to the one connection there will be.
ProtocolFactory giving(std::shared_ptr<Protocol> protocol) {
  return [protocol = std::move(protocol)] { return protocol; };
}

/// Waits for both ends of the first connection of `server`, then lets the server go.
Ends both_ends(TransportMaker::Run& run, Server& server, Future<Connection<>> client,
               std::shared_ptr<Transport>& accepted) {
  run([&] { return client.done() && accepted; });
  server.close();
  return {client.result().transport, std::move(accepted)};
}

/// Passes everything on to the protocol of the accepted side, after noting its transport.
ProtocolWrap noting(std::shared_ptr<Transport>& accepted) {
  class Note final : public Protocol {
   public:
    Note(std::shared_ptr<Protocol> next, std::shared_ptr<Transport>& accepted)
        : next_(std::move(next)), accepted_(accepted) {}
    void connection_made(std::shared_ptr<Transport> transport) override {
      accepted_ = transport;
      transport->set_protocol(next_);
      next_->connection_made(std::move(transport));
    }

   private:
    std::shared_ptr<Protocol> next_;
    std::shared_ptr<Transport>& accepted_;  // a local of the maker, which waits for this
  };
  return [&accepted](std::shared_ptr<Protocol> next) {
    return std::make_shared<Note>(std::move(next), accepted);
  };
}

/// What kinds over a socket have in common, for which TLS may stand on top.
class SocketMaker : public TransportMaker {
 public:
  bool unread_bytes_reset() const override { return true; }

 protected:
  /// `inner` with whatever this kind puts below it.
  virtual ProtocolWrap server_wrap(ProtocolWrap inner) { return inner; }
  virtual ProtocolWrap client_wrap() { return nullptr; }
};

class TcpMaker : public SocketMaker {
 public:
  Ends connect(EventLoop& loop, Run run, std::shared_ptr<Protocol> near,
               std::shared_ptr<Protocol> far) override {
    std::shared_ptr<Transport> accepted;
    ListenOptions listen;
    listen.hosts = {"127.0.0.1"};
    listen.wrap = server_wrap(noting(accepted));
    auto server = create_server(loop, giving(std::move(far)), std::move(listen));
    run([&] { return server.done(); });
    ConnectOptions options;
    options.host = "127.0.0.1";
    options.port = server.result()->port();
    options.wrap = client_wrap();
    auto client = create_connection(loop, giving(std::move(near)), std::move(options));
    return both_ends(run, *server.result(), std::move(client), accepted);
  }

  Future<Connection<>> connect_to_nobody(EventLoop& loop, ProtocolFactory factory) override {
    // Bound but not listening: it refuses, and until then nobody else can take its port.
    Kernel& kernel = loop.kernel();
    Socket refuses(kernel, kernel.socket(AF_INET, SOCK_STREAM, 0).fd());
    Address bound;
    if (!kernel.bind(refuses.get(), Address::loopback(0)).ok() ||
        !kernel.local_address(refuses.get(), bound).ok()) {
      throw std::runtime_error("connect_to_nobody: no port");
    }
    ConnectOptions options;
    options.host = "127.0.0.1";
    options.port = bound.port();
    auto future = create_connection(loop, std::move(factory), std::move(options));
    future.add_done_callback([held = std::move(refuses)] {});
    return future;
  }
};

class UnixMaker : public SocketMaker {
 public:
  Ends connect(EventLoop& loop, Run run, std::shared_ptr<Protocol> near,
               std::shared_ptr<Protocol> far) override {
    std::shared_ptr<Transport> accepted;
    UnixListenOptions listen;
    listen.path = unused_unix_address().path();
    listen.wrap = server_wrap(noting(accepted));
    UnixConnectOptions options;
    options.path = listen.path;
    options.wrap = client_wrap();
    auto server = create_unix_server(loop, giving(std::move(far)), std::move(listen));
    run([&] { return server.done(); });
    auto client = create_unix_connection(loop, giving(std::move(near)), std::move(options));
    return both_ends(run, *server.result(), std::move(client), accepted);
  }

  Future<Connection<>> connect_to_nobody(EventLoop& loop, ProtocolFactory factory) override {
    UnixConnectOptions options;
    options.path = unused_unix_address().path();
    return create_unix_connection(loop, std::move(factory), std::move(options));
  }
};

/// TLS over sockets, and over itself.
template <class Sockets, int kLayers>
class TlsMaker final : public Sockets {
 public:
  WriteLimits limits() const override { return TlsTransport::kDefaultLimits; }
  std::size_t most_unpaused() const override { return limits().high - 1; }

 protected:
  ProtocolWrap server_wrap(ProtocolWrap inner) override {
    for (int layer = 0; layer < kLayers; ++layer) {
      inner = inside(tls_server(server_), std::move(inner));
    }
    return inner;
  }
  ProtocolWrap client_wrap() override {
    // A unix socket has no host to be checked.
    const TlsOptions options{.server_hostname = "localhost"};
    ProtocolWrap wrap = tls_client(client_, options);
    for (int layer = 1; layer < kLayers; ++layer) {
      wrap = inside(tls_client(client_, options), std::move(wrap));
    }
    return wrap;
  }

 private:
  static ProtocolWrap inside(ProtocolWrap outer, ProtocolWrap inner) {
    return [outer = std::move(outer),
            inner = std::move(inner)](std::shared_ptr<Protocol> protocol) mutable {
      return outer(inner(std::move(protocol)));
    };
  }

  std::shared_ptr<TlsContext> server_ = server_context();
  std::shared_ptr<TlsContext> client_ = client_context();
};

/// TCP with wraps.
class WrapMaker : public TcpMaker {
 public:
  WrapMaker(ProtocolWrap server, ProtocolWrap client)
      : server_(std::move(server)), client_(std::move(client)) {}

 protected:
  ProtocolWrap server_wrap(ProtocolWrap inner) override { return stacked({server_, inner}); }
  ProtocolWrap client_wrap() override { return client_; }

 private:
  ProtocolWrap server_;
  ProtocolWrap client_;
};

class IdleMaker final : public WrapMaker {
 public:
  IdleMaker() : WrapMaker(idle_limit(kLong), idle_limit(kLong)) {}
  static constexpr Duration kLong = std::chrono::hours(1);
};

/// So fast that it is the kernel's buffers that fill up.
ProtocolWrap fast_rate() {
  constexpr std::size_t kMuch = std::size_t{4} << 30;
  return rate_limit({.read = {kMuch, kMuch}, .write = {kMuch, kMuch}});
}

class RateMaker final : public WrapMaker {
 public:
  RateMaker() : WrapMaker(fast_rate(), fast_rate()) {}
};

/// A rate below TLS, an idle limit above it.
class RateTlsIdleMaker final : public WrapMaker {
 public:
  RateTlsIdleMaker()
      : WrapMaker(
            stacked({fast_rate(), tls_server(server_context()), idle_limit(IdleMaker::kLong)}),
            stacked({fast_rate(), tls_client(client_context()), idle_limit(IdleMaker::kLong)})) {}
  WriteLimits limits() const override { return TlsTransport::kDefaultLimits; }
  std::size_t most_unpaused() const override { return limits().high - 1; }
};

/// Joined in memory; a connection to nobody is TCP's.
class MemoryMaker : public TcpMaker {
 public:
  Ends connect(EventLoop& loop, Run run, std::shared_ptr<Protocol> near,
               std::shared_ptr<Protocol> far) override {
    const auto ends = testing::join_in_memory(loop, std::move(near), std::move(far), options());
    run([&] { return ends.near.done() && ends.far.done(); });
    return {ends.near.result().transport, ends.far.result().transport};
  }

 protected:
  virtual testing::MemoryPairOptions options() { return {}; }
};

/// The same through a network that cuts what is larger than a packet.
class MemoryPiecesMaker final : public MemoryMaker {
 protected:
  testing::MemoryPairOptions options() override {
    return {.link = testing::SimLink{.pieces = testing::SimLink::Pieces::fixed}};
  }
};

/// TLS in memory.
class MemoryTlsMaker final : public MemoryMaker {
 public:
  WriteLimits limits() const override { return TlsTransport::kDefaultLimits; }
  std::size_t most_unpaused() const override { return limits().high - 1; }

 protected:
  testing::MemoryPairOptions options() override {
    return {.near_wrap = tls_client(client_context(), {.server_hostname = "localhost"}),
            .far_wrap = tls_server(server_context())};
  }
};

template <class Maker>
std::unique_ptr<TransportMaker> make() {
  return std::make_unique<Maker>();
}

}  // namespace

const std::vector<TransportKind>& transport_kinds() {
  static const std::vector<TransportKind> kinds{{"Idle", make<IdleMaker>},
                                                {"Memory", make<MemoryMaker>, true},
                                                {"MemoryPieces", make<MemoryPiecesMaker>, true},
                                                {"MemoryTls", make<MemoryTlsMaker>, true},
                                                {"Rate", make<RateMaker>},
                                                {"RateTlsIdle", make<RateTlsIdleMaker>},
                                                {"Tcp", make<TcpMaker>},
                                                {"Unix", make<UnixMaker>},
                                                {"Tls", make<TlsMaker<TcpMaker, 1>>},
                                                {"TlsInTls", make<TlsMaker<TcpMaker, 2>>},
                                                {"TlsOverUnix", make<TlsMaker<UnixMaker, 1>>}};
  return kinds;
}

}  // namespace ferry::test
