#include <ferry/tls_context.h>

#include "tls_state.h"

#include <mutex>
#include <stdexcept>
#include <variant>

namespace ferry {

struct TlsContext::Shared {
  const bool is_server;
  std::mutex reloading;  // one at a time; held while files are read
  std::variant<TlsClientOptions, TlsServerOptions> options;
  std::mutex mutex;  // of `state`
  std::shared_ptr<const TlsState> state;

  void replace(std::shared_ptr<const TlsState> next) {
    const std::lock_guard lock(mutex);
    state.swap(next);
  }
};

TlsContext::TlsContext(std::unique_ptr<Shared> shared) : shared_(std::move(shared)) {}
TlsContext::~TlsContext() = default;

std::shared_ptr<TlsContext> TlsContext::client(TlsClientOptions options) {
  auto state = make_client_state(options);
  auto shared =
      std::unique_ptr<Shared>(new Shared{false, {}, std::move(options), {}, std::move(state)});
  return std::shared_ptr<TlsContext>(new TlsContext(std::move(shared)));
}

std::shared_ptr<TlsContext> TlsContext::server(TlsServerOptions options) {
  auto state = make_server_state(options, nullptr);
  auto shared =
      std::unique_ptr<Shared>(new Shared{true, {}, std::move(options), {}, std::move(state)});
  return std::shared_ptr<TlsContext>(new TlsContext(std::move(shared)));
}

bool TlsContext::is_server() const noexcept {
  return shared_->is_server;
}

void TlsContext::reload() {
  const std::lock_guard lock(shared_->reloading);
  if (is_server()) {
    shared_->replace(
        make_server_state(std::get<TlsServerOptions>(shared_->options), state().get()));
  } else {
    shared_->replace(make_client_state(std::get<TlsClientOptions>(shared_->options)));
  }
}

void TlsContext::reload(TlsServerOptions options) {
  if (!is_server()) throw std::logic_error("TLS: a client's context cannot become a server's");
  const std::lock_guard lock(shared_->reloading);
  shared_->replace(make_server_state(options, state().get()));
  shared_->options = std::move(options);
}

void TlsContext::reload(TlsClientOptions options) {
  if (is_server()) throw std::logic_error("TLS: a server's context cannot become a client's");
  const std::lock_guard lock(shared_->reloading);
  shared_->replace(make_client_state(options));
  shared_->options = std::move(options);
}

std::shared_ptr<const TlsState> TlsContext::state() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->state;
}

}  // namespace ferry
