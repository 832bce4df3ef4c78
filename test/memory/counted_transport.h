#pragma once

#include "counting_new.h"

#include <ferry/transport.h>

#include <memory>
#include <utility>

namespace ferry::test {

/// For a protocol whose own allocations do not count (see counting_new.h): its transport, whose
/// allocations do.
class CountedTransport final : public Transport {
 public:
  explicit CountedTransport(std::shared_ptr<Transport> inner) : inner_(std::move(inner)) {}

  EventLoop& loop() const noexcept override { return inner_->loop(); }
  void write(BytesView data) override {
    counted([&] { inner_->write(data); });
  }
  void writelines(std::span<const BytesView> pieces) override {
    counted([&] { inner_->writelines(pieces); });
  }
  void write_eof() override {
    counted([&] { inner_->write_eof(); });
  }
  bool can_write_eof() const noexcept override { return inner_->can_write_eof(); }
  void close() override {
    counted([&] { inner_->close(); });
  }
  void abort() override {
    counted([&] { inner_->abort(); });
  }
  bool is_closing() const noexcept override { return inner_->is_closing(); }
  void pause_reading() override {
    counted([&] { inner_->pause_reading(); });
  }
  void resume_reading() override {
    counted([&] { inner_->resume_reading(); });
  }
  bool is_reading() const noexcept override { return inner_->is_reading(); }
  void set_write_buffer_limits(std::optional<std::size_t> high,
                               std::optional<std::size_t> low) override {
    counted([&] { inner_->set_write_buffer_limits(high, low); });
  }
  WriteLimits get_write_buffer_limits() const noexcept override {
    return inner_->get_write_buffer_limits();
  }
  std::size_t get_write_buffer_size() const noexcept override {
    return inner_->get_write_buffer_size();
  }
  void set_write_hard_limit(std::size_t bytes) override {
    counted([&] { inner_->set_write_hard_limit(bytes); });
  }
  void set_protocol(std::shared_ptr<Protocol> protocol) override {
    counted([&] { inner_->set_protocol(std::move(protocol)); });
  }
  std::shared_ptr<Protocol> get_protocol() const override { return inner_->get_protocol(); }
  const Address& sockname() const noexcept override {
    return counted([&]() -> const Address& { return inner_->sockname(); });
  }
  const Address& peername() const noexcept override { return inner_->peername(); }
  int native_handle() const noexcept override { return inner_->native_handle(); }
  const Error& error() const noexcept override { return inner_->error(); }

 private:
  std::shared_ptr<Transport> inner_;
};

}  // namespace ferry::test
