#include <ferry/pipe_pool.h>

#include <algorithm>
#include <cerrno>

namespace ferry {

PooledPipe::~PooledPipe() {
  if (pool_) pool_->take_back({read_end_, write_end_}, held_ == 0);
}

IoResult PooledPipe::fill(int socket) {
  if (held_ >= PipePool::kPipeSize) return {-1, EAGAIN};
  const IoResult r = pool_->kernel_.splice_in(socket, write_end_, PipePool::kPipeSize - held_);
  if (r.ok()) held_ += r.count();
  return r;
}

IoResult PooledPipe::empty_into(int socket) {
  const IoResult r = pool_->kernel_.splice_out(read_end_, socket, held_);
  if (r.ok()) held_ -= r.count();
  return r;
}

IoResult PooledPipe::read(MutableBytes into) {
  const IoResult r = pool_->kernel_.read(read_end_, into.first(std::min(into.size(), held_)));
  if (r.ok()) held_ -= r.count();
  return r;
}

PooledPipe PipePool::take() {
  PooledPipe pipe;
  if (lent_ == kMostLent) return pipe;
  Ends ends{-1, -1};
  if (!idle_.empty()) {
    ends = idle_.back();
    idle_.pop_back();
  } else {
    idle_.reserve(kMostIdle);  // so that taking back cannot fail
    if (!kernel_.pipe(ends.read, ends.write).ok()) return pipe;
    // One that stays small, because this user has too much in pipes already, is slower than
    // copying.
    if (!kernel_.set_pipe_size(ends.write, kPipeSize).ok()) {
      close(ends);
      return pipe;
    }
  }
  pipe.pool_ = this;
  pipe.read_end_ = ends.read;
  pipe.write_end_ = ends.write;
  ++lent_;
  return pipe;
}

void PipePool::take_back(Ends ends, bool reusable) noexcept {
  --lent_;
  if (reusable && idle_.size() < kMostIdle) {
    idle_.push_back(ends);
  } else {
    close(ends);
  }
}

void PipePool::close(Ends ends) noexcept {
  kernel_.close(ends.read);
  kernel_.close(ends.write);
}

void PipePool::clear() noexcept {
  for (const Ends ends : std::exchange(idle_, {})) close(ends);
}

}  // namespace ferry
