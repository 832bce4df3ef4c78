// A traffic log, each system call of what it logs and each allocation failing once.
#include "call_trial.h"
#include "counting_new.h"
#include "far_end.h"

#include <ferry/traffic_log.h>

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace ferry::test {
namespace {

/// More than is written to the file at once.
const std::string& content() {
  static const std::string text = pattern(400'000);
  return text;
}

class TemporaryFile {
 public:
  TemporaryFile() : path_(::testing::TempDir() + "ferry-log-XXXXXX") {
    const int fd = ::mkstemp(path_.data());
    if (fd < 0) throw std::runtime_error("there is no file");
    ::close(fd);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() { ::unlink(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// What a log says: whole blocks, and of what was sent to the peer each byte in its place.
struct ReadLog {
  std::uint64_t packets = 0;
  std::size_t bytes = 0;  // of the content
  bool statistics = false;
  std::string wrong;

  explicit ReadLog(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    for (std::size_t at = 0; at < text.size();) {
      const std::uint32_t size = text.size() - at < 12 ? 0 : u32(text, at + 4);
      if (size < 12 || size % 4 != 0 || size > text.size() - at ||
          u32(text, at + size - 4) != size) {
        wrong = "the log has half a block";
        return;
      }
      const std::uint32_t type = u32(text, at);
      if (type == 5) statistics = true;
      if (type == 6) read_packet(text.substr(at + 28, u32(text, at + 20)));
      at += size;
    }
  }

 private:
  static std::uint32_t u32(const std::string& text, std::size_t at) {
    std::uint32_t value = 0;
    std::memcpy(&value, text.data() + at, 4);
    return value;
  }

  static std::uint32_t big(const std::string& text, std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      value = value << 8U | static_cast<unsigned char>(text.at(at + i));
    }
    return value;
  }

  void read_packet(const std::string& packet) {
    ++packets;
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(packet.at(at)); };
    const std::size_t tcp = (byte(0) & 15U) * 4U;
    const std::uint32_t sequence = big(packet, tcp + 4);
    // The first byte's number is in either of the first two, of which one may be left out.
    constexpr unsigned kSyn = 2;
    constexpr unsigned kAck = 16;
    if (const unsigned flags = byte(tcp + 13); (flags & kSyn) != 0) {
      begin_ = (flags & kAck) != 0 ? big(packet, tcp + 8) : sequence + 1;
    }
    const std::string payload = packet.substr(tcp + (byte(tcp + 12) >> 4U) * 4U);
    if (payload.empty() || !begin_) return;
    bytes += payload.size();
    const std::size_t offset = sequence - *begin_;
    if (offset > content().size() || content().compare(offset, payload.size(), payload) != 0) {
      wrong = "the log has wrong bytes";
    }
  }

  std::optional<std::uint32_t> begin_;
};

void send_all(CallTrial& trial, const std::shared_ptr<TrafficLog>& log) {
  auto [mine, theirs] = stream_pair(trial.below());
  const auto near = trial.connect(std::move(mine), log->client());
  const auto far = trial.connect(std::move(theirs));
  if (!near || !far || !near->made()) return;
  near->transport()->write(content());
  near->transport()->close();
  trial.run_until([&] { return near->lost() && far->lost(); });
  if (!content().starts_with(far->data())) trial.complain("wrong bytes came");
  trial.expect(far->data() == content(), "only " + std::to_string(far->bytes()) + " bytes came");
}

void log_traffic(CallTrial& trial) {
  const TemporaryFile file;
  const auto log = TrafficLog::open(trial.loop(), {.path = file.path()});
  send_all(trial, log);
  const bool written = trial.done(log->close());
  const AllocationsExempt guard;
  const TrafficLogStats stats = log->stats();
  const ReadLog read(file.path());
  if (!read.wrong.empty()) trial.complain(read.wrong);
  if (!written) return;
  if (read.packets != stats.packets) trial.complain("it has counted wrongly");
  // Where packets are missing the statistics say so.
  if (stats.dropped > 0) trial.tell("the statistics", std::to_string(stats.dropped) + " dropped");
  if (!read.statistics) trial.complain("the log has no statistics");
  trial.expect(read.bytes == content().size(),
               "only " + std::to_string(read.bytes) + " bytes are in the log");
}

FERRY_EACH_FAILS(ALogIsWholeOrSomebodyIsTold, .play = log_traffic)

}  // namespace
}  // namespace ferry::test
