#include "worker_link.h"

#include <new>

namespace ferry {

namespace {

constexpr int kReadsPerTurn = 16;

}  // namespace

std::error_code WorkerLink::attach(EventLoop& loop) {
  if (broken_ || watch_) return {};
  std::error_code error;
  watch_ = loop.kernel().watch(socket_.get(), *this, error);
  if (error) return error;
  loop_ = &loop;
  watch_->arm(Direction::read, FdWatch::Arm::if_ready);
  if (sent_ < request_.size()) watch_->arm(Direction::write, FdWatch::Arm::if_ready);
  return {};
}

void WorkerLink::detach() noexcept {
  watch_.reset();
  loop_ = nullptr;
}

void WorkerLink::give(std::string request) {
  request_ = std::move(request);
  sent_ = 0;
  busy_ = true;
  send();
}

bool WorkerLink::take_back(std::string& request) noexcept {
  if (sent_ > 0 || request_.empty()) return false;
  request = std::move(request_);
  request_.clear();
  busy_ = false;
  return true;
}

void WorkerLink::send() {
  while (sent_ < request_.size()) {
    const IoResult sent = loop_->kernel().send(socket_.get(), BytesView(request_).drop(sent_));
    if (sent.would_block()) return watch_->arm(Direction::write, FdWatch::Arm::after_would_block);
    if (!sent.ok()) return become_broken();
    sent_ += sent.count();
  }
  request_ = {};
  sent_ = 0;
}

void WorkerLink::on_readable(FdWatch::ReadEvent) {
  for (int i = 0; i < kReadsPerTurn; ++i) {
    // Whoever is told of an answer may detach this.
    if (!receive() || !watch_) return;
  }
  watch_->arm(Direction::read, FdWatch::Arm::if_ready);
}

bool WorkerLink::receive() {
  const MutableBytes place =
      answer_ ? MutableBytes{answer_.get(), static_cast<std::size_t>(header_.size)}
              : MutableBytes{reinterpret_cast<std::byte*>(&header_), sizeof header_};
  const IoResult received = loop_->kernel().recv(socket_.get(), place.subspan(received_));
  if (received.would_block()) {
    watch_->arm(Direction::read, FdWatch::Arm::after_would_block);
    return false;
  }
  if (!received.ok() || received.count() == 0 || !busy_ || !request_.empty()) {
    become_broken();
    return false;
  }
  received_ += received.count();
  if (received_ < place.size()) return true;
  if (!answer_) {
    if (header_.size > message_limit_ + kRoomForErrors) {
      become_broken();
      return false;
    }
    answer_.reset(new (std::nothrow) std::byte[static_cast<std::size_t>(header_.size)]);
    received_ = 0;
    if (!answer_) {  // nothing may be thrown from here: it would leave the loop
      become_broken();
      return false;
    }
    if (header_.size > 0) return true;
  }
  answer_complete();
  return true;
}

void WorkerLink::answer_complete() {
  const auto answer = std::move(answer_);
  received_ = 0;
  busy_ = false;
  owner_.on_answer(*this, header_.kind, {answer.get(), static_cast<std::size_t>(header_.size)});
}

void WorkerLink::drain() {
  if (broken_ || !loop_) return;
  while (!broken_ && busy_) {
    const bool more = receive();
    if (!more) break;
  }
  broken_ = true;
  watch_.reset();
}

void WorkerLink::become_broken() {
  if (broken_) return;
  broken_ = true;
  watch_.reset();
  owner_.on_broken(*this);
}

}  // namespace ferry
