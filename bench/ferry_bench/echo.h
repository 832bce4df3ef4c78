#pragma once

#include "pipes.h"

#include <ferry/net.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace ferry::bench {

/// What all echo protocols do: answer, and stop reading while the peer does not take the answers.
template <class Base>
class Echo : public Base, public PipeUser {
 public:
  void connection_made(std::shared_ptr<Transport> transport) override {
    reader_ = std::move(transport);
    if (!writer_) writer_ = reader_;
  }
  void pause_writing() override { reader_->pause_reading(); }
  void resume_writing() override { reader_->resume_reading(); }
  void connection_lost(std::error_code) override { writer_->close(); }

  void writes_to(std::shared_ptr<Transport> writer) override { writer_ = std::move(writer); }

 protected:
  /// One message, or one chunk where there are no messages.
  void handle(BytesView message) { writer_->write(message); }
  /// Handles the whole messages at the front of `bytes`; returns how many bytes those are.
  std::size_t handle_all(BytesView bytes, std::size_t size) {
    std::size_t done = 0;
    for (; bytes.size() - done >= size; done += size) handle({bytes.data() + done, size});
    return done;
  }

 private:
  std::shared_ptr<Transport> reader_;
  std::shared_ptr<Transport> writer_;  // the same one, but for pipes
};

class EchoChunks final : public Echo<Protocol> {
 public:
  void data_received(BytesView data) override { handle(data); }
};

class EchoMessages final : public Echo<Protocol> {
 public:
  explicit EchoMessages(std::size_t size) : size_(size) {}

  void data_received(BytesView data) override {
    if (!begun_.empty()) {
      const BytesView rest = data.first(size_ - begun_.size());
      begun_.append(rest);
      data = data.drop(rest.size());
      if (begun_.size() < size_) return;
      handle(begun_);
      begun_.clear();
    }
    data = data.drop(handle_all(data, size_));
    if (!data.empty()) begun_.append(data);
  }

 private:
  std::size_t size_;
  Buffer begun_;  // the first bytes of a message whose end has not come
};

/// Both kinds on BufferedProtocol: the transport reads straight into this object's memory.
class BufferedEcho final : public Echo<BufferedProtocol> {
 public:
  /// `size` 0: chunks.
  explicit BufferedEcho(std::size_t size) : size_(size), memory_(std::max(size, kMemory)) {}

  MutableBytes get_buffer(std::size_t) override { return MutableBytes(memory_).subspan(filled_); }
  void buffer_updated(std::size_t size) override {
    filled_ += size;
    const BytesView content(memory_.data(), filled_);
    std::size_t done = filled_;
    if (size_ == 0) {
      handle(content);
    } else {
      done = handle_all(content, size_);
    }
    filled_ -= done;
    // Less than a message: the next read goes behind it.
    if (done > 0 && filled_ > 0) std::memmove(memory_.data(), memory_.data() + done, filled_);
  }

 private:
  static constexpr std::size_t kMemory = 64 * 1024;

  std::size_t size_;
  std::size_t filled_ = 0;
  std::vector<std::byte> memory_;
};

/// Sends each datagram back to where it came from.
class EchoDatagrams final : public DatagramProtocol {
 public:
  void connection_made(std::shared_ptr<DatagramTransport> transport) override {
    transport_ = std::move(transport);
  }
  void datagram_received(BytesView data, const DatagramInfo& info) override {
    transport_->sendto(data, info.peer);
  }
  void pause_writing() override { transport_->pause_reading(); }
  void resume_writing() override { transport_->resume_reading(); }

 private:
  std::shared_ptr<DatagramTransport> transport_;
};

}  // namespace ferry::bench
