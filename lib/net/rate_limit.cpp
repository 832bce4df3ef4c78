#include "token_bucket.h"

#include <ferry/rate_limit.h>

#include <ferry/buffer.h>
#include <ferry/flow_control.h>
#include <ferry/pass_through.h>

#include <algorithm>
#include <new>
#include <optional>
#include <stdexcept>

namespace ferry {
namespace {

/// The most that is read at once.
constexpr std::size_t kChunk = 16 * 1024;
/// Writes inside a callback are gathered up to this.
constexpr std::size_t kGatherLimit = 64 * 1024;

struct Buckets {
  std::shared_ptr<TokenBucket> read;  // null: no limit
  std::shared_ptr<TokenBucket> write;

  Buckets(EventLoop& loop, const RateLimits& limits) {
    if (limits.read.bytes_per_second) read = std::make_shared<TokenBucket>(loop, limits.read);
    if (limits.write.bytes_per_second) write = std::make_shared<TokenBucket>(loop, limits.write);
  }
};

/// Reading: the layer lends the transport below no more room than there are tokens, and pauses it
/// when there are none. Writing: what has no tokens waits in the backlog. The transport below is
/// given its next bytes when the kernel has taken those before: its limits are 0 and 0.
class RateLimit final : public PassThrough {
 public:
  RateLimit(std::shared_ptr<Protocol> above, const RateLimits& limits,
            const std::optional<Buckets>& shared)
      : PassThrough(std::move(above)), limits_(limits), buckets_(shared) {}

  void connection_made(std::shared_ptr<Transport> below) override;
  void data_received(BytesView data) override;
  bool eof_received() override;
  void connection_lost(std::error_code error) override;
  void pause_writing() override { below_paused_ = true; }
  void resume_writing() override;
  BufferedProtocol* as_buffered() noexcept override {
    return buckets_->read ? &buffered() : PassThrough::as_buffered();
  }

  void write(BytesView data) override;
  void writelines(std::span<const BytesView> pieces) override;
  using Transport::writelines;
  void write_eof() override;
  void close() override;
  void abort() override;
  bool is_closing() const noexcept override { return closing_ || below().is_closing(); }
  void pause_reading() override;
  void resume_reading() override;
  bool is_reading() const noexcept override { return !paused_ && !is_closing(); }
  void set_write_buffer_limits(std::optional<std::size_t> high,
                               std::optional<std::size_t> low) override;
  WriteLimits get_write_buffer_limits() const noexcept override { return flow_.limits(); }
  std::size_t get_write_buffer_size() const noexcept override;
  void set_write_hard_limit(std::size_t bytes) override;

 private:
  class Cork;
  /// A place in a bucket's queue.
  struct Turn final : TokenBucket::Waiter {
    Turn(RateLimit& l, void (RateLimit::*c)()) : layer(l), call(c) {}
    void on_tokens() override {
      const auto alive = layer.shared_from_this();
      (layer.*call)();
    }
    RateLimit& layer;
    void (RateLimit::*call)();
  };

  MutableBytes get_buffer(std::size_t size_hint) override;
  void buffer_updated(MutableBytes into, std::size_t size) override;
  void spend_read(std::size_t size);
  void hold_reading();
  void steer_reading();

  bool over() const noexcept { return lost() || aborted() || below().is_closing(); }
  void flush();
  std::size_t send(BytesView data);
  void go_on_writing();
  void finish();
  void check_high_water();
  void check_low_water();

  const RateLimits limits_;
  std::optional<Buckets> buckets_;  // from connection_made on
  Turn read_turn_{*this, &RateLimit::steer_reading};
  Turn write_turn_{*this, &RateLimit::go_on_writing};
  std::unique_ptr<std::byte[]> chunk_;  // lent to be read into
  Buffer backlog_;                      // written, and not yet given to the transport below
  FlowControl flow_;
  std::optional<Timer> deadline_;  // of the flush after close
  bool below_paused_ = false;      // it holds bytes that the kernel has not taken
  bool below_reading_ = true;
  bool paused_ = false;  // by pause_reading
  bool closing_ = false;
  bool eof_wanted_ = false;
  bool eof_sent_ = false;
  bool corked_ = false;  // a callback of the protocol runs: writes are gathered
};

/// While one exists, what the protocol writes is gathered; its end sends it.
class RateLimit::Cork {
 public:
  explicit Cork(RateLimit& layer) : layer_(layer), was_(std::exchange(layer.corked_, true)) {}
  Cork(const Cork&) = delete;
  Cork& operator=(const Cork&) = delete;
  ~Cork() {
    layer_.corked_ = was_;
    if (was_ || layer_.lost()) return;
    layer_.flush();
    layer_.check_high_water();
    layer_.finish();
  }

