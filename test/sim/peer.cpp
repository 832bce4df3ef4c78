#include "peer.h"

#include "pattern.h"
#include "stage.h"

#include <array>

namespace ferry::test {

using testing::ConnectionRecord;
using Ending = Plan::Ending;

namespace {

/// What TLS may hold beyond what it was given: records' headers and tags, and what it answers.
constexpr std::size_t kOverhead = 4096;

}  // namespace

Peer::Peer(Stage& stage, std::optional<std::uint8_t> number)
    : stage_(&stage),
      client_(number.has_value()),
      number_(number),
      write_timer_(stage.loop(), [this] { tick(); }),
      rest_timer_(stage.loop(), [this] { do_resume(); }) {
  keep_data = false;
  on_made = [this] { begin(); };
  on_data = [this](BytesView data) { take(data); };
  on_eof = [this] { ended(); };
  on_lost = [this](std::error_code error) {
    write_timer_.cancel();
    rest_timer_.cancel();
    lost_at_ = stage_->loop().time();
    stage_->watching().tell(*this, error ? Event::lost_with_error : Event::lost);
    if (in_callback) in_callback("connection_lost");
  };
  on_pause = [this] {
    stage_->watching().tell(*this, Event::pause_writing);
    if (in_callback) in_callback("pause_writing");
  };
  on_resume = [this] {
    stage_->watching().tell(*this, Event::resume_writing);
    if (in_callback) in_callback("resume_writing");
    pump();
  };
}

void Peer::begin() {
  if (in_callback) in_callback("connection_made");
  if (!client_) return;
  plan_ = stage_->plan_of(*number_, true);
  const std::byte greeting[] = {static_cast<std::byte>(*number_)};
  write(BytesView(greeting, 1));
  start(*number_);
}

void Peer::start(std::uint8_t number) {
  number_ = number;
  const auto id = static_cast<std::uint16_t>(number * 2);
  const auto other = static_cast<std::uint16_t>(id + 1);
  out_ = testing::PatternWriter(client_ ? id : other);
  in_ = testing::PatternReader(client_ ? other : id);
  keep_open_on_eof = plan_.keep_open && transport()->can_write_eof();
  if (plan_.high) {
    const auto scope = checker().write();  // it may call pause_writing
    transport()->set_write_buffer_limits(plan_.high);
  }
  if (plan_.hard_limit) transport()->set_write_hard_limit(plan_.hard_limit);
  pump();
}

bool Peer::over() const {
  return !made() || lost() || transport()->is_closing();
}

// -- receiving

void Peer::take(BytesView data) {
  heard_at_ = stage_->loop().time();
  stage_->watching().tell(*this, Event::data);
  if (on_raw) data = on_raw(data);
  if (in_callback) in_callback("data_received");
  if (data.empty()) return;
  if (!number_) {
    const auto number = static_cast<std::uint8_t>(data[0]);
    plan_ = stage_->plan_of(number, false);
    start(number);
    data = data.drop(1);
  }
  if (!in_.take(data) && !wrong_) {
    wrong_ = true;
    stage_->trial().breach(std::string(client_ ? "client" : "server") +
                           " received wrong bytes: " + in_.to_string());
  }
  if (plan_.rest_after && received() - rested_at_ >= plan_.rest_after && !over()) {
    rested_at_ = received();
    do_pause();
    rest_timer_.set(plan_.rest);
  }
  if (plan_.answering) pump();
  if (got_all_ || received() < plan_.expected || plan_.expected == 0) return;
  got_all_ = true;
  end(plan_.when_received);
}

void Peer::ended() {
  heard_at_ = stage_->loop().time();
  stage_->watching().tell(*this, Event::eof);
  if (in_callback) in_callback("eof_received");
  // Nobody will ask for more.
  if (keep_open_on_eof && (sent_all_ || plan_.answering)) do_close();
}

// -- sending

void Peer::pump() {
  if (pumping_ || !number_) return;
  pumping_ = true;
  const std::uint64_t most =
      plan_.answering ? std::min<std::uint64_t>(plan_.total, received()) : plan_.total;
  while (!over() && !writing_paused() && sent() < most && !write_timer_.active()) {
    const std::size_t size =
        std::min(static_cast<std::size_t>(most - sent()), stage_->lot().between(1, plan_.chunk));
    write_chunk(size);
    check_memory(size);
    if (plan_.gap != Duration::zero()) write_timer_.set(plan_.gap);
  }
  pumping_ = false;
  if (sent_all_ || sent() < plan_.total || over()) return;
  sent_all_ = true;
  end(plan_.when_sent);
  if (eof() && keep_open_on_eof && !over()) do_close();
}

void Peer::tick() {
  pump();
}

void Peer::write_chunk(std::size_t size) {
  wrote_at_ = stage_->loop().time();
  stage_->watching().tell(*this, Event::write);
  const BytesView bytes = next_bytes(out_, size);
  if (plan_.lines) {
    const std::array<BytesView, 3> pieces = {bytes.first(size / 3), bytes.drop(size / 3).first(1),
                                             bytes.drop(size / 3 + 1)};
    writelines(pieces);
  } else {
    write(bytes);
  }
}

void Peer::check_memory(std::size_t added) {
  const std::size_t size = transport()->get_write_buffer_size();
  const std::size_t high = transport()->get_write_buffer_limits().high;
  const std::size_t most = std::max(high, plan_.hard_limit);
  if (size <= most + added + kOverhead || plan_.total == 0) return;
  stage_->trial().complain(std::to_string(size) + " bytes are buffered, above the limit of " +
                           std::to_string(high));
}

void Peer::end(Ending ending) {
  switch (ending) {
    case Ending::none:
      return;
    case Ending::eof:
      return transport()->can_write_eof() ? do_write_eof() : do_close();
    case Ending::close:
      return do_close();
    case Ending::abort:
      return do_abort();
  }
}

// -- what the program does

void Peer::do_close() {
  if (!made()) return;
  stage_->watching().tell(*this, Event::close);
  closed_ = true;
  close();
}

void Peer::do_abort() {
  if (!made()) return;
  stage_->watching().tell(*this, Event::abort);
  aborted_ = true;
  abort();
}

void Peer::do_write_eof() {
  if (over() || !transport()->can_write_eof()) return;
  stage_->watching().tell(*this, Event::write_eof);
  sent_all_ = eof_sent_ = true;
  wrote_at_ = stage_->loop().time();
  plan_.total = std::min<std::size_t>(plan_.total, static_cast<std::size_t>(sent()));
  write_eof();
}

void Peer::do_pause() {
  if (!made()) return;
  stage_->watching().tell(*this, Event::pause_reading);
  pause_reading();
}

void Peer::do_resume() {
  if (!made()) return;
  stage_->watching().tell(*this, Event::resume_reading);
  resume_reading();
}

void Peer::do_write(std::size_t size) {
  if (!made() || !number_ || eof_sent_) return;
  if (over()) {
    // It is dropped.
    stage_->watching().tell(*this, Event::write);
    testing::PatternWriter dropped(out_);
    return write(next_bytes(dropped, size));
  }
  if (sent_all_) return;
  write_chunk(size);
  plan_.total = std::max<std::size_t>(plan_.total, static_cast<std::size_t>(sent()));
}

void Peer::do_something(testing::Seed& lot) {
  if (eof_sent_ && lot.permille(200)) return do_abort();
  switch (lot.below(10)) {
    case 0:
      return do_close();
    case 1:
      return do_abort();
    case 2:
      return do_write_eof();
    case 3:
    case 4:
      do_pause();
      return rest_timer_.set(std::chrono::microseconds(lot.between(1, 20'000)));
    case 5:
      return do_resume();
    default:
      return do_write(lot.between(1, 3000));
  }
}

void Peer::retire() noexcept {
  on_made = nullptr;
  on_data = nullptr;
  on_eof = nullptr;
  on_lost = nullptr;
  on_pause = nullptr;
  on_resume = nullptr;
  in_callback = nullptr;
  on_raw = nullptr;
  write_timer_.cancel();
  rest_timer_.cancel();
}

}  // namespace ferry::test
