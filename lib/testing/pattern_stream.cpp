#include <ferry/testing/pattern_stream.h>

#include "joined.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace ferry::testing {

namespace {

using Kind = PatternFinding::Kind;

constexpr std::size_t kWord = 8;
// A word before scrambling: the id, a mark that tells words from anything else, the word's number.
constexpr int kIndexBits = 36;
constexpr int kMarkBits = 12;
constexpr std::uint64_t kIndexMask = (std::uint64_t{1} << kIndexBits) - 1;
constexpr std::uint64_t kMark = 0xa53;
static_assert(kIndexBits + kMarkBits + 16 == 64);

// MurmurHash3's finalizer (Austin Appleby, public domain), whose steps can all be undone.
constexpr std::uint64_t scrambled(std::uint64_t x) noexcept {
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccd;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53;
  return x ^ (x >> 33);
}
constexpr std::uint64_t unscrambled(std::uint64_t x) noexcept {
  x = (x ^ (x >> 33)) * 0x9cb4b2f8129337db;
  x = (x ^ (x >> 33)) * 0x4f74430c22a54005;
  return x ^ (x >> 33);
}
static_assert(unscrambled(scrambled(0x0123456789abcdef)) == 0x0123456789abcdef);

constexpr std::uint64_t plain(std::uint16_t id, std::uint64_t index) noexcept {
  return std::uint64_t{id} << (kIndexBits + kMarkBits) | kMark << kIndexBits | (index & kIndexMask);
}

// The first byte of a word is the lowest on every machine.
constexpr std::byte byte_of(std::uint64_t word, std::size_t at) noexcept {
  return static_cast<std::byte>(word >> (8 * at));
}
std::uint64_t in_memory(std::uint64_t word) noexcept {
  if constexpr (std::endian::native == std::endian::big) {
    std::uint64_t turned = 0;
    for (std::size_t i = 0; i < kWord; ++i) {
      turned = turned << 8 | static_cast<std::uint64_t>(byte_of(word, i));
    }
    return turned;
  }
  return word;
}
std::uint64_t load(const std::byte* from) noexcept {
  std::uint64_t word;
  std::memcpy(&word, from, kWord);
  return word;
}

/// How many of the first bytes of `bytes` are those of the stream at `offset`.
std::size_t matching(std::uint16_t id, std::uint64_t offset, BytesView bytes) noexcept {
  std::size_t done = 0;
  for (; done < bytes.size() && (offset + done) % kWord != 0; ++done) {
    if (bytes[done] != pattern_byte(id, offset + done)) return done;
  }
  std::uint64_t word = plain(id, 0);
  std::uint64_t index = (offset + done) / kWord;
  // Four words for each branch.
  for (; bytes.size() - done >= 4 * kWord; done += 4 * kWord, index += 4) {
    const std::byte* at = bytes.data() + done;
    std::uint64_t wrong = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      wrong |= load(at + i * kWord) ^ in_memory(scrambled(word | ((index + i) & kIndexMask)));
    }
    if (wrong) break;
  }
  for (; done < bytes.size() && bytes[done] == pattern_byte(id, offset + done); ++done) {
  }
  return done;
}

/// How many bytes before `data` + `at` are those of the stream before `offset`.
std::size_t matching_before(std::uint16_t id, std::uint64_t offset, BytesView data,
                            std::size_t at) noexcept {
  std::size_t back = 0;
  while (back < at && back < offset && data[at - back - 1] == pattern_byte(id, offset - back - 1)) {
    ++back;
  }
  return back;
}

std::string hex(std::span<const std::byte> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte b : bytes) {
    if (!text.empty()) text += ' ';
    text += kDigits[std::to_integer<unsigned>(b) >> 4];
    text += kDigits[std::to_integer<unsigned>(b) & 15];
  }
  return text;
}

std::string so_many_bytes(std::uint64_t count) {
  return std::to_string(count) + (count == 1 ? " byte" : " bytes");
}

