#include "watching.h"

#include <algorithm>
#include <cerrno>

namespace ferry::test {

using testing::ConnectionRecord;

namespace {

// What can be said of a connection, or of the program, at the same time.
enum Situation : unsigned {
  kConnecting = 1,
  kHandshake = 2,
  kOpen = 4,  // made, neither closed nor lost
  kReadingPaused = 8,
  kWritingPaused = 16,
  kEof = 32,
  kEofSent = 64,
  kClosing = 128,  // closed, but not lost yet
  kAborted = 256,
  kQueue = 512,  // something waits to be sent
  kLost = 1024,
  kDraining = 2048,
};

struct Sight {
  Event event;
  unsigned situation;  // all of these
  const char* name;
};

constexpr Sight kSights[] = {
    {Event::reset, kHandshake, "RST in handshake"},
    {Event::end, kHandshake, "EOF in handshake"},
    {Event::broken, kHandshake, "send fails in handshake"},
    {Event::short_send, kHandshake, "short send in handshake"},
    {Event::blocked, kHandshake, "EAGAIN in handshake"},
    {Event::reset, kOpen | kWritingPaused, "RST while writing is paused"},
    {Event::reset, kEofSent, "RST after write_eof"},
    {Event::reset, kClosing, "RST while closing"},
    {Event::end, kOpen | kWritingPaused, "EOF while writing is paused"},
    {Event::end, kOpen | kQueue, "EOF with a queue"},
    {Event::end, kClosing, "EOF while closing"},
    {Event::broken, kOpen | kWritingPaused, "send fails while writing is paused"},
    {Event::broken, kOpen | kReadingPaused, "send fails while reading is paused"},
    {Event::broken, kEof, "send fails after EOF"},
    {Event::broken, kClosing, "send fails while closing"},
    {Event::blocked, kClosing, "EAGAIN while closing"},
    {Event::blocked, kOpen | kReadingPaused, "EAGAIN while reading is paused"},
    {Event::blocked, kEof, "EAGAIN after EOF"},
    {Event::short_send, kClosing, "short send while closing"},
    {Event::short_send, kOpen | kReadingPaused, "short send while reading is paused"},
    {Event::short_send, kEof, "short send after EOF"},
    {Event::no_buffers, 0, "no memory in send"},
    {Event::accept_no_descriptors, 0, "EMFILE in accept"},
    {Event::accept_no_descriptors, kDraining, "EMFILE in accept while an old server drains"},
    {Event::accept_aborted, 0, "ECONNABORTED in accept"},
    {Event::accept_no_memory, 0, "no memory in accept"},
    {Event::connect_refused, 0, "connect refused"},
    {Event::connect_failed, 0, "connect fails"},
    {Event::socket_failed, 0, "no socket to be had"},
    {Event::close, kOpen | kWritingPaused, "close while writing is paused"},
    {Event::close, kOpen | kReadingPaused, "close while reading is paused"},
    {Event::close, kOpen | kQueue, "close with a queue"},
    {Event::close, kOpen | kEofSent, "close after write_eof"},
    {Event::abort, kOpen | kWritingPaused, "abort while writing is paused"},
    {Event::abort, kOpen | kReadingPaused, "abort while reading is paused"},
    {Event::abort, kOpen | kQueue, "abort with a queue"},
    {Event::abort, kClosing | kQueue, "abort while closing with a queue"},
    {Event::write, kClosing, "write while closing"},
    {Event::write, kLost, "write after loss"},
    {Event::write_eof, kOpen | kWritingPaused, "half-close while writing is paused"},
    {Event::write_eof, kOpen | kQueue, "half-close with a queue"},
    {Event::write_eof, kOpen | kEof, "half-close after EOF"},
    {Event::pause_reading, kClosing, "pause while closing"},
    {Event::pause_reading, kOpen | kWritingPaused, "both directions paused"},
    {Event::resume_reading, kClosing, "resume while closing"},
    {Event::resume_writing, kClosing, "resume_writing while closing"},
    {Event::resume_writing, kOpen | kReadingPaused, "resume_writing while reading is paused"},
    {Event::resume_writing, kOpen | kEof, "resume_writing after EOF"},
    {Event::data, kOpen | kEofSent, "data after write_eof"},
    {Event::data, kOpen | kWritingPaused, "data while writing is paused"},
    {Event::lost_with_error, kReadingPaused, "lost while reading is paused"},
    {Event::lost_with_error, kWritingPaused, "lost while writing is paused"},
    {Event::lost_with_error, kEofSent, "lost after write_eof"},
    {Event::lost_with_error, kEof, "lost after EOF"},
};

bool is_send(std::string_view call) {
  return call == "send" || call == "sendmsg" || call == "writev" || call == "splice";
}

bool no_descriptors(int error) {
  return error == EMFILE || error == ENFILE;
}

bool no_memory(int error) {
  return error == ENOBUFS || error == ENOMEM;
}

}  // namespace

Watching::Watching(testing::Trial& trial, bool encrypted) : trial_(trial), encrypted_(encrypted) {
  trial_.set_observer(
      [this](std::string_view call, int fd, const IoResult& result) { on_call(call, fd, result); });
}

Watching::~Watching() {
  trial_.set_observer(nullptr);
}

std::vector<const char*> Watching::names() {
  std::vector<const char*> all;
  for (const Sight& sight : kSights) all.push_back(sight.name);
  return all;
}

void Watching::add(ConnectionRecord& record) {
  known_.push_back({&record});
}

std::size_t Watching::connecting() const noexcept {
  return static_cast<std::size_t>(
      std::count_if(descriptors_.begin(), descriptors_.end(),
                    [](const auto& each) { return each.second == Phase::connecting; }));
}

Watching::Known* Watching::known(const ConnectionRecord& record) {
  const auto place = std::find_if(known_.begin(), known_.end(),
                                  [&record](const Known& each) { return each.record == &record; });
  return place == known_.end() ? nullptr : &*place;
}

unsigned Watching::situation(const Known& known) const {
  ConnectionRecord& record = *known.record;
  if (!record.made()) return 0;
  const Transport& transport = *record.transport();
  unsigned bits = 0;
  if (record.lost()) return kLost;
  if (known.aborted) {
    bits |= kAborted;
  } else if (transport.is_closing()) {
    bits |= kClosing;
  } else {
    bits |= kOpen;
  }
  if (record.checker().reading_paused()) bits |= kReadingPaused;
  if (record.writing_paused()) bits |= kWritingPaused;
  if (record.eof()) bits |= kEof;
  if (known.eof_sent) bits |= kEofSent;
  if (transport.get_write_buffer_size() > 0) bits |= kQueue;
  return bits;
}

void Watching::happened(Event event, unsigned situation) {
  if (draining_ && draining_->connections() > 0) situation |= kDraining;
  for (const Sight& sight : kSights) {
    if (sight.event == event && (situation & sight.situation) == sight.situation) {
      trial_.reached(sight.name);
    }
  }
}

void Watching::tell(ConnectionRecord& record, Event event) {
  Known* const found = known(record);
  if (!found) return;
  unsigned bits = situation(*found);
  if (event == Event::lost || event == Event::lost_with_error) {
    // What it was in up to now: of the transport nothing is left.
    if (record.writing_paused()) bits |= kWritingPaused;
    if (record.checker().reading_paused()) bits |= kReadingPaused;
    if (record.eof()) bits |= kEof;
    if (found->eof_sent) bits |= kEofSent;
  }
  happened(event, bits);
  if (event == Event::write_eof) found->eof_sent = true;
  if (event == Event::abort) found->aborted = true;
}

void Watching::on_stream_call(int fd, Event event) {
  for (const Known& each : known_) {
    if (each.record->made() && !each.record->lost() &&
        each.record->transport()->native_handle() == fd) {
      return happened(event, situation(each));
    }
  }
  const auto phase = descriptors_.find(fd);
  if (phase == descriptors_.end()) return happened(event, 0);
  const bool handshake = encrypted_ && phase->second == Phase::connected;
  happened(event, handshake ? kHandshake : kConnecting);
}

void Watching::on_failed_send(int fd, int error) {
  if (error == EAGAIN) return on_stream_call(fd, Event::blocked);
  if (no_memory(error)) on_stream_call(fd, Event::no_buffers);
  on_stream_call(fd, Event::broken);
}

void Watching::on_call(std::string_view call, int fd, const IoResult& result) {
  const auto& injected = trial_.faults().injected();
  const bool made_up = injected.size() > injected_;
  injected_ = injected.size();
  if (call == "close") {
    descriptors_.erase(fd);
  } else if (call == "socket") {
    if (result.ok()) {
      descriptors_[result.fd()] = Phase::fresh;
    } else {
      happened(Event::socket_failed, 0);
    }
  } else if (call == "connect") {
    if (result.ok() || result.error == EINPROGRESS) {
      descriptors_[fd] = result.ok() ? Phase::connected : Phase::connecting;
    } else {
      happened(result.error == ECONNREFUSED ? Event::connect_refused : Event::connect_failed, 0);
    }
  } else if (call == "getsockopt") {
    // A connect asks for its outcome, and closes what failed.
    if (const auto place = descriptors_.find(fd); place != descriptors_.end()) {
      place->second = Phase::connected;
    }
  } else if (call == "accept") {
    if (result.ok()) {
      descriptors_[result.fd()] = Phase::connected;
    } else if (no_descriptors(result.error)) {
      happened(Event::accept_no_descriptors, 0);
    } else if (result.error == ECONNABORTED) {
      happened(Event::accept_aborted, 0);
    } else if (no_memory(result.error)) {
      happened(Event::accept_no_memory, 0);
    }
  } else if (call == "recv") {
    if (result.error == ECONNRESET) on_stream_call(fd, Event::reset);
    if (result.ok() && result.value == 0) on_stream_call(fd, Event::end);
  } else if (is_send(call)) {
    if (!result.ok()) {
      on_failed_send(fd, result.error);
    } else if (made_up) {
      on_stream_call(fd, Event::short_send);
    }
  }
}

}  // namespace ferry::test
