// Both sides of some connections do whatever a Transport allows, in any order, from timers and out
// of callbacks. Whatever they do: what arrives is what was written, and the contract is kept.

#include "carrier.h"
#include "scenarios.h"

#include <ferry/testing/pattern_stream.h>
#include <ferry/timer.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <vector>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::PatternReader;
using testing::PatternWriter;
using testing::Trial;

constexpr std::size_t kMostBytes = 30'000;  // a side writes

class Side;
struct Chaos {
  Trial& trial;
  testing::Seed lot;
  Carrier carrier;
  std::vector<std::shared_ptr<Side>> sides{};
};

/// One end. A client's stream has an even number, which its first byte tells; the answers have the
/// next one.
class Side final : public testing::RecordingProtocol {
 public:
  Side(Chaos& chaos, std::optional<std::uint16_t> id)
      : client_(id.has_value()), chaos_(chaos), timer_(chaos.trial.loop(), [this] { on_timer(); }) {
    keep_data = false;
    if (id) meet(*id);
    on_made = [this] {
      if (client_) say_hello();
      timer_.set(some_time());
      maybe_act();
    };
    on_data = [this](BytesView data) { take(data); };
    on_eof = [this] {
      heard_end_ = true;
      maybe_act();
    };
    on_pause = [this] { maybe_act(); };
    on_resume = [this] { maybe_act(); };
    on_lost = [this](std::error_code) { timer_.cancel(); };
    keep_open_on_eof = chaos.lot.permille(500);
  }

  /// It has done enough: goes, and hears what still comes.
  void finish() {
    timer_.cancel();
    if (!made() || lost()) return;
    resume_reading();
    if (!closed_ && !aborted_) close_gracefully();
  }
  bool client() const { return client_; }
  bool patient() const { return !aborted_ && !closed_; }
  bool aborted() const { return aborted_; }
  std::uint16_t id() const { return client_ ? in_->id() - 1 : in_->id(); }
  bool met() const { return in_.has_value(); }
  std::uint64_t written() const { return out_->position(); }
  std::uint64_t arrived() const { return in_->position(); }
  bool heard_end() const { return heard_end_; }
  std::string wrong() const { return in_ ? in_->to_string() : std::string(); }

 private:
  void meet(std::uint16_t id) {
    out_.emplace(client_ ? id : static_cast<std::uint16_t>(id + 1));
    in_.emplace(client_ ? static_cast<std::uint16_t>(id + 1) : id);
  }
  void say_hello() {
    const std::byte hello{static_cast<unsigned char>(out_->id())};
    write(BytesView(&hello, 1));
  }
  Duration some_time() { return std::chrono::microseconds(chaos_.lot.below(20'000)); }

  void take(BytesView data) {
    if (!in_) {
      meet(static_cast<std::uint16_t>(data[0]));
      data = data.drop(1);
    }
    if (!data.empty() && !in_->take(data)) chaos_.trial.complain(in_->to_string());
    maybe_act();
  }
  void on_timer() {
    act();
    if (!lost() && ++acts_ < 15) timer_.set(some_time());
  }
  void maybe_act() {
    if (chaos_.lot.permille(150)) act();
  }

  void act() {
    if (!made() || lost()) return;
    switch (chaos_.lot.below(20)) {
      case 0:
        return close_gracefully();
      case 1:
        if (!chaos_.lot.permille(300)) return;
        aborted_ = true;
        ending_ = true;
        return abort();
      case 2:
      case 3:
        return pause_reading();
      case 4:
      case 5:
      case 6:
        return resume_reading();
      case 7: {
        if (closed_ || aborted_ || lost() || !transport()->can_write_eof()) return;
        ending_ = true;
        return write_eof();
      }
      case 8: {
        const std::size_t high = chaos_.lot.below(8192);
        const auto scope = checker().write();
        return transport()->set_write_buffer_limits(high, chaos_.lot.below(high + 1));
      }
      case 9:
        return write_pieces();
      default:
        return write_some(chaos_.lot.below(chaos_.lot.permille(100) ? 8000 : 600));
    }
  }

  void close_gracefully() {
    const bool open = !ending_ && !transport()->is_closing();
    if (open && writing_paused()) chaos_.trial.reached("close while writing is paused");
    if (open && checker().reading_paused()) chaos_.trial.reached("close while reading is paused");
    closed_ = true;
    ending_ = true;
    close();
  }
  void write_some(std::size_t size) {
    if (!may_write(size)) return;
    write(out_->next(size));
  }
  void write_pieces() {
    const std::size_t size = chaos_.lot.below(2000);
    if (!may_write(size)) return;
    const BytesView all = out_->next(size);
    const std::size_t cut = chaos_.lot.below(size + 1);
    const std::size_t again = cut + chaos_.lot.below(size - cut + 1);
    const std::array<BytesView, 3> pieces = {all.first(cut), all.drop(cut).first(again - cut),
                                             all.drop(again)};
    writelines(pieces);
  }
  /// What is written after the end does not count, and need not arrive.
  bool may_write(std::size_t size) {
    return out_ && !ending_ && !transport()->is_closing() && written() + size <= kMostBytes;
  }

  const bool client_;
  Chaos& chaos_;
  Timer timer_;
  std::optional<PatternWriter> out_;
  std::optional<PatternReader> in_;
  int acts_ = 0;
  bool ending_ = false;  // nothing is written any more
  bool closed_ = false;
  bool aborted_ = false;
  bool heard_end_ = false;
};

/// In a calm world all that one side wrote arrives at the other, if that one only listened.
void check_all_arrived(Chaos& chaos) {
  for (const auto& one : chaos.sides) {
    for (const auto& other : chaos.sides) {
      if (one == other || !one->met() || !other->met() || one->id() != other->id()) continue;
      if (one->aborted() || !other->patient() || !other->heard_end()) continue;
      if (other->arrived() != one->written()) {
        chaos.trial.complain("of " + std::to_string(one->written()) + " bytes " +
                             std::to_string(other->arrived()) + " arrived; " + one->summary() +
                             " / " + other->summary());
      }
    }
  }
}

void chaos(Trial& trial, Carrier carrier) {
  trial.disturb();  // who aborts gives the other side an error
  Chaos chaos{.trial = trial, .lot = trial.lot(), .carrier = carrier};
  const auto make = [&chaos](std::optional<std::uint16_t> id) {
    chaos.sides.push_back(chaos.trial.protocol<Side>(chaos, id));
    return chaos.sides.back();
  };
  const auto server = serve(trial, carrier, [&make] { return make({}); });
  if (!server) return;
  std::vector<Future<Connection<>>> connecting;
  for (std::uint16_t i = 0; i < 3; ++i) {
    ConnectOptions options;
    options.timeout = 60s;
    connecting.push_back(connect(
        trial, carrier, *server, [&make, i] { return make(static_cast<std::uint16_t>(2 * i)); },
        std::move(options)));
  }
  for (const auto& each : connecting) trial.done(each);
  trial.run_for(1s);
  // More come meanwhile, if something held them up.
  for (std::size_t i = 0; i < chaos.sides.size(); ++i) chaos.sides[i]->finish();
  trial.run_for(60s);
  shut_down(trial, server);
  if (trial.unharmed()) check_all_arrived(chaos);
}

}  // namespace

void add_chaos_scenarios(std::vector<testing::Scenario>& all) {
  add(all, "chaos", kAll, chaos);
}

}  // namespace ferry::test
