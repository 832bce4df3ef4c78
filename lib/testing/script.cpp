#include "script.h"

#include "escaped.h"
#include "joined.h"

#include <netinet/in.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace ferry::testing {

namespace {

using Kind = ScriptStep::Kind;

std::string so_many_bytes(std::size_t count) {
  return std::to_string(count) + (count == 1 ? " byte" : " bytes");
}

/// "50 ms", "10 s"
std::string so_long(Duration time) {
  const auto count = std::chrono::duration_cast<std::chrono::microseconds>(time).count();
  if (count % 1'000'000 == 0) return std::to_string(count / 1'000'000) + " s";
  if (count % 1000 == 0) return std::to_string(count / 1000) + " ms";
  return std::to_string(count) + " us";
}

}  // namespace

// -- steps

std::string ScriptStep::to_string() const {
  switch (kind) {
    case Kind::expect:
      return joined({"expect ", escaped(bytes)});
    case Kind::take:
      return joined({"take ", so_many_bytes(size)});
    case Kind::take_until:
      return joined({"take until ", escaped(bytes)});
    case Kind::expect_eof:
      return "expect the end";
    case Kind::expect_reset:
      return "expect a reset";
    case Kind::expect_silence:
      return joined({"expect silence for ", so_long(time)});
    case Kind::send:
      return joined({"send ", escaped(bytes)});
    case Kind::send_slowly:
      return joined({"send slowly ", escaped(bytes)});
    case Kind::shutdown:
      return "shutdown";
    case Kind::close:
      return "close";
    case Kind::reset:
      return "reset";
    case Kind::wait:
      return joined({"wait ", so_long(time)});
    case Kind::call:
      return "call";
  }
  return {};
}

bool ScriptStep::reads() const noexcept {
  return kind == Kind::expect || kind == Kind::take || kind == Kind::take_until ||
         kind == Kind::expect_eof || kind == Kind::expect_reset || kind == Kind::expect_silence;
}

void Script::add(ScriptStep step) {
  if (calling_) {
    steps_.insert(steps_.begin() + static_cast<std::ptrdiff_t>(add_at_++), std::move(step));
  } else {
    steps_.push_back(std::move(step));
  }
  if (transport_) run_soon();
}

// -- the connection

void Script::expect_connection(EventLoop& loop) {
  loop_ = &loop;
  deadline_.emplace(loop, [this] { on_deadline(); });
  pause_.emplace(loop, [this] {
    pause_over_ = true;
    run();
  });
  if (!transport_) deadline_->set(limit_);
}

void Script::connection_made(std::shared_ptr<Transport> transport) {
  if (transport_) return transport->abort();  // the protocol of another one already
  transport_ = std::move(transport);
  if (const auto server = server_.lock()) server->close();
  connecting_ = {};
  if (failed_) return transport_->abort();
  if (!loop_) expect_connection(transport_->loop());
  deadline_->cancel();
  transport_->set_write_buffer_limits(0, 0);  // so that we hear when all is sent
  set_reading();
  run_soon();
}

void Script::data_received(BytesView data) {
  unread_ += data.text();
  run_soon();
}

bool Script::eof_received() {
  eof_ = true;
  run_soon();
  return true;
}

void Script::connection_lost(std::error_code error) {
  lost_ = true;
  error_ = error;
  run();  // the loop may close, and call nothing later
}

void Script::resume_writing() {
  writing_paused_ = false;
  run_soon();
}

void Script::end_opening() {
  if (const auto server = server_.lock()) server->close();
  if (connecting_.valid()) std::exchange(connecting_, {}).cancel();
}

void Script::give_up() {
  failed_ = true;
  waiting_.clear();
  pause_.reset();
  deadline_.reset();
  end_opening();
  if (transport_) transport_->abort();
}

// -- doing the steps

/// Not from inside a callback, where what several steps write would be gathered into one.
void Script::run_soon() {
  if (lost_) return run();
  if (std::exchange(scheduled_, true)) return;
  loop_->call_soon([weak = weak_from_this()] {
    if (const auto script = weak.lock()) script->run();
  });
}

