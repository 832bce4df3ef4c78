// TCP echo on Asio's callbacks, as its examples write it: the sessions of the async echo server;
// with --message the write queue of the chat server, one async_write for each message.
#include <algorithm>
#include <asio.hpp>
#include <csignal>
#include <cstring>
#include <deque>
#include <exception>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "options.h"

namespace {

using asio::ip::tcp;

constexpr std::size_t kChunk = 64 * 1024;
constexpr std::size_t kHighWater = 64 * 1024;
constexpr std::size_t kLowWater = 16 * 1024;

class ChunkSession : public std::enable_shared_from_this<ChunkSession> {
 public:
  explicit ChunkSession(tcp::socket socket) : socket_(std::move(socket)) {}

  void read() {
    socket_.async_read_some(asio::buffer(data_, kChunk),
                            [self = shared_from_this()](std::error_code error, std::size_t size) {
                              if (!error) self->write(size);
                            });
  }

 private:
  void write(std::size_t size) {
    asio::async_write(socket_, asio::buffer(data_, size),
                      [self = shared_from_this()](std::error_code error, std::size_t) {
                        if (!error) self->read();
                      });
  }

  tcp::socket socket_;
  char data_[kChunk];
};

class MessageSession : public std::enable_shared_from_this<MessageSession> {
 public:
  MessageSession(tcp::socket socket, std::size_t message)
      : socket_(std::move(socket)),
        message_(message),
        capacity_(std::max(kChunk, message)),
        data_(std::make_unique_for_overwrite<char[]>(capacity_)) {}

  void read() {
    socket_.async_read_some(asio::buffer(data_.get() + size_, capacity_ - size_),
                            [self = shared_from_this()](std::error_code error, std::size_t size) {
                              if (!error) self->received(size);
                            });
  }

 private:
  void received(std::size_t size) {
    size_ += size;
    std::size_t used = 0;
    for (; size_ - used >= message_; used += message_) {
      deliver(std::string(data_.get() + used, message_));
    }
    size_ -= used;
    std::memmove(data_.get(), data_.get() + used, size_);
    paused_ = queue_.size() * message_ > kHighWater;
    if (!paused_) read();
  }

  void deliver(std::string message) {
    const bool writing = !queue_.empty();
    queue_.push_back(std::move(message));
    if (!writing) write();
  }

  void write() {
    asio::async_write(socket_, asio::buffer(queue_.front()),
                      [self = shared_from_this()](std::error_code error, std::size_t) {
                        if (!error) self->written();
                      });
  }

  void written() {
    queue_.pop_front();
    if (!queue_.empty()) write();
    if (paused_ && queue_.size() * message_ <= kLowWater) {
      paused_ = false;
      read();
    }
  }

  tcp::socket socket_;
  std::size_t message_;
  std::size_t capacity_;
  std::unique_ptr<char[]> data_;
  std::size_t size_ = 0;
  std::deque<std::string> queue_;
  bool paused_ = false;
};

void accept(tcp::acceptor& acceptor, std::size_t message) {
  acceptor.async_accept([&acceptor, message](std::error_code error, tcp::socket socket) {
    if (!error) {
      socket.set_option(tcp::no_delay(true), error);
      if (message == 0) {
        // Not make_shared, which would zero the whole buffer.
        std::shared_ptr<ChunkSession>(new ChunkSession(std::move(socket)))->read();
      } else {
        std::make_shared<MessageSession>(std::move(socket), message)->read();
      }
    }
    accept(acceptor, message);
  });
}

}  // namespace

int main(int argc, char** argv) {
  const PeerOptions options = peer_options(argc, argv);
  try {
    asio::io_context context(1);
    asio::signal_set signals(context, SIGTERM, SIGINT);
    signals.async_wait([&context](std::error_code, int) { context.stop(); });
    tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), options.port});
    peer_listening(acceptor.local_endpoint().port());
    accept(acceptor, options.message);
    context.run();
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
