#include <ferry/protocol_slot.h>

#include <cassert>
#include <stdexcept>
#include <string>
#include <utility>

namespace ferry {

namespace {

void report(Transport& transport, const char* name, const Protocol* protocol) {
  ExceptionContext context;
  context.message = report_text([name] { return std::string("Protocol.") + name + "() failed"; });
  context.exception = std::current_exception();
  context.transport = &transport;
  context.protocol = protocol;
  try {
    transport.loop().call_exception_handler(context);
  } catch (const LoopExit& exit) {
    transport.loop().exit_soon(exit);
  }
}

}  // namespace

void ProtocolSlot::set(std::shared_ptr<Protocol> protocol) {
  if (!protocol) throw std::invalid_argument("the protocol is null");
  keep_while_running(std::exchange(protocol_, std::move(protocol)));
}

void ProtocolSlot::keep_while_running(const std::shared_ptr<Protocol>& old) noexcept {
  for (Frame* frame = frames_; old && frame; frame = frame->outer) {
    if (frame->running == old.get()) frame->replaced = old;
  }
}

template <class Callback>
bool ProtocolSlot::call(Transport& owner, const char* name, Callback&& callback) {
  Frame frame{protocol_.get(), frames_, nullptr};
  frames_ = &frame;
  bool returned = true;
  try {
    callback(*protocol_);
  } catch (const LoopExit& exit) {
    owner.loop().exit_soon(exit);
  } catch (...) {
    returned = false;
    report(owner, name, frame.running);
  }
  frames_ = frame.outer;
  return returned;
}

bool ProtocolSlot::connection_made(Transport& owner, std::shared_ptr<Transport> transport) {
  assert(state_ == State::fresh);
  state_ = State::made;
  return call(owner, "connection_made",
              [&](Protocol& protocol) { protocol.connection_made(std::move(transport)); });
}

bool ProtocolSlot::data_received(Transport& owner, BytesView data) {
  assert(state_ == State::made && !data.empty());
  return call(owner, "data_received", [data](Protocol& protocol) { protocol.data_received(data); });
}

bool ProtocolSlot::get_buffer(Transport& owner, MutableBytes& into) {
  assert(state_ == State::made);
  return call(owner, "get_buffer", [&](Protocol& protocol) {
    into = protocol.as_buffered()->get_buffer(0);
    if (into.empty()) throw std::logic_error("get_buffer() returned an empty buffer");
  });
}

bool ProtocolSlot::buffer_updated(Transport& owner, std::size_t size) {
  assert(state_ == State::made && size > 0);
  return call(owner, "buffer_updated",
              [size](Protocol& protocol) { protocol.as_buffered()->buffer_updated(size); });
}

bool ProtocolSlot::eof_received(Transport& owner, bool& keep_open) {
  assert(state_ == State::made);
  return call(owner, "eof_received",
              [&](Protocol& protocol) { keep_open = protocol.eof_received(); });
}

bool ProtocolSlot::pause_writing(Transport& owner) {
  assert(state_ == State::made);
  return call(owner, "pause_writing", [](Protocol& protocol) { protocol.pause_writing(); });
}

bool ProtocolSlot::resume_writing(Transport& owner) {
  assert(state_ == State::made);
  return call(owner, "resume_writing", [](Protocol& protocol) { protocol.resume_writing(); });
}

bool ProtocolSlot::connection_lost(Transport& owner, std::error_code error) {
  assert(state_ == State::made);
  state_ = State::lost;
  return call(owner, "connection_lost",
              [&](Protocol& protocol) { protocol.connection_lost(error); });
}

}  // namespace ferry
