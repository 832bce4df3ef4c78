#include <ferry/traffic_log.h>

#include "log_file.h"
#include "pcapng.h"
#include "synthetic_tcp.h"

#include <ferry/pass_through.h>

#include <algorithm>
#include <array>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

namespace ferry {
namespace {

using Side = SyntheticTcp::Side;

/// This much is written at once, or after so long whatever there is.
constexpr std::size_t kBatch = 256 * 1024;
constexpr Duration kLongestWait = std::chrono::milliseconds(200);
/// Kept free below the limit of the file, for its last block.
constexpr std::size_t kTrailer = 128;
/// The other side acknowledges at least each so many bytes, as a real one would.
constexpr std::size_t kAckEvery = 256 * 1024;

class FileLog final : public TrafficLog,
                      public std::enable_shared_from_this<FileLog>,
                      private LoopResource {
 public:
  FileLog(EventLoop& loop, TrafficLogOptions options)
      : LoopResource(loop, Kind::operation),
        options_(std::move(options)),
        file_(std::make_shared<LogFile>(options_.path)),
        flush_(loop, [this] { write_batch(); }),
        closed_(loop) {
    const auto wall = loop.kernel().wall_clock().time_since_epoch();
    epoch_ = std::chrono::duration_cast<Duration>(wall) - loop.time().time_since_epoch();
    pcapng::append_header(pending_);
    stats_.bytes = pending_.size();
    flush_.set(Duration::zero());
  }
  ~FileLog() override { write_rest(); }

  ProtocolWrap client() override { return wrap(Side::client); }
  ProtocolWrap server() override { return wrap(Side::server); }
  Future<void> close() override;
  bool is_open() const noexcept override { return open_; }
  std::error_code error() const noexcept override { return error_; }
  TrafficLogStats stats() const noexcept override { return stats_; }

  std::uint32_t next_number() { return static_cast<std::uint32_t>(stats_.connections++); }
  using LoopResource::loop;
  /// True while it makes sense to make up packets.
  bool wants_packets() const noexcept { return open_; }
  void append(pcapng::Packet packet);
  void drop_packet() noexcept { ++stats_.dropped; }

 private:
  ProtocolWrap wrap(Side near);
  void on_loop_close() override;
  std::uint64_t now() const {
    return static_cast<std::uint64_t>((loop().time().time_since_epoch() + epoch_).count());
  }
  void write_batch();
  void batch_written(Buffer memory);
  void write_rest();
  void finish();
  void settle();

  const TrafficLogOptions options_;
  std::shared_ptr<LogFile> file_;  // shared with the worker that writes
  Timer flush_;
  Duration epoch_{};         // what turns the loop's time into the time of day
  Buffer pending_;           // blocks that nobody writes yet
  std::size_t writing_ = 0;  // bytes that a worker writes
  bool busy_ = false;        // a worker is at it
  bool open_ = true;
  bool ending_ = false;  // close was called
  bool ended_ = false;   // the file is closed
  std::error_code error_;
  TrafficLogStats stats_;
  Future<void> closed_;
};

/// One connection of the log.
class Tap final : public PassThrough {
 public:
  Tap(std::shared_ptr<Protocol> above, std::shared_ptr<FileLog> log, Side near)
      : PassThrough(std::move(above)), log_(std::move(log)), near_(near) {}

  void connection_made(std::shared_ptr<Transport> below) override {
    if (&below->loop() != &log_->loop()) {
      below_ = std::move(below);
      throw std::logic_error("TrafficLog: a connection of another loop");
    }
    if (log_->wants_packets()) begin(*below);
    PassThrough::connection_made(std::move(below));
  }
  bool eof_received() override {
    end_of(far());
    return PassThrough::eof_received();
  }
  void connection_lost(std::error_code error) override {
    if (aborted() || this->error()) {
      reset(error == std::errc::connection_reset ? far() : near_);
    } else if (!error) {
      end_of(near_);
    } else {
      reset(near_);
    }
    PassThrough::connection_lost(error);
    log_.reset();
    tcp_.reset();
  }

  void write(BytesView data) override {
    if (accepts_writes()) add(near_, data);
    PassThrough::write(data);
  }
  void writelines(std::span<const BytesView> pieces) override {
    if (accepts_writes()) {
      for (const BytesView piece : pieces) add(near_, piece);
    }
    PassThrough::writelines(pieces);
  }
  void write_eof() override {
    PassThrough::write_eof();
    end_of(near_);
  }

 private:
  void on_received(BytesView data) override { add(far(), data); }

  Side far() const noexcept { return SyntheticTcp::other(near_); }
  bool accepts_writes() const noexcept { return tcp_ && !is_closing() && !ended(near_); }
  bool& ended(Side side) noexcept { return ended_[static_cast<std::size_t>(side)]; }
  bool ended(Side side) const noexcept { return ended_[static_cast<std::size_t>(side)]; }

