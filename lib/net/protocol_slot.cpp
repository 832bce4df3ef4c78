#include "protocol_slot.h"

#include <cassert>
#include <stdexcept>
#include <string>
#include <utility>

namespace ferry {

void ProtocolSlot::set(std::shared_ptr<Protocol> protocol) {
  if (!protocol) throw std::invalid_argument("the protocol is null");
  std::shared_ptr<Protocol> old = std::exchange(protocol_, std::move(protocol));
  buffered_ = protocol_->as_buffered();
  for (Frame* frame = frames_; old && frame; frame = frame->outer) {
    if (frame->running == old.get()) frame->replaced = old;
  }
}

template <class Callback>
bool ProtocolSlot::call(const char* name, Callback&& callback) {
  Frame frame{protocol_.get(), frames_, nullptr};
  frames_ = &frame;
  bool returned = true;
  try {
    callback(*protocol_);
  } catch (const LoopExit& exit) {
    transport_.loop().call_soon([exit] { throw exit; });
  } catch (...) {
    returned = false;
    report(name, frame.running);
  }
  frames_ = frame.outer;
  return returned;
}

void ProtocolSlot::report(const char* name, const Protocol* protocol) {
  ExceptionContext context;
  context.message = std::string("Protocol.") + name + "() failed";
  context.exception = std::current_exception();
  context.transport = &transport_;
  context.protocol = protocol;
  try {
    transport_.loop().call_exception_handler(context);
  } catch (const LoopExit& exit) {
    transport_.loop().call_soon([exit] { throw exit; });
  }
}

bool ProtocolSlot::connection_made(std::shared_ptr<Transport> transport) {
  assert(state_ == State::fresh);
  state_ = State::made;
  return call("connection_made",
              [&](Protocol& protocol) { protocol.connection_made(std::move(transport)); });
}

bool ProtocolSlot::data_received(BytesView data) {
  assert(state_ == State::made && !data.empty());
  return call("data_received", [data](Protocol& protocol) { protocol.data_received(data); });
}

bool ProtocolSlot::get_buffer(MutableBytes& into) {
  assert(state_ == State::made && buffered_);
  return call("get_buffer", [&](Protocol&) {
    into = buffered_->get_buffer(0);
    if (into.empty()) throw std::logic_error("get_buffer() returned an empty buffer");
  });
}

bool ProtocolSlot::buffer_updated(std::size_t size) {
  assert(state_ == State::made && buffered_ && size > 0);
  return call("buffer_updated", [&](Protocol&) { buffered_->buffer_updated(size); });
}

bool ProtocolSlot::eof_received(bool& keep_open) {
  assert(state_ == State::made);
  return call("eof_received", [&](Protocol& protocol) { keep_open = protocol.eof_received(); });
}

bool ProtocolSlot::pause_writing() {
  assert(state_ == State::made);
  return call("pause_writing", [](Protocol& protocol) { protocol.pause_writing(); });
}

bool ProtocolSlot::resume_writing() {
  assert(state_ == State::made);
  return call("resume_writing", [](Protocol& protocol) { protocol.resume_writing(); });
}

bool ProtocolSlot::connection_lost(std::error_code error) {
  assert(state_ == State::made);
  state_ = State::lost;
  return call("connection_lost", [&](Protocol& protocol) { protocol.connection_lost(error); });
}

}  // namespace ferry
