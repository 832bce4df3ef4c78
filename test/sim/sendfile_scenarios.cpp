// Files on their way to who asks for them: by sendfile(2), and by reading where that is refused, or
// over TLS.

#include "carrier.h"
#include "scenarios.h"

#include <ferry/sendfile.h>
#include <ferry/timer.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <unistd.h>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::RecordingProtocol;
using testing::Seed;
using testing::Trial;

/// Answers one request with a head, a part of a file and a tail, and closes.
class Sender {
 public:
  Sender(Trial& trial, RecordingProtocol& protocol, std::uint8_t number)
      : trial_(trial),
        protocol_(protocol),
        lot_(trial.lot("sender " + std::to_string(number))),
        patience_(trial.loop(), [this] { lose_patience(); }) {
    text_.resize(lot_.below(lot_.permille(500) ? 3000 : 200'000));
    for (char& each : text_) each = static_cast<char>('a' + lot_.below(26));
    if (lot_.permille(500)) head_.assign(lot_.between(1, 2000), 'H');
    if (lot_.permille(500)) tail_.assign(lot_.between(1, 2000), 'T');
    if (lot_.permille(300)) offset_ = lot_.below(text_.size() + 10);
    if (lot_.permille(300)) count_ = lot_.between(1, text_.size() + 10);
  }
  Sender(const Sender&) = delete;
  ~Sender() {
    if (file_) std::fclose(file_);
  }

  void begin() {
    file_ = std::tmpfile();
    if (!file_) return protocol_.close();  // and everybody sees that the answer is empty
    std::fwrite(text_.data(), 1, text_.size(), file_);
    std::fflush(file_);
    std::rewind(file_);
    protocol_.write(head_);
    auto sending = sendfile(protocol_.transport(), ::fileno(file_), offset_, count_);
    sending.add_done_callback(
        [this, alive = std::weak_ptr(alive_)](const Future<std::uint64_t>& done) {
          if (!alive.expired()) ended(done);
        });
    sending_ = std::move(sending);
    if (lot_.permille(400)) patience_.set(lot_.below(4) * 1ms);
    if (lot_.permille(100)) {
      closes_early_ = true;
      if (!sending_->done()) trial_.reached("close during sendfile");
      protocol_.close();
    }
  }

  bool ended() const noexcept { return !sending_ || ended_; }
  /// Nobody told it of a failure.
  bool content() const { return !failed_ && !protocol_.error(); }
  /// What it sent.
  std::string answer() const {
    return head_ + text_.substr(std::min(offset_, text_.size()), taken_) +
           (tail_sent_ ? tail_ : std::string());
  }

 private:
  void lose_patience() {
    if (sending_->cancel()) trial_.reached("sendfile is cancelled");
  }

  void ended(const Future<std::uint64_t>& done) {
    ended_ = true;
    patience_.cancel();
    // However it ended, the file's position is behind the last byte taken.
    const auto position = static_cast<std::size_t>(::lseek(::fileno(file_), 0, SEEK_CUR));
    taken_ = position - std::min(position, offset_);
    if (!done.cancelled() && !done.exception()) {
      const std::size_t there = text_.size() - std::min(offset_, text_.size());
      const std::size_t wanted = std::min<std::size_t>(there, count_.value_or(there));
      if (done.result() != wanted || taken_ != wanted) {
        trial_.complain("sendfile of " + std::to_string(wanted) + " bytes says that it sent " +
                        std::to_string(done.result()) + "; taken were " + std::to_string(taken_));
      }
    } else if (!done.cancelled() && !closes_early_) {
      failed_ = true;
      trial_.failed(done.exception());
      if (!protocol_.transport()->is_closing())
        trial_.reached("sendfile fails, its connection not");
    }
    if (protocol_.transport()->is_closing()) return;
    tail_sent_ = true;
    protocol_.write(tail_);
    protocol_.close();
  }

  Trial& trial_;
  RecordingProtocol& protocol_;
  Seed lot_;
  std::string head_;
  std::string text_;
  std::string tail_;
  std::size_t offset_ = 0;
  std::optional<std::uint64_t> count_;
  std::FILE* file_ = nullptr;
  std::optional<Future<std::uint64_t>> sending_;
  std::size_t taken_ = 0;
  bool tail_sent_ = false;
  bool ended_ = false;
  bool failed_ = false;
  bool closes_early_ = false;
  Timer patience_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

/// Asks with one byte, its number, and takes what comes, perhaps after a while.
class Receiver {
 public:
  Receiver(Trial& trial, std::uint8_t number)
      : protocol_(trial.protocol()),
        resume_(trial.loop(), [this] { protocol_->resume_reading(); }) {
    Seed lot = trial.lot("receiver " + std::to_string(number));
    const Duration rest = lot.permille(500) ? Duration{} : lot.below(200) * 1ms;
    protocol_->on_made = [this, number, rest] {
      const auto byte = static_cast<std::byte>(number);
      protocol_->write(BytesView(&byte, 1));
      if (rest == Duration{}) return;
      protocol_->pause_reading();
      resume_.set(rest);
    };
    protocol_->on_lost = [this](std::error_code) { resume_.cancel(); };
  }
  ~Receiver() {
    protocol_->on_made = nullptr;
    protocol_->on_lost = nullptr;
  }
  const std::shared_ptr<RecordingProtocol>& protocol() const noexcept { return protocol_; }

 private:
  std::shared_ptr<RecordingProtocol> protocol_;
  Timer resume_;
};

/// The sender of each number, and the connections that bring the numbers.
class FileServer {
 public:
  explicit FileServer(Trial& trial) : trial_(trial) {}
  ~FileServer() {
    for (const auto& each : accepted_) each->on_data = nullptr;
  }

  std::shared_ptr<Protocol> accept() {
    accepted_.push_back(trial_.protocol());
    RecordingProtocol& protocol = *accepted_.back();
    protocol.resumes_at_low = false;
    protocol.on_data = [this, &protocol](BytesView data) {
      const auto number = std::to_integer<std::uint8_t>(data[0]);
      senders_.resize(std::max<std::size_t>(senders_.size(), number + 1u));
      if (data.size() != 1 || senders_[number]) return trial_.complain("a request came twice");
      senders_[number] = std::make_unique<Sender>(trial_, protocol, number);
      senders_[number]->begin();
    };
    return accepted_.back();
  }
  const Sender* sender(std::size_t number) const {
    return number < senders_.size() ? senders_[number].get() : nullptr;
  }
  bool ended() const {
    return std::all_of(senders_.begin(), senders_.end(),
                       [](const auto& each) { return !each || each->ended(); });
  }

 private:
  Trial& trial_;
  std::vector<std::shared_ptr<RecordingProtocol>> accepted_;
  std::vector<std::unique_ptr<Sender>> senders_;
};

/// Who asked got a beginning of the answer; all of it, unless somebody knows better.
void compare(Trial& trial, const RecordingProtocol& receiver, const Sender* sender) {
  const std::string answer = sender ? sender->answer() : std::string();
  if (!answer.starts_with(receiver.data())) {
    return trial.complain("what came is no part of what was sent: " + receiver.summary());
  }
  if (receiver.data().size() == answer.size() || receiver.error()) return;
  if (sender && sender->content()) {
    trial.complain("of " + std::to_string(answer.size()) + " bytes " +
                   std::to_string(receiver.data().size()) + " came, and nobody was told");
  }
}

void send_files(Trial& trial, Carrier carrier) {
  Seed lot = trial.lot();
  std::optional<testing::FaultGuard> guard;
  if (const std::uint64_t which = lot.below(8); which < 2) {
    trial.set_observer([&trial](std::string_view call, int, const IoResult& result) {
      if (call == "sendfile" && result.error == EINVAL) trial.reached("sendfile(2) is refused");
    });
    guard.emplace(trial.faults().inject({.call = "sendfile", .error = EINVAL}));
  } else if (which == 2) {
    guard.emplace(trial.faults().inject(
        {.call = "sendfile", .error = EIO, .after = lot.below(4), .times = 1}));
  } else if (which == 3) {
    guard.emplace(trial.faults().inject({.call = "fcntl", .error = EMFILE, .times = 1}));
  }
  FileServer files(trial);
  const auto server = serve(trial, carrier, [&files] { return files.accept(); });
  if (!server) return;
  std::vector<std::unique_ptr<Receiver>> receivers;
  std::vector<Future<Connection<>>> connecting;
  for (std::uint8_t number = 0; number < 3; ++number) {
    receivers.push_back(std::make_unique<Receiver>(trial, number));
    ConnectOptions options;
    options.timeout = 20s;
    connecting.push_back(connect(
        trial, carrier, *server, [&each = *receivers.back()] { return each.protocol(); }, options));
  }
  for (const auto& each : connecting) trial.done(each);
  const auto over = [&] { return trial.all_lost() && files.ended(); };
  if (!trial.run_until(over)) return;
  for (std::size_t number = 0; number < receivers.size(); ++number) {
    compare(trial, *receivers[number]->protocol(), files.sender(number));
  }
  shut_down(trial, server);
}

}  // namespace

void add_sendfile_scenarios(std::vector<testing::Scenario>& all) {
  add(all, "sendfile", kAll, send_files);
}

}  // namespace ferry::test
