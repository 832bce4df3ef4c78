#include "network_suite.h"

#include <sys/socket.h>

#include <array>

namespace ferry::test {

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) {
    text[i] = static_cast<char>(static_cast<unsigned char>(i * 31 + i / 251));
  }
  return text;
}

StreamReader::StreamReader(Kernel& kernel, int fd)
    : kernel_(kernel), fd_(fd), watch_(watch(kernel, fd, ear_)) {
  ear_.then_readable = [this] { read(ear_.drain); };
  watch_->arm(Direction::read, FdWatch::Arm::if_ready);
}

void StreamReader::go_on() {
  paused = false;
  watch_->arm(Direction::read, FdWatch::Arm::if_ready);
}

void StreamReader::read(bool drain) {
  if (paused) return;
  std::array<std::byte, 16 * 1024> chunk;
  for (;;) {
    const IoResult result = kernel_.recv(fd_, chunk);
    if (result.would_block()) break;
    if (!result.ok()) {
      error = result.error;
      return;
    }
    if (result.count() == 0) {
      eof = true;
      return;
    }
    got.append(reinterpret_cast<const char*>(chunk.data()), result.count());
    sizes.push_back(result.count());
    if (!drain && result.count() < chunk.size()) break;
  }
  watch_->arm(Direction::read, FdWatch::Arm::after_would_block);
}

StreamWriter::StreamWriter(Kernel& kernel, int fd, std::string text, bool end)
    : kernel_(kernel), fd_(fd), text_(std::move(text)), end_(end), watch_(watch(kernel, fd, ear_)) {
  ear_.then_writable = [this] { write(); };
  watch_->arm(Direction::write, FdWatch::Arm::if_ready);
}

void StreamWriter::write() {
  while (!done()) {
    const IoResult result = kernel_.send(fd_, BytesView(text_).drop(sent_));
    if (result.would_block()) {
      return watch_->arm(Direction::write, FdWatch::Arm::after_would_block);
    }
    if (!result.ok()) {
      error = result.error;
      return;
    }
    sent_ += result.count();
  }
  if (end_) kernel_.shutdown(fd_, SHUT_WR);
}

void NetworkSuite::SetUp() {
  KernelSuite::SetUp();
  start_ = kernel().now();
}

void NetworkSuite::pass(Duration time) {
  timed_ = [this] { kernel().stop(); };
  kernel().set_timer(kernel().now() + time);
  kernel().run();
  timed_ = nullptr;
}

}  // namespace ferry::test