/// "1000 to 1023"
std::string range(std::uint64_t first, std::uint64_t length) {
  std::string text = std::to_string(first);
  if (length > 1) text += joined({" to ", std::to_string(first + length - 1)});
  return text;
}

}  // namespace

std::byte pattern_byte(std::uint16_t id, std::uint64_t offset) noexcept {
  return byte_of(scrambled(plain(id, offset / kWord)), offset % kWord);
}

// -- PatternWriter

void PatternWriter::fill(MutableBytes into) noexcept {
  std::size_t done = 0;
  for (; done < into.size() && position_ % kWord != 0; ++done) {
    into[done] = pattern_byte(id_, position_++);
  }
  const std::uint64_t word = plain(id_, 0);
  std::uint64_t index = position_ / kWord;
  const std::size_t words = (into.size() - done) / kWord;
  for (std::size_t i = 0; i < words; ++i, ++index, done += kWord) {
    const std::uint64_t bytes = in_memory(scrambled(word | (index & kIndexMask)));
    std::memcpy(into.data() + done, &bytes, kWord);
  }
  position_ += words * kWord;
  for (; done < into.size(); ++done) into[done] = pattern_byte(id_, position_++);
}

BytesView PatternWriter::next(std::size_t size) {
  if (memory_.size() < size) memory_.resize(size);
  fill(MutableBytes(memory_).first(size));
  return BytesView(memory_).first(size);
}

// -- PatternReader

bool PatternReader::take(BytesView bytes) noexcept {
  feed(bytes);
  return ok();
}

bool PatternReader::end(std::uint64_t total) noexcept {
  settle();
  wrong_since_ = received_;
  got_size_ = 0;
  if (next_ < total) note(Kind::lost, total - next_);
  if (next_ > total) note(Kind::excess, next_ - total);
  return ok();
}

void PatternReader::feed(BytesView bytes) noexcept {
  while (!bytes.empty()) {
    if (pending_size_ == 0) {
      const std::size_t right = follow(bytes);
      received_ += right;
      bytes = bytes.drop(right);
      if (bytes.empty()) return;
      wrong_since_ = received_;
      got_size_ = 0;
    }
    bytes = bytes.drop(collect(bytes));
  }
}

/// How many bytes are what the line makes expect.
std::size_t PatternReader::follow(BytesView bytes) noexcept {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const std::uint64_t most = line_end_ - offset_;
    const BytesView part =
        bytes.drop(done).first(most < bytes.size() ? static_cast<std::size_t>(most) : bytes.size());
    const std::size_t right = matching(id_, offset_, part);
    if (on_main_line()) next_ += right;
    if (line_finding_ < kMost) findings_[line_finding_].length += right;
    offset_ += right;
    done += right;
    if (offset_ == line_end_) follow_line(own_, next_, kForEver, kMost);
    if (right < part.size()) break;
  }
  return done;
}

/// Keeps bytes that do not fit until there are enough to tell where they belong. How many it took.
std::size_t PatternReader::collect(BytesView bytes) noexcept {
  constexpr std::size_t kEnough = 4 * kWord;
  const BytesView part = bytes.first(kPending - pending_size_);
  std::memcpy(pending_.data() + pending_size_, part.data(), part.size());
  const BytesView shown = part.first(got_.size() - got_size_);
  if (!shown.empty()) std::memcpy(got_.data() + got_size_, shown.data(), shown.size());
  got_size_ += shown.size();
  pending_size_ += part.size();
  received_ += part.size();
  if (pending_size_ < kEnough) return part.size();
  if (const auto spot = recognise(pending(), 2 * kWord)) {
    go_on(*spot);
  } else if (pending_size_ == kPending) {
    // What stays may be the beginning of what will be known.
    std::memmove(pending_.data(), pending_.data() + kPending - kEnough, kEnough);
    pending_size_ = kEnough;
    dropped_ += kPending - kEnough;
  }
  return part.size();
}