  void begin(const Transport& below) {
    const bool client = near_ == Side::client;
    const Address& from = client ? below.sockname() : below.peername();
    const Address& to = client ? below.peername() : below.sockname();
    tcp_.emplace(from, to, log_->next_number());
    const std::string comment = report_text([&] {
      return tcp_->invented() ? from.to_string() + " to " + to.to_string() : std::string();
    });
    packet(Side::client, SyntheticTcp::syn, {}, comment);
    packet(Side::server, SyntheticTcp::syn | SyntheticTcp::ack);
    packet(Side::client, SyntheticTcp::ack);
  }
  void add(Side from, BytesView data) {
    if (!tcp_) return;
    std::size_t& unacknowledged = unacknowledged_[static_cast<std::size_t>(from)];
    while (!data.empty()) {
      const BytesView piece = data.first(SyntheticTcp::kMaxPayload);
      packet(from, SyntheticTcp::push | SyntheticTcp::ack, piece);
      data = data.drop(piece.size());
      unacknowledged += piece.size();
      if (unacknowledged >= kAckEvery) packet(SyntheticTcp::other(from), SyntheticTcp::ack);
    }
  }
  void end_of(Side side) {
    if (!tcp_ || std::exchange(ended(side), true)) return;
    packet(side, SyntheticTcp::fin | SyntheticTcp::ack);
    packet(SyntheticTcp::other(side), SyntheticTcp::ack);
  }
  void reset(Side side) {
    if (tcp_) packet(side, SyntheticTcp::rst | SyntheticTcp::ack);
  }
  void packet(Side from, unsigned flags, BytesView payload = {}, std::string_view comment = {}) {
    // What the other side has sent so far is acknowledged by it.
    unacknowledged_[static_cast<std::size_t>(SyntheticTcp::other(from))] = 0;
    if (!log_->wants_packets()) return log_->drop_packet();
    SyntheticTcp::Headers headers;
    const std::size_t size = tcp_->next(headers, from, flags, payload);
    log_->append(
        {.direction = from == near_ ? pcapng::Direction::outbound : pcapng::Direction::inbound,
         .headers = {reinterpret_cast<const std::byte*>(headers.data()), size},
         .payload = payload,
         .comment = comment});
  }

  std::shared_ptr<FileLog> log_;  // until lost
  const Side near_;
  std::optional<SyntheticTcp> tcp_;  // absent: this connection is not logged
  std::array<bool, 2> ended_{};      // by Side: it has sent FIN
  std::array<std::size_t, 2> unacknowledged_{};
};

ProtocolWrap FileLog::wrap(Side near) {
  return [log = shared_from_this(), near](std::shared_ptr<Protocol> protocol) {
    return std::make_shared<Tap>(std::move(protocol), log, near);
  };
}

void FileLog::append(pcapng::Packet packet) {
  const std::size_t size = pcapng::packet_block_size(packet);
  if (options_.max_file_size != 0 && stats_.bytes + size + kTrailer > options_.max_file_size) {
    open_ = false;
    drop_packet();
    loop().log(LogLevel::warning, report_text([this] {
                 return "the traffic log " + options_.path +
                        " has reached its limit: nothing more is logged";
               }));
    return;
  }
  if (pending_.size() + writing_ + size > options_.max_buffer) return drop_packet();
  packet.time = now();
  try {
    pcapng::append_packet(pending_, packet);
  } catch (const std::bad_alloc&) {
    return drop_packet();  // the traffic goes on
  }
  stats_.bytes += size;
  ++stats_.packets;
  if (busy_) return;
  if (pending_.size() >= kBatch) {
    write_batch();
  } else if (!flush_.active()) {
    flush_.set(kLongestWait);
  }
}

/// Has a worker write what is pending.
void FileLog::write_batch() {
  if (busy_ || ended_ || pending_.empty()) return;
  flush_.cancel();
  writing_ = pending_.size();
  file_->hand_over(std::move(pending_));
  pending_ = Buffer();
  busy_ = true;
  try {
    loop()
        .run_in_executor(nullptr, [file = file_] { return file->write(); })
        .add_done_callback([weak = weak_from_this()](Future<Buffer> done) {
          const auto log = weak.lock();
          if (!log || log->ended_) return;
          const bool ran = !done.cancelled() && !done.exception();
          log->batch_written(ran ? std::move(done.result()) : log->file_->write());
        });
  } catch (const std::exception&) {
    batch_written(file_->write());  // no thread to be had
  }
}

void FileLog::batch_written(Buffer memory) {
  busy_ = false;
  writing_ = 0;
  if (pending_.empty()) pending_ = std::move(memory);
  settle();
  if (ending_) return finish();
  if (pending_.size() >= kBatch) {
    write_batch();
  } else if (!pending_.empty()) {
    flush_.set(kLongestWait);
  }
}

/// After something was written: did it work?
void FileLog::settle() {
  if (error_ || !(error_ = file_->error())) return;
  open_ = false;
  pending_.reset();
  loop().log(LogLevel::error, report_text([this] {
               return "the traffic log " + options_.path + " cannot be written (" +
                      error_.message() + "): nothing more is logged";
             }));
}

Future<void> FileLog::close() {
  if (ending_) return closed_;
  if (!error_) {
    pcapng::append_statistics(pending_, now(), stats_.packets, stats_.dropped);
    stats_.bytes = stats_.bytes + 12 + 12 + 28;
  }
  ending_ = true;
  open_ = false;
  if (!busy_) finish();
  return closed_;
}

/// All is to be written, then closed.
void FileLog::finish() {
  if (busy_ || ended_) return;
  if (!pending_.empty()) return write_batch();
  ended_ = true;
  flush_.cancel();
  leave_loop();
  file_->close();
  settle();
  if (error_) {
    closed_.set_exception(
        std::make_exception_ptr(std::system_error(error_, "write " + options_.path)));
  } else {
    closed_.set_result();
  }
}

void FileLog::on_loop_close() {
  write_rest();
}

/// Without a worker, which may be at it yet or never come to it.
void FileLog::write_rest() {
  if (std::exchange(ended_, true)) return;
  open_ = false;
  flush_.cancel();
  leave_loop();
  file_->write();
  file_->hand_over(std::move(pending_));
  file_->close();
}

}  // namespace

std::shared_ptr<TrafficLog> TrafficLog::open(EventLoop& loop, TrafficLogOptions options) {
  return std::make_shared<FileLog>(loop, std::move(options));
}

}  // namespace ferry
