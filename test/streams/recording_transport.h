#pragma once

#include <ferry/transport.h>

#include <string>
#include <vector>

namespace ferry::test {

/// A transport without a connection: it writes down what it is asked.
class RecordingTransport final : public Transport {
 public:
  explicit RecordingTransport(EventLoop& loop) noexcept : loop_(loop) {}

  /// "pause", "resume", "close", "abort", in order.
  std::vector<std::string> calls;

  EventLoop& loop() const noexcept override { return loop_; }
  void write(BytesView) override {}
  using Transport::writelines;
  void writelines(std::span<const BytesView>) override {}
  void write_eof() override {}
  bool can_write_eof() const noexcept override { return true; }
  void close() override {
    calls.emplace_back("close");
    closing_ = true;
  }
  void abort() override {
    calls.emplace_back("abort");
    closing_ = true;
  }
  bool is_closing() const noexcept override { return closing_; }
  void pause_reading() override {
    calls.emplace_back("pause");
    reading_ = false;
  }
  void resume_reading() override {
    calls.emplace_back("resume");
    reading_ = true;
  }
  bool is_reading() const noexcept override { return reading_ && !closing_; }
  void set_write_buffer_limits(std::optional<std::size_t>, std::optional<std::size_t>) override {}
  WriteLimits get_write_buffer_limits() const noexcept override { return {}; }
  std::size_t get_write_buffer_size() const noexcept override { return 0; }
  void set_write_hard_limit(std::size_t) override {}
  void set_protocol(std::shared_ptr<Protocol>) override {}
  std::shared_ptr<Protocol> get_protocol() const override { return nullptr; }
  const Address& sockname() const noexcept override { return address_; }
  const Address& peername() const noexcept override { return address_; }
  int native_handle() const noexcept override { return -1; }
  const Error& error() const noexcept override { return error_; }

 private:
  EventLoop& loop_;
  Address address_;
  Error error_;
  bool reading_ = true;
  bool closing_ = false;
};

}  // namespace ferry::test