/// The first run of at least `least` bytes, one whole word among them, that are of some stream.
std::optional<PatternReader::Spot> PatternReader::recognise(BytesView data,
                                                            std::size_t least) noexcept {
  for (std::size_t at = 0; at + kWord <= data.size(); ++at) {
    const std::uint64_t word = unscrambled(in_memory(load(data.data() + at)));
    if ((word >> kIndexBits & ((1 << kMarkBits) - 1)) != kMark) continue;
    const auto id = static_cast<std::uint16_t>(word >> (kIndexBits + kMarkBits));
    const std::uint64_t offset = (word & kIndexMask) * kWord;
    const std::size_t before = matching_before(id, offset, data, at);
    if (before + matching(id, offset, data.drop(at)) >= least) {
      return Spot{at - before, id, offset - before};
    }
  }
  return std::nullopt;
}

/// Where too few bytes for `recognise` may belong: not far away, or to the same place of another
/// stream.
std::optional<PatternReader::Spot> PatternReader::guess() const noexcept {
  constexpr std::uint64_t kNear = 64 * 1024;
  constexpr std::uint16_t kIds = 1024;
  if (dropped_ > 0 || pending_size_ < 4) return std::nullopt;
  const auto fits = [this](std::uint16_t id, std::uint64_t offset) {
    return matching(id, offset, pending()) == pending_size_;
  };
  for (std::uint64_t away = 0; away < kNear; ++away) {
    if (fits(own_, next_ + away)) return Spot{0, own_, next_ + away};
    if (away <= next_ && fits(own_, next_ - away)) return Spot{0, own_, next_ - away};
  }
  for (std::uint16_t id = 0; id < kIds; ++id) {
    if (fits(id, next_)) return Spot{0, id, next_};
  }
  return std::nullopt;
}

/// The pending bytes are known from `spot` on: follows them.
void PatternReader::go_on(const Spot& spot) noexcept {
  judge(spot);
  std::array<std::byte, kPending> rest;
  const std::size_t size = pending_size_ - spot.at;
  std::memcpy(rest.data(), pending_.data() + spot.at, size);
  pending_size_ = 0;
  dropped_ = 0;
  received_ -= size;
  feed(BytesView(rest).first(size));
}

/// Says what has happened where the line ended, and chooses the new one.
void PatternReader::judge(const Spot& spot) noexcept {
  const std::uint64_t unknown = dropped_ + spot.at;
  if (unknown > 0) {
    if (on_main_line() && spot.id == own_ && spot.offset == next_ + unknown) {
      note(Kind::garbage, unknown);  // in the place of the right ones
      next_ = spot.offset;
      return follow_line(own_, next_, kForEver, kMost);
    }
    const auto piece =
        dropped_ == 0 ? recognise(pending().first(spot.at), kWord + 2) : std::nullopt;
    if (piece && piece->id != own_) {
      note(Kind::foreign, spot.at - piece->at, piece->offset, piece->id);
    } else if (piece && piece->offset < next_) {
      note(Kind::doubled, spot.at - piece->at, piece->offset);
    } else {
      note(Kind::garbage, unknown);
    }
    wrong_since_ += unknown;
  }
  if (spot.id != own_) {
    return follow_line(spot.id, spot.offset, kForEver,
                       note(Kind::foreign, 0, spot.offset, spot.id));
  }
  if (spot.offset >= next_) {
    if (!shares_with_line(spot) && spot.offset > next_) note(Kind::lost, spot.offset - next_);
    next_ = spot.offset;
    return follow_line(own_, next_, kForEver, kMost);
  }
  for (std::size_t i = 0; i < stored(); ++i) {
    PatternFinding& gap = findings_[i];
    if ((gap.kind == Kind::lost || gap.kind == Kind::reordered) && spot.offset >= gap.offset &&
        spot.offset - gap.offset < gap.length) {
      gap.kind = Kind::reordered;
      return follow_line(own_, spot.offset, gap.offset + gap.length, kMost);
    }
  }
  follow_line(own_, spot.offset, next_, note(Kind::doubled, 0, spot.offset));
}

