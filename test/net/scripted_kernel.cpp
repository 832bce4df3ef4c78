#include "scripted_kernel.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace ferry::test {

namespace {

IoResult failure(int error) {
  return {-1, error};
}

}  // namespace

/// A watch of the kernel below, armed afresh after a result that was made up.
class ScriptedKernel::Watch final : public FdWatch {
 public:
  Watch(ScriptedKernel& kernel, int fd, FdWatchPtr inner)
      : kernel_(kernel), fd_(fd), inner_(std::move(inner)) {
    kernel_.watches_.push_back(this);
  }

  void arm(Direction direction, Arm how) override {
    const bool lied = std::exchange(lied_[index(direction)], false);
    if (direction == Direction::write && kernel_.writes_held()) {
      held_ = true;
      return;
    }
    inner_->arm(direction, lied ? Arm::if_ready : how);
  }
  void disarm(Direction direction) override {
    if (direction == Direction::write) held_ = false;
    inner_->disarm(direction);
  }
  void close() noexcept override {
    std::erase(kernel_.watches_, this);
    delete this;
  }

  int fd() const noexcept { return fd_; }
  void made_up(Direction direction) noexcept { lied_[index(direction)] = true; }
  void retry_write() {
    if (std::exchange(held_, false)) inner_->arm(Direction::write, Arm::if_ready);
  }

 private:
  static std::size_t index(Direction direction) { return direction == Direction::read ? 0 : 1; }

  ScriptedKernel& kernel_;
  int fd_;
  FdWatchPtr inner_;
  bool lied_[2] = {false, false};
  bool held_ = false;
};

void ScriptedKernel::block_sends(std::size_t after) {
  allowance_ = after;
}

void ScriptedKernel::allow_sends(std::size_t bytes) {
  allowance_ = allowance_.value_or(0) + bytes;
  retry_writes();
}

void ScriptedKernel::release_sends() {
  allowance_.reset();
  retry_writes();
}

void ScriptedKernel::limit_next_sends(std::initializer_list<std::size_t> counts) {
  for (std::size_t count : counts) send_steps_.push_back({.limit = count});
}

void ScriptedKernel::limit_next_recvs(std::initializer_list<std::size_t> counts) {
  for (std::size_t count : counts) recv_steps_.push_back({.limit = count});
}

FdWatchPtr ScriptedKernel::watch(int fd, FdWatch::Listener& listener, std::error_code& error) {
  FdWatchPtr below = inner().watch(fd, listener, error);
  if (!below) return nullptr;
  return FdWatchPtr(new Watch(*this, fd, std::move(below)));
}

IoResult ScriptedKernel::accept(int fd, Address& peer) {
  if (!accept_errors_.empty()) {
    const int error = accept_errors_.front();
    accept_errors_.pop_front();
    made_up(fd, Direction::read);
    return failure(error);
  }
  return inner().accept(fd, peer);
}

IoResult ScriptedKernel::recv(int fd, MutableBytes into) {
  ++recv_calls_;
  if (recv_steps_.empty()) return inner().recv(fd, into);
  const Step step = recv_steps_.front();
  recv_steps_.pop_front();
  made_up(fd, Direction::read);
  if (step.error != 0) return failure(step.error);
  return inner().recv(fd, into.first(std::min(into.size(), *step.limit)));
}

IoResult ScriptedKernel::send(int fd, BytesView bytes) {
  return scripted_send(fd, std::span(&bytes, 1), false);
}

IoResult ScriptedKernel::send_pieces(int fd, std::span<const BytesView> pieces) {
  return scripted_send(fd, pieces, true);
}

IoResult ScriptedKernel::scripted_send(int fd, std::span<const BytesView> pieces, bool gathered) {
  ++send_calls_;
  most_pieces_ = std::max(most_pieces_, pieces.size());
  std::optional<std::size_t> limit = allowance_;
  if (!send_steps_.empty()) {
    const Step step = send_steps_.front();
    send_steps_.pop_front();
    if (step.error != 0) {
      made_up(fd, Direction::write);
      return failure(step.error);
    }
    limit = limit ? std::min(*limit, *step.limit) : step.limit;
  }
  IoResult result;
  if (!limit) {
    result = gathered ? inner().send_pieces(fd, pieces) : inner().send(fd, pieces[0]);
  } else {
    made_up(fd, Direction::write);
    if (*limit == 0) return failure(EAGAIN);
    std::vector<BytesView> cut;
    std::size_t left = *limit;
    for (BytesView piece : pieces) {
      if (left == 0) break;
      cut.push_back(piece.first(left));
      left -= cut.back().size();
    }
    result = gathered ? inner().send_pieces(fd, cut) : inner().send(fd, cut[0]);
  }
  if (result.ok()) {
    sent_.push_back(result.count());
    if (allowance_) *allowance_ -= result.count();
  }
  return result;
}

