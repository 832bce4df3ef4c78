#include "far_side.h"

#include "test_certificates.h"
#include "tls_peer.h"

#include <ferry/tls.h>

#include <utility>

namespace ferry::test {

namespace {

class PlainSide final : public FarSide {
 public:
  explicit PlainSide(std::shared_ptr<FarEnd> end) : end_(std::move(end)) {}
  ProtocolWrap wrap() override { return {}; }
  void pump() override { end_->pump(); }
  void send(std::string_view bytes) override { end_->send(BytesView(bytes)); }
  void send_eof() override { end_->shutdown_write(); }
  void close() override { end_->close(); }

 private:
  std::shared_ptr<FarEnd> end_;
};

class TlsSide final : public FarSide {
 public:
  explicit TlsSide(FarEnd& end) : peer_(std::move(end), TlsPeer::Side::client) {}
  ProtocolWrap wrap() override {
    TlsOptions options;
    options.half_close = true;  // as without TLS
    return tls_server(server_context(), options);
  }
  void pump() override { peer_.pump(); }
  void send(std::string_view bytes) override {
    peer_.write(BytesView(bytes));
    peer_.pump();
  }
  void send_eof() override {
    peer_.send_close_notify();
    peer_.pump();
  }
  void close() override { peer_.socket().close(); }

 private:
  TlsPeer peer_;
};

}  // namespace

std::unique_ptr<FarSide> plain_far_side(std::shared_ptr<FarEnd> end) {
  return std::make_unique<PlainSide>(std::move(end));
}

std::unique_ptr<FarSide> tls_far_side(std::shared_ptr<FarEnd> end) {
  return std::make_unique<TlsSide>(*end);
}

}  // namespace ferry::test