/// Whether the line ended with bytes that, by chance, are also those missing before `spot`: then
/// they are these, and nothing is lost.
bool PatternReader::shares_with_line(const Spot& spot) noexcept {
  const std::uint64_t count = spot.offset - next_;
  if (on_main_line() || spot.at > 0 || dropped_ > 0 || count == 0 || count > kWord) return false;
  for (std::uint64_t i = 1; i <= count; ++i) {
    if (i > offset_ || pattern_byte(id_, offset_ - i) != pattern_byte(own_, spot.offset - i)) {
      return false;
    }
  }
  if (line_finding_ < kMost) findings_[line_finding_].length -= count;
  return true;
}

/// No more comes soon: decides about what is pending with what there is.
void PatternReader::settle() noexcept {
  while (pending_size_ > 0) {
    auto spot = recognise(pending(), kWord + 2);
    if (!spot) spot = guess();
    if (spot) {
      go_on(*spot);
      continue;
    }
    const std::uint64_t unknown = dropped_ + pending_size_;
    note(Kind::garbage, unknown);
    if (on_main_line()) next_ += unknown;
    follow_line(own_, next_, kForEver, kMost);
    pending_size_ = 0;
    dropped_ = 0;
  }
}

void PatternReader::follow_line(std::uint16_t id, std::uint64_t offset, std::uint64_t end,
                                std::size_t finding) noexcept {
  id_ = id;
  offset_ = offset;
  line_end_ = end;
  line_finding_ = finding;
}

/// The index of the finding; kMost if there was no more room.
std::size_t PatternReader::note(Kind kind, std::uint64_t length, std::uint64_t found,
                                std::uint16_t id) noexcept {
  if (found_++ >= kMost) return kMost;
  PatternFinding& finding = findings_[found_ - 1];
  finding = {kind, wrong_since_, next_, length, found, id};
  if (kind == Kind::excess) finding.offset = next_ - length;
  if (kind == Kind::garbage) {
    finding.shown = static_cast<std::size_t>(std::min<std::uint64_t>(length, got_size_));
    finding.got = got_;
    for (std::size_t i = 0; i < finding.shown; ++i) {
      finding.expected[i] = pattern_byte(own_, next_ + i);
    }
  }
  return found_ - 1;
}

std::string PatternReader::to_string() const {
  if (ok()) return {};
  PatternReader settled = *this;
  settled.settle();
  std::string text = joined({"stream ", std::to_string(own_), ": "});
  for (const PatternFinding& finding : settled.findings()) {
    if (&finding != settled.findings_.data()) text += "; ";
    text += finding.to_string();
  }
  if (settled.found_ > kMost)
    text += joined({"; and ", std::to_string(settled.found_ - kMost), " more"});
  return text;
}

std::string PatternFinding::to_string() const {
  const std::string what = joined({"at ", std::to_string(offset), ": ", so_many_bytes(length)});
  switch (kind) {
    case Kind::lost:
      return joined({what, " lost (", range(offset, length), ")"});
    case Kind::doubled:
      return joined({what, " again (", range(found, length), ")"});
    case Kind::reordered:
      return joined({what, " late (", range(offset, length), ")"});
    case Kind::foreign:
      return joined({what, " of stream ", std::to_string(id), " (its ", range(found, length), ")"});
    case Kind::garbage:
      return joined({what, " of garbage: ", hex(std::span(got).first(shown)), " instead of ",
                     hex(std::span(expected).first(shown))});
    case Kind::excess:
      return joined({what, " more than were written"});
  }
  return what;
}

}  // namespace ferry::testing