void Script::run() {
  scheduled_ = false;
  const auto alive = shared_from_this();
  while (!done()) {
    bool over = false;
    try {
      over = std::exchange(begun_, true) ? go_on() : begin();
    } catch (const std::exception& error) {
      fail_step(error.what());
    }
    if (failed_ || !over) break;
    ++at_;
    begun_ = false;
    deadline_->cancel();
    pause_->cancel();
  }
  set_reading();
  if (done()) tell_finished();
}

/// What is to be done once for a step; true if that was all.
bool Script::begin() {
  pause_over_ = false;
  ended_before_ = eof_;
  checked_ = 0;
  sent_ = 0;
  ScriptStep& step = steps_[at_];
  switch (step.kind) {
    case Kind::send:
      if (!still_connected()) return false;
      transport_->write(step.bytes);
      break;
    case Kind::send_slowly:
      pause_over_ = true;
      break;
    case Kind::shutdown:
      if (!still_connected()) return false;
      transport_->write_eof();
      return true;
    case Kind::close:
      transport_->close();
      break;
    case Kind::reset:
      if (!still_connected()) return false;
      loop_->kernel().set_option(transport_->native_handle(), SOL_SOCKET, SO_LINGER, 0);
      transport_->abort();
      break;
    case Kind::wait:
    case Kind::expect_silence:
      pause_->set(step.time);
      return go_on();
    case Kind::call: {
      // The steps may move when it adds to them.
      Function<void()> function = std::move(step.function);
      add_at_ = at_ + 1;
      calling_ = true;
      struct End {
        bool& calling;
        ~End() { calling = false; }
      } const end{calling_};
      function();
      return true;
    }
    default:
      break;
  }
  if (step.kind != Kind::send_slowly) deadline_->set(limit_);
  return go_on();
}

/// Something has happened, or the step has begun; true if the step is done.
bool Script::go_on() {
  const ScriptStep& step = steps_[at_];
  switch (step.kind) {
    case Kind::expect:
      return expect(step);
    case Kind::take:
      return take(step, step.size);
    case Kind::take_until:
      return take_until(step);
    case Kind::expect_eof:
    case Kind::expect_reset:
      return expect_end(step);
    case Kind::expect_silence:
      return expect_silence();
    case Kind::send:
      return still_connected() && !writing_paused_;
    case Kind::send_slowly:
      return send_piece(step);
    case Kind::close:
    case Kind::reset:
      return lost_;
    case Kind::wait:
      return pause_over_;
    case Kind::shutdown:
    case Kind::call:
      break;
  }
  return true;
}

bool Script::expect(const ScriptStep& step) {
  const std::size_t there = std::min(unread_.size(), step.bytes.size());
  std::size_t right = checked_;
  while (right < there && unread_[right] == step.bytes[right]) ++right;
  checked_ = right;
  if (right < there) {
    constexpr std::size_t kBefore = 20;  // bytes shown
    const std::size_t from = right > 2 * kBefore ? right - kBefore : 0;
    fail_step(joined({"byte ", std::to_string(right), " is another one (byte ",
                      std::to_string(position_ + right), " of all that came)\n  expected ",
                      escaped(step.bytes, from), "\n  got      ", escaped(unread_, from)}));
    return false;
  }
  if (right == step.bytes.size()) {
    consume(right);
    return true;
  }
  more_needed(step.bytes.size());
  return false;
}

bool Script::take(const ScriptStep& step, std::size_t size) {
  if (unread_.size() < size) {
    more_needed(size);
    return false;
  }
  if (step.into) step.into->assign(unread_, 0, size);
  consume(size);
  return true;
}

bool Script::take_until(const ScriptStep& step) {
  const std::size_t found = unread_.find(step.bytes, checked_);
  if (found != std::string::npos) return take(step, found + step.bytes.size());
  checked_ = unread_.size() - std::min(unread_.size(), step.bytes.size() - 1);
  more_needed(0);
  return false;
}

bool Script::expect_end(const ScriptStep& step) {
  if (!unread_.empty()) {
    fail_step(leftovers() + " came");
    return false;
  }
  if (step.kind == Kind::expect_eof) {
    if (lost_ && !eof_) fail_step(joined({"the connection was lost: ", error_.message()}));
    return eof_ && !failed_;
  }
  const bool reset = error_ == std::errc::connection_reset || error_ == std::errc::broken_pipe;
  if (eof_ || (lost_ && !reset)) fail_step("it ended in an orderly way");
  return lost_ && reset;
}