 private:
  RateLimit& layer_;
  const bool was_;
};

// -- the life

void RateLimit::connection_made(std::shared_ptr<Transport> below) {
  below_ = below;
  EventLoop& loop = below->loop();
  if (!buckets_) buckets_.emplace(loop, limits_);
  for (const auto& bucket : {buckets_->read, buckets_->write}) {
    if (bucket && &bucket->loop() != &loop) {
      throw std::logic_error("shared_rate_limit: a connection of another loop");
    }
  }
  const auto self = shared_from_this();
  deadline_.emplace(loop, [this] { fail(make_error_code(errc::timed_out), "flush"); });
  below->set_write_buffer_limits(0, 0);
  const Cork cork(*this);
  PassThrough::connection_made(std::move(below));
}

void RateLimit::connection_lost(std::error_code error) {
  const auto self = shared_from_this();
  read_turn_.leave();
  write_turn_.leave();
  if (deadline_) deadline_->cancel();
  backlog_.reset();
  chunk_.reset();
  PassThrough::connection_lost(error);
  buckets_.reset();
}

void RateLimit::close() {
  if (closing_ || !below_ || over()) return;
  closing_ = true;
  steer_reading();
  deadline_->set(limits_.flush_timeout);
  if (!corked_) finish();
}

void RateLimit::abort() {
  PassThrough::abort();
  backlog_.reset();
}

/// The end of writing that was asked for, if it can come now.
void RateLimit::finish() {
  if (!backlog_.empty() || over()) return;
  if (eof_wanted_ && !std::exchange(eof_sent_, true)) below().write_eof();
  if (closing_) {
    deadline_->cancel();
    below().close();
  }
}

// -- reading

void RateLimit::data_received(BytesView data) {
  const Cork cork(*this);
  spend_read(data.size());
  PassThrough::data_received(data);
}

MutableBytes RateLimit::get_buffer(std::size_t size_hint) {
  if (!buckets_->read) return PassThrough::get_buffer(size_hint);
  const std::size_t most = std::min(buckets_->read->available(read_turn_), kChunk);
  if (most == 0) {
    hold_reading();
    return {};
  }
  if (slot_.get()->as_buffered()) {
    const MutableBytes into = borrow_above();
    return into.first(std::min(into.size(), most));
  }
  if (!chunk_) chunk_ = std::make_unique_for_overwrite<std::byte[]>(kChunk);
  return {chunk_.get(), most};
}

void RateLimit::buffer_updated(MutableBytes into, std::size_t size) {
  const Cork cork(*this);
  spend_read(size);
  const auto chunk = std::move(chunk_);  // an idle connection holds none
  PassThrough::buffer_updated(into, size);
}

void RateLimit::spend_read(std::size_t size) {
  if (!buckets_->read) return;
  buckets_->read->take(size, read_turn_);
  if (buckets_->read->available(read_turn_) == 0) hold_reading();
}

void RateLimit::hold_reading() {
  buckets_->read->wait(read_turn_);
  steer_reading();
}

/// The transport below reads while somebody wants it to and there are tokens.
void RateLimit::steer_reading() {
  const bool want = !paused_ && !closing_ && !read_turn_.waiting();
  if (want == below_reading_) return;
  below_reading_ = want;
  want ? below().resume_reading() : below().pause_reading();
}

void RateLimit::pause_reading() {
  if (lost()) return;
  paused_ = true;
  steer_reading();
}

void RateLimit::resume_reading() {
  if (lost() || is_closing()) return;
  paused_ = false;
  steer_reading();
}

bool RateLimit::eof_received() {
  bool keep_open = false;
  {
    const Cork cork(*this);
    keep_open = PassThrough::eof_received();
  }
  if (aborted()) return false;
  if (!keep_open) close();
  return keep_open || !backlog_.empty();
}

// -- writing

std::size_t RateLimit::get_write_buffer_size() const noexcept {
  return lost() || aborted() ? 0 : backlog_.size() + below().get_write_buffer_size();
}

void RateLimit::write(BytesView data) {
  if (is_closing() || data.empty()) return;
  if (eof_wanted_) throw std::logic_error("write after write_eof");
  const std::size_t sent = corked_ || !backlog_.empty() ? 0 : send(data);
  if (over()) return;
  if (sent < data.size()) {
    try {
      backlog_.append(data.drop(sent));
    } catch (const std::bad_alloc&) {
      return fail(std::make_error_code(std::errc::not_enough_memory), "write");
    }
    if (corked_ && backlog_.size() > std::min(kGatherLimit, flow_.limits().high)) flush();
  }
  check_high_water();
}

void RateLimit::writelines(std::span<const BytesView> pieces) {
  if (is_closing()) return;
  const Cork cork(*this);
  for (const BytesView piece : pieces) {
    if (is_closing()) break;  // pause_writing may have closed
    write(piece);
  }
}

void RateLimit::write_eof() {
  if (is_closing() || eof_wanted_) return;
  if (!can_write_eof()) return PassThrough::write_eof();
  eof_wanted_ = true;
  if (!corked_) finish();
}

/// Gives the transport below as much as may go now; returns how much.
std::size_t RateLimit::send(BytesView data) {
  std::size_t sent = 0;
  while (sent < data.size() && !below_paused_ && !over() && !write_turn_.waiting()) {
    BytesView piece = data.drop(sent);
    if (TokenBucket* const bucket = buckets_->write.get()) {
      piece = piece.first(bucket->available(write_turn_));
      if (piece.empty()) {
        bucket->wait(write_turn_);
        break;
      }
      bucket->take(piece.size(), write_turn_);
    }
    sent += piece.size();
    below().write(piece);
  }
  // Progress: the limit of the flush is for a peer that stands still.
  if (sent > 0 && closing_) deadline_->set(limits_.flush_timeout);
  return sent;
}

void RateLimit::flush() {
  if (backlog_.empty() || over()) return;
  const std::size_t sent = send(backlog_.view());
  if (over()) return;
  backlog_.consume(sent);
  if (backlog_.empty()) backlog_.reset();
}

void RateLimit::resume_writing() {
  below_paused_ = false;
  go_on_writing();
}

/// There are tokens again, or the kernel has taken what it had not.
void RateLimit::go_on_writing() {
  flush();
  finish();
  check_low_water();
}

void RateLimit::check_high_water() {
  if (over() || closing_) return;
  if (corked_ && get_write_buffer_size() > flow_.limits().high) flush();
  if (over()) return;
  const std::size_t size = get_write_buffer_size();
  if (flow_.overflows(size)) return fail(make_error_code(errc::write_overflow), "write");
  if (flow_.should_pause(size)) PassThrough::pause_writing();
}

void RateLimit::check_low_water() {
  if (over() || !flow_.should_resume(get_write_buffer_size())) return;
  const Cork cork(*this);
  PassThrough::resume_writing();
}

void RateLimit::set_write_buffer_limits(std::optional<std::size_t> high,
                                        std::optional<std::size_t> low) {
  flow_.set_limits(high, low);
  if (slot_.made() && !lost()) check_high_water();
}

void RateLimit::set_write_hard_limit(std::size_t bytes) {
  flow_.set_hard_limit(bytes);
  if (slot_.made() && !lost()) check_high_water();
}

void check(const RateLimits& limits) {
  if (limits.flush_timeout <= Duration::zero()) {
    throw std::invalid_argument("rate_limit: flush_timeout must be positive");
  }
}

}  // namespace

ProtocolWrap rate_limit(RateLimits limits) {
  check(limits);
  return [limits](std::shared_ptr<Protocol> protocol) {
    return std::make_shared<RateLimit>(std::move(protocol), limits, std::nullopt);
  };
}

ProtocolWrap shared_rate_limit(EventLoop& loop, RateLimits limits) {
  check(limits);
  return [limits, buckets = std::optional<Buckets>(std::in_place, loop, limits)](
             std::shared_ptr<Protocol> protocol) {
    return std::make_shared<RateLimit>(std::move(protocol), limits, buckets);
  };
}

}  // namespace ferry
