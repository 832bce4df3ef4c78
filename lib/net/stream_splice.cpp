#include "stream_splice.h"

#include "poison.h"
#include "stream_transport.h"

#include <cerrno>
#include <utility>

namespace ferry {

namespace {

/// The system does not do this with these descriptors; nothing has been moved.
bool refused(const IoResult& r) noexcept {
  return r.error == EINVAL || r.error == ENOSYS || r.error == EOPNOTSUPP;
}

}  // namespace

StreamSplice& StreamTransport::splice() {
  if (!rare().splice) rare().splice = std::make_unique<StreamSplice>();
  return *rare_->splice;
}

void StreamTransport::splice_to(std::shared_ptr<StreamTransport> sink, SpliceWatcher& watcher) {
  stop_splicing();
  splice();  // what may fail comes first
  StreamSplice& at_sink = sink->splice();
  if (at_sink.source) at_sink.source->stop_splicing();
  at_sink.source = this;
  splice().sink = std::move(sink);
  rare_->splice->watcher = &watcher;
  splicing_ = true;
}

void StreamTransport::stop_splicing() {
  if (!splicing_) return;
  splicing_ = false;
  rare_->splice->watcher = nullptr;
  std::exchange(rare_->splice->sink, nullptr)->rare_->splice->source = nullptr;
  if (!std::exchange(rare_->splice->unsure, false)) return;
  readable_ = true;
  if (is_reading()) read_later();
}

/// The other protocol knows nothing of either end of it.
void StreamTransport::forget_splicing() {
  if (!rare_ || !rare_->splice) return;
  stop_splicing();
  if (rare_->splice->source) rare_->splice->source->stop_splicing();
}

/// Passes on what is there, as far as a pipe holds it.
StreamTransport::Spliced StreamTransport::splice_some() {
  const auto sink = rare_->splice->sink;
  SpliceWatcher& watcher = *rare_->splice->watcher;
  if (!sink->takes_splice()) {
    stop_splicing();
    return Spliced::by_copying;
  }
  if (!sink->queue_.empty()) return Spliced::by_copying;  // it must come behind that
  PooledPipe& pipe = sink->rare_->splice->pipe;
  if (!pipe) pipe = loop().pipe_pool().take();
  if (!pipe) {
    stop_splicing();
    watcher.on_splice_ended(/*never=*/false);
    return Spliced::by_copying;
  }

  const IoResult r = pipe.fill(fd_);
  if (!r.ok() || r.value == 0) {
    if (!sink->piped_) sink->drop_pipe();
    if (r.would_block()) {
      rare_->splice->unsure = sink->piped_;
      return Spliced::nothing;
    }
    if (refused(r)) {
      stop_splicing();
      watcher.on_splice_ended(/*never=*/true);
      return Spliced::by_copying;
    }
    if (r.ok()) {
      on_eof();
    } else {
      fail(r.code(), "splice");
    }
    return Spliced::over;
  }
  sink->piped_ = true;
  const bool sent = sink->send_pipe();
  watcher.on_spliced(r.count());
  if (!sent && !sink->ending_) sink->check_high_water();
  return closing_ ? Spliced::over : Spliced::passed_on;
}

/// True if the pipe is empty now, false if the socket is full or broken.
bool StreamTransport::send_pipe() {
  while (rare_->splice->pipe.held() > 0) {
    const IoResult r = rare_->splice->pipe.empty_into(fd_);
    if (r.would_block()) {
      await_writable();
      return false;
    }
    if (refused(r)) {
      // It may be the source's turn: what cannot be kept is this connection's end, not the other's.
      bool sent = false;
      or_fail("splice", [&] { sent = unpipe(); });
      return sent;
    }
    if (!r.ok()) {
      fail(r.code(), "splice");
      return false;
    }
  }
  drop_pipe();
  return true;
}

/// What was to be spliced must be copied after all: moves it to the front of the queue.
bool StreamTransport::unpipe() {
  StreamSplice& s = *rare_->splice;
  const WriteQueue behind = std::exchange(queue_, WriteQueue());
  const MutableBytes buffer = loop().receive_buffer();
  unpoison(buffer);
  while (s.pipe.held() > 0) {
    const IoResult r = s.pipe.read(buffer);
    if (!r.ok() || r.value == 0) break;
    queue_.append(BytesView(buffer.data(), r.count()));
  }
  poison(buffer);
  const bool all = s.pipe.held() == 0;
  drop_pipe();
  if (!all) {
    fail(system_error_code(EIO), "splice");
    return false;
  }
  behind.copy_to(queue_);
  if (s.source) {
    StreamTransport& source = *s.source;
    SpliceWatcher& watcher = *source.rare_->splice->watcher;
    source.stop_splicing();
    watcher.on_splice_ended(/*never=*/true);
  }
  send_queue();
  return nothing_queued();
}

/// What it holds is lost; empty, it is there for others.
void StreamTransport::drop_pipe() {
  piped_ = false;
  rare_->splice->pipe = {};
}

/// The last byte went out of the pipe: there is room for what may have been left behind.
void StreamTransport::source_may_go_on() {
  StreamTransport* const source = rare_->splice->source;
  if (!source || !std::exchange(source->rare_->splice->unsure, false)) return;
  source->readable_ = true;
  if (source->is_reading()) source->read_later();
}

}  // namespace ferry
