#pragma once

#include <ferry/testing/pattern_stream.h>
#include <ferry/testing/recording_protocol.h>
#include <ferry/testing/seed.h>
#include <ferry/timer.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace ferry::test {

class Stage;

/// What one end of a connection does.
struct Plan {
  /// What it does once it has written all, or has received `expected`.
  enum class Ending : std::uint8_t { none, eof, close, abort };

  std::size_t total = 1000;  ///< Bytes that it sends.
  std::size_t chunk = 500;   ///< At most so many by one write.
  Ending when_sent = Ending::none;
  std::size_t expected = 0;  ///< Bytes that it waits for.
  Ending when_received = Ending::none;
  /// It waits so long between its writes.
  Duration gap{};
  /// It pauses reading so long each time it has received so many bytes.
  Duration rest{};
  std::size_t rest_after = 0;
  /// It writes several pieces at once.
  bool lines = false;
  /// It sends back as many bytes as it has received, and no more.
  bool answering = false;
  /// An EOF of the peer does not close this end before all is sent.
  bool keep_open = false;
  std::optional<std::size_t> high{};  ///< The limit of the write buffer.
  std::size_t hard_limit = 0;
};

/// One end of a connection: it sends a stream of bytes that tell where they belong, checks the one
/// that comes, and tells Watching what it does. The first byte that the client sends is the
/// connection's number, by which the server's end finds its plan, and the two ends each other.
class Peer final : public testing::RecordingProtocol {
 public:
  /// A client's, with its number; or a server's, which learns it.
  Peer(Stage& stage, std::optional<std::uint8_t> number);

  std::optional<std::uint8_t> number() const noexcept { return number_; }
  const Plan& plan() const noexcept { return plan_; }
  /// Bytes of its stream written, and of the other one received.
  std::uint64_t sent() const noexcept { return out_.position(); }
  std::uint64_t received() const noexcept { return in_.position(); }
  /// When it wrote last, or ended its writing; heard last of the other end; and was lost.
  TimePoint wrote_at() const noexcept { return wrote_at_; }
  TimePoint heard_at() const noexcept { return heard_at_; }
  TimePoint lost_at() const noexcept { return lost_at_; }
  /// It has ended the connection itself, or its writing, as the program it is part of wanted.
  bool closed() const noexcept { return closed_; }
  bool aborted() const noexcept { return aborted_; }
  /// All is sent and received that was planned.
  bool content() const noexcept { return sent() >= plan_.total && received() >= plan_.expected; }

  // -- what the program may do at any time; nothing once the connection is lost or not yet made
  void do_close();
  void do_abort();
  void do_write_eof();
  void do_pause();
  void do_resume();
  /// Writes so many more bytes of its stream.
  void do_write(std::size_t size);
  /// The plan says so many more.
  void add(std::size_t size);
  /// One of them, by lot.
  void do_something(testing::Seed& lot);
  /// From now on it does nothing any more, and calls nobody.
  void retire() noexcept;

  /// Called in the callback, if set: what it throws leaves that.
  Function<void(const char* callback)> in_callback;
  /// Called before any other byte is taken from what came; gives those that are left.
  Function<BytesView(BytesView)> on_raw;

 private:
  friend class Stage;
  void begin();
  void start(std::uint8_t number);
  void take(BytesView data);
  void ended();
  void pump();
  void write_chunk(std::size_t size);
  void end(Plan::Ending ending);
  void tick();
  bool over() const;
  void check_memory(std::size_t added);

  Stage* stage_;
  bool client_;
  std::optional<std::uint8_t> number_;
  Plan plan_;
  testing::PatternWriter out_{0};
  testing::PatternReader in_{0};
  Timer write_timer_;
  Timer rest_timer_;
  std::uint64_t rested_at_ = 0;
  TimePoint wrote_at_{};
  TimePoint heard_at_{};
  TimePoint lost_at_{};
  bool sent_all_ = false;
  bool eof_sent_ = false;
  bool got_all_ = false;
  bool closed_ = false;
  bool aborted_ = false;
  bool wrong_ = false;
  bool pumping_ = false;
};

}  // namespace ferry::test