bool Script::expect_silence() {
  if (!unread_.empty()) {
    fail_step(leftovers() + " came");
  } else if (lost_ && error_) {
    fail_step(joined({"the connection was lost: ", error_.message()}));
  } else if (lost_ || (eof_ && !ended_before_)) {
    fail_step("the other side ended");
  }
  return pause_over_ && !failed_;
}

bool Script::send_piece(const ScriptStep& step) {
  if (!still_connected() || writing_paused_ || !pause_over_) return false;
  if (sent_ == step.bytes.size()) return true;
  const std::size_t size = std::min(step.size, step.bytes.size() - sent_);
  transport_->write(BytesView(step.bytes).drop(sent_).first(size));
  sent_ += size;
  pause_over_ = false;
  pause_->set(step.time);
  deadline_->set(step.time + limit_);
  return false;
}

bool Script::still_connected() {
  if (!lost_) return true;
  fail_step(error_ ? joined({"the connection is lost: ", error_.message()})
                   : "the connection is over");
  return false;
}

/// Fails if no more will come. `wanted`: bytes; 0: not known.
void Script::more_needed(std::size_t wanted) {
  if (!eof_ && !lost_) return;
  std::string what = lost_ && error_ ? joined({"the connection was lost (", error_.message(), ")"})
                                     : "the other side ended";
  what += joined({" after ", so_many_bytes(unread_.size())});
  if (wanted > 0) what += joined({" of ", std::to_string(wanted)});
  if (!unread_.empty()) what += joined({": ", escaped(unread_)});
  fail_step(what);
}

void Script::consume(std::size_t size) {
  unread_.erase(0, size);
  position_ += size;
}

void Script::on_deadline() {
  const std::string waited = joined({" within ", so_long(limit_)});
  if (!transport_) return fail(joined({"no connection", waited}));
  if (steps_[at_].reads()) {
    return fail_step(unread_.empty() ? joined({"nothing came", waited})
                                     : joined({"no more than ", leftovers(), waited}));
  }
  fail_step(joined({"the other side took too little", waited, ": ",
                    so_many_bytes(transport_->get_write_buffer_size()), " are left"}));
}

/// Reads only what a step wants; after the last one all that comes, to complain about it.
void Script::set_reading() {
  if (!transport_) return;
  if (done() || steps_[at_].reads()) {
    transport_->resume_reading();
  } else {
    transport_->pause_reading();
  }
}

// -- the outcome

void Script::fail_step(const std::string& what) {
  fail(joined({name_of_step(), ": ", what}));
}

void Script::fail(std::string what) {
  if (std::exchange(failed_, true)) return;
  failure_ = std::move(what);
  if (deadline_) deadline_->cancel();
  if (pause_) pause_->cancel();
  end_opening();
  if (transport_) transport_->abort();
  tell_finished();
}

void Script::tell_finished() {
  for (const Future<bool>& future : std::exchange(waiting_, {})) {
    future.try_set_result(!failed_ && unread_.empty());
  }
}

Future<bool> Script::finished(EventLoop& loop) {
  Future<bool> future(loop);
  waiting_.push_back(future);
  if (done()) tell_finished();
  return future;
}

std::string Script::complaint() const {
  if (failed_) return failure_;
  if (!transport_ && !steps_.empty()) return "no connection was made";
  if (!done()) {
    std::string text = name_of_step() + ": not done";
    if (!unread_.empty()) text += joined({"; ", leftovers(), " came so far"});
    return text;
  }
  return unread_.empty() ? "" : leftovers() + " came after the last step";
}

/// "step 2 of 5, expect "OK\r\n""
std::string Script::name_of_step() const {
  return joined({"step ", std::to_string(at_ + 1), " of ", std::to_string(steps_.size()), ", ",
                 steps_[at_].to_string()});
}

std::string Script::leftovers() const {
  return joined({so_many_bytes(unread_.size()), ", ", escaped(unread_), ","});
}

}  // namespace ferry::testing
