#pragma once

#include <ferry/bytes.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

// Byte streams whose every byte tells where it belongs. Each stream has a number, its id, of 16
// bits, and its bytes are a function of that and of their offset: PatternWriter makes them, and
// PatternReader, which knows no more than the id, checks what arrives, in whatever pieces, and says
// what happened to bytes that are wrong: lost, come twice, in another order, another stream's,
// garbage. Each word of 8 bytes is its stream and number, scrambled so that it can be unscrambled.
// After 512 GiB a stream repeats itself.

namespace ferry::testing {

/// The byte at `offset` of stream `id`.
std::byte pattern_byte(std::uint16_t id, std::uint64_t offset) noexcept;

/// Makes the bytes of one stream.
class PatternWriter {
 public:
  explicit PatternWriter(std::uint16_t id, std::uint64_t offset = 0) noexcept
      : id_(id), position_(offset) {}

  /// The next bytes. Allocates nothing.
  void fill(MutableBytes into) noexcept;
  /// The next `size` bytes, valid until the next call. Allocates when `size` is the greatest so
  /// far.
  BytesView next(std::size_t size);
  /// The offset of the next byte: so many were made.
  std::uint64_t position() const noexcept { return position_; }
  std::uint16_t id() const noexcept { return id_; }

 private:
  std::uint16_t id_;
  std::uint64_t position_;
  std::vector<std::byte> memory_;
};

/// One thing that is wrong with the bytes of a stream.
struct PatternFinding {
  enum class Kind {
    lost,       ///< `length` bytes from `offset` on did not come.
    doubled,    ///< `length` bytes came a second time, from `found` on.
    reordered,  ///< `length` bytes from `offset` on came later than what follows them.
    foreign,    ///< `length` bytes of stream `id`, from its `found` on.
    garbage,    ///< `length` bytes of no stream.
    excess,     ///< `length` more bytes than were written.
  };
  Kind kind;
  std::uint64_t received;  ///< How many bytes had come before the first wrong one.
  std::uint64_t offset;    ///< Of the byte that should have come then.
  std::uint64_t length;
  std::uint64_t found = 0;
  std::uint16_t id = 0;
  std::array<std::byte, 8> expected{};  ///< Of garbage: what should have come,
  std::array<std::byte, 8> got{};       ///< and what came,
  std::size_t shown = 0;                ///< so many bytes of each.

  /// "at 1000: 24 bytes lost (1000 to 1023)".
  std::string to_string() const;
};

/// Checks the bytes of one stream. Allocates nothing but in `to_string`.
///
///     PatternReader reader(7);
///     reader.take(data);                       // in data_received, as often as it is called
///     reader.end(writer.position());           // at the end, if all should have come
///     EXPECT_TRUE(reader.ok()) << reader.to_string();
///
/// After something wrong it finds its way again (it needs 32 bytes for that) and goes on, so that
/// what follows is judged by itself. Few and short wrong pieces, less than 15 bytes each, may be
/// called garbage though they are of a stream.
class PatternReader {
 public:
  explicit PatternReader(std::uint16_t id, std::uint64_t offset = 0) noexcept
      : own_(id), next_(offset), id_(id), offset_(offset) {}

  /// The bytes that came next. False from the first wrong byte on, for ever.
  bool take(BytesView bytes) noexcept;
  /// No more will come, and `total` is what was written (PatternWriter::position): what is missing
  /// is lost. Once.
  bool end(std::uint64_t total) noexcept;

  /// Nothing has been wrong so far.
  bool ok() const noexcept { return found_ == 0 && pending_size_ == 0; }
  /// The offset of the next byte that is expected: how far the stream has come.
  std::uint64_t position() const noexcept { return next_; }
  /// How many bytes came, the wrong ones included.
  std::uint64_t received() const noexcept { return received_; }
  std::uint16_t id() const noexcept { return own_; }

  /// The first of what was wrong, at most 8. A wrong byte that came last may not be among them
  /// before more has come, or `end`; `to_string` says what is known.
  std::span<const PatternFinding> findings() const noexcept {
    return std::span(findings_).first(stored());
  }
  /// All findings in one line that begins with "stream 7: "; empty if nothing was wrong.
  std::string to_string() const;

 private:
  static constexpr std::size_t kMost = 8;
  static constexpr std::size_t kPending = 64;
  static constexpr std::uint64_t kForEver = std::numeric_limits<std::uint64_t>::max();
  /// Where some bytes that came belong: the one at `at` is `offset` of stream `id`.
  struct Spot {
    std::size_t at;
    std::uint16_t id;
    std::uint64_t offset;
  };

  static std::optional<Spot> recognise(BytesView data, std::size_t least) noexcept;
  std::optional<Spot> guess() const noexcept;
  BytesView pending() const noexcept { return {pending_.data(), pending_size_}; }
  std::size_t stored() const noexcept { return found_ < kMost ? found_ : kMost; }
  bool on_main_line() const noexcept { return id_ == own_ && offset_ == next_; }

  void feed(BytesView bytes) noexcept;
  std::size_t follow(BytesView bytes) noexcept;
  std::size_t collect(BytesView bytes) noexcept;
  void go_on(const Spot& spot) noexcept;
  void judge(const Spot& spot) noexcept;
  bool shares_with_line(const Spot& spot) noexcept;
  void settle() noexcept;
  void follow_line(std::uint16_t id, std::uint64_t offset, std::uint64_t end,
                   std::size_t finding) noexcept;
  std::size_t note(PatternFinding::Kind kind, std::uint64_t length, std::uint64_t found = 0,
                   std::uint16_t id = 0) noexcept;

  std::uint16_t own_;
  std::uint64_t next_;  // what has not come yet of this stream begins here
  std::uint64_t received_ = 0;

  // The line that is followed: what the next byte is taken for. Off the main line, which is `next_`
  // of this stream, its bytes are counted as the finding's.
  std::uint16_t id_;
  std::uint64_t offset_;
  std::uint64_t line_end_ = kForEver;
  std::size_t line_finding_ = kMost;

  // What fits nowhere yet: `dropped_` bytes that are gone, then `pending_`.
  std::array<std::byte, kPending> pending_{};
  std::size_t pending_size_ = 0;
  std::uint64_t dropped_ = 0;
  std::uint64_t wrong_since_ = 0;  // of `received_`
  std::array<std::byte, 8> got_{};
  std::size_t got_size_ = 0;

  std::array<PatternFinding, kMost> findings_{};
  std::size_t found_ = 0;
};

}  // namespace ferry::testing
