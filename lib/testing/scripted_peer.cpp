#include <ferry/testing/scripted_peer.h>

#include "script.h"

#include <netinet/in.h>

#include <stdexcept>
#include <utility>

namespace ferry::testing {

namespace {

using Kind = ScriptStep::Kind;

void require(const IoResult& result, const char* operation, const Address& address) {
  if (!result.ok()) throw IoError({result.code(), operation, address});
}

/// The one connection's protocol. Neither a server nor a connect keeps it alive.
ProtocolFactory giving(const std::shared_ptr<Script>& script) {
  return [weak = std::weak_ptr(script)]() -> std::shared_ptr<Protocol> {
    if (auto there = weak.lock()) return there;
    return std::make_shared<Protocol>();
  };
}

}  // namespace

ScriptedPeer::ScriptedPeer(Duration limit) : script_(std::make_shared<Script>(limit)) {}
ScriptedPeer::ScriptedPeer(ScriptedPeer&&) noexcept = default;
ScriptedPeer& ScriptedPeer::operator=(ScriptedPeer&& other) noexcept {
  std::swap(script_, other.script_);
  return *this;
}
ScriptedPeer::~ScriptedPeer() {
  if (script_) script_->give_up();
}

ScriptedPeer& ScriptedPeer::expect(BytesView bytes) {
  script_->add({.kind = Kind::expect, .bytes = std::string(bytes.text())});
  return *this;
}
ScriptedPeer& ScriptedPeer::take(std::size_t size, std::string* into) {
  script_->add({.kind = Kind::take, .size = size, .into = into});
  return *this;
}
ScriptedPeer& ScriptedPeer::take_until(std::string_view end, std::string* into) {
  if (end.empty()) throw std::invalid_argument("take_until: the end is empty");
  script_->add({.kind = Kind::take_until, .bytes = std::string(end), .into = into});
  return *this;
}
ScriptedPeer& ScriptedPeer::expect_eof() {
  script_->add({.kind = Kind::expect_eof});
  return *this;
}
ScriptedPeer& ScriptedPeer::expect_reset() {
  script_->add({.kind = Kind::expect_reset});
  return *this;
}
ScriptedPeer& ScriptedPeer::expect_silence(Duration time) {
  script_->add({.kind = Kind::expect_silence, .time = time});
  return *this;
}
ScriptedPeer& ScriptedPeer::send(BytesView bytes) {
  script_->add({.kind = Kind::send, .bytes = std::string(bytes.text())});
  return *this;
}
ScriptedPeer& ScriptedPeer::send_slowly(BytesView bytes, Duration pause, std::size_t piece) {
  if (piece == 0) throw std::invalid_argument("send_slowly: the pieces are empty");
  script_->add({.kind = Kind::send_slowly,
                .bytes = std::string(bytes.text()),
                .size = piece,
                .time = pause});
  return *this;
}
ScriptedPeer& ScriptedPeer::shutdown() {
  script_->add({.kind = Kind::shutdown});
  return *this;
}
ScriptedPeer& ScriptedPeer::close() {
  script_->add({.kind = Kind::close});
  return *this;
}
ScriptedPeer& ScriptedPeer::reset() {
  script_->add({.kind = Kind::reset});
  return *this;
}
ScriptedPeer& ScriptedPeer::wait(Duration time) {
  script_->add({.kind = Kind::wait, .time = time});
  return *this;
}
ScriptedPeer& ScriptedPeer::call(Function<void()> f) {
  if (!f) throw std::invalid_argument("call: the function is empty");
  script_->add({.kind = Kind::call, .function = std::move(f)});
  return *this;
}

Address ScriptedPeer::listen(EventLoop& loop, const Address& at, ProtocolWrap wrap) {
  Kernel& kernel = loop.kernel();
  const IoResult made = kernel.socket(at.family(), SOCK_STREAM, 0);
  require(made, "socket", at);
  Socket socket(kernel, made.fd());
  require(kernel.bind(socket.get(), at), "bind", at);
  Address address;
  require(kernel.local_address(socket.get(), address), "getsockname", at);
  const auto serve = [this](const Future<std::shared_ptr<Server>>& server) {
    script_->serve_with(server.result());  // over a socket it is there at once
  };
  if (at.is_unix()) {
    UnixListenOptions options;
    options.socket = socket.release();
    options.backlog = 1;
    options.max_connections = 1;
    options.wrap = std::move(wrap);
    serve(create_unix_server(loop, giving(script_), std::move(options)));
  } else {
    ListenOptions options;
    options.socket = socket.release();
    options.backlog = 1;
    options.max_connections = 1;
    options.wrap = std::move(wrap);
    serve(create_server(loop, giving(script_), std::move(options)));
  }
  script_->expect_connection(loop);
  return address;
}

void ScriptedPeer::connect(EventLoop& loop, const Address& to, ProtocolWrap wrap) {
  script_->expect_connection(loop);
  const auto begin = [&]() -> Future<Connection<>> {
    if (to.is_unix()) {
      UnixConnectOptions options;
      options.path = to.path();
      options.wrap = std::move(wrap);
      return create_unix_connection(loop, giving(script_), std::move(options));
    }
    ConnectOptions options;
    options.host = to.host();
    options.port = to.port();
    options.wrap = std::move(wrap);
    return create_connection(loop, giving(script_), std::move(options));
  };
  Future<Connection<>> connecting = begin();
  connecting.add_done_callback([weak = std::weak_ptr(script_)](const Future<Connection<>>& future) {
    const auto script = weak.lock();
    try {
      future.result();
    } catch (const CancelledError&) {
      // by the script
    } catch (const std::exception& error) {
      if (script) script->fail(error.what());
    }
  });
  script_->connect_with(std::move(connecting));
}

std::shared_ptr<Protocol> ScriptedPeer::protocol() const {
  return script_;
}
std::shared_ptr<Transport> ScriptedPeer::transport() const {
  return script_->transport();
}
bool ScriptedPeer::done() const noexcept {
  return script_->done();
}
Future<bool> ScriptedPeer::finished(EventLoop& loop) {
  return script_->finished(loop);
}
std::string ScriptedPeer::complaint() const {
  return script_->complaint();
}

}  // namespace ferry::testing