IoResult ScriptedKernel::pipe(int& read_end, int& write_end) {
  ++pipe_calls_;
  if (pipe_error_ != 0) return failure(pipe_error_);
  ++pipes_opened_;
  return inner().pipe(read_end, write_end);
}

IoResult ScriptedKernel::splice_in(int socket, int pipe, std::size_t count) {
  if (splice_in_error_ != 0) return failure(splice_in_error_);
  if (recv_steps_.empty()) return inner().splice_in(socket, pipe, count);
  const Step step = recv_steps_.front();
  recv_steps_.pop_front();
  made_up(socket, Direction::read);
  if (step.error != 0) return failure(step.error);
  return inner().splice_in(socket, pipe, std::min(count, *step.limit));
}

IoResult ScriptedKernel::splice_out(int pipe, int socket, std::size_t count) {
  ++send_calls_;
  if (splice_out_error_ != 0) {
    if (on_splice_out_refused) on_splice_out_refused();
    return failure(splice_out_error_);
  }
  std::size_t most = std::min(count, allowance_.value_or(count));
  if (!send_steps_.empty()) {
    const Step step = send_steps_.front();
    send_steps_.pop_front();
    if (step.error != 0) {
      made_up(socket, Direction::write);
      return failure(step.error);
    }
    most = std::min(most, *step.limit);
  }
  if (most < count) made_up(socket, Direction::write);
  if (most == 0) return failure(EAGAIN);
  const IoResult result = inner().splice_out(pipe, socket, most);
  if (result.ok()) {
    spliced_ += result.count();
    sent_.push_back(result.count());
    if (allowance_) *allowance_ -= result.count();
  }
  return result;
}

IoResult ScriptedKernel::recv_datagrams(int fd, std::span<IncomingDatagram> into) {
  ++recv_calls_;
  if (recv_steps_.empty()) return inner().recv_datagrams(fd, into);
  const Step step = recv_steps_.front();
  recv_steps_.pop_front();
  made_up(fd, Direction::read);
  if (step.error != 0) return failure(step.error);
  return inner().recv_datagrams(fd, into.first(std::min(into.size(), *step.limit)));
}

IoResult ScriptedKernel::send_datagrams(int fd, std::span<const OutgoingDatagram> datagrams) {
  ++send_calls_;
  most_pieces_ = std::max(most_pieces_, datagrams.size());
  std::size_t most = std::min(datagrams.size(), allowance_.value_or(datagrams.size()));
  if (!send_steps_.empty()) {
    const Step step = send_steps_.front();
    send_steps_.pop_front();
    if (step.error != 0) {
      made_up(fd, Direction::write);
      return failure(step.error);
    }
    most = std::min(most, *step.limit);
  }
  if (most < datagrams.size()) made_up(fd, Direction::write);
  if (most == 0) return failure(EAGAIN);
  const IoResult result = inner().send_datagrams(fd, datagrams.first(most));
  if (result.ok()) {
    sent_.push_back(result.count());
    if (allowance_) *allowance_ -= result.count();
  }
  return result;
}

IoResult ScriptedKernel::shutdown(int fd, int how) {
  shutdowns_.push_back(how);
  if (const int error = std::exchange(shutdown_error_, 0)) return {-1, error};
  return inner().shutdown(fd, how);
}

bool ScriptedKernel::refuses_option(int level, int name) const {
  return std::find(refused_options_.begin(), refused_options_.end(), std::pair(level, name)) !=
         refused_options_.end();
}

IoResult ScriptedKernel::set_option(int fd, int level, int name, int value) {
  if (refuses_option(level, name)) return failure(ENOPROTOOPT);
  return inner().set_option(fd, level, name, value);
}

IoResult ScriptedKernel::get_option(int fd, int level, int name, int& value) {
  if (refuses_option(level, name)) return failure(ENOPROTOOPT);
  return inner().get_option(fd, level, name, value);
}

void ScriptedKernel::made_up(int fd, Direction direction) {
  for (Watch* watch : watches_) {
    if (watch->fd() == fd) watch->made_up(direction);
  }
}

void ScriptedKernel::retry_writes() {
  // A copy: a watch may close while another is armed.
  for (Watch* watch : std::vector<Watch*>(watches_)) watch->retry_write();
}

}  // namespace ferry::test
