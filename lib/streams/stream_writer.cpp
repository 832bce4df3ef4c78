#include <ferry/stream_writer.h>

#include <ferry/await_future.h>
#include <ferry/stream_protocol.h>

#include <stdexcept>
#include <utility>

namespace ferry {

StreamWriterState::StreamWriterState(std::shared_ptr<Transport> to, Ref<WriteFlow> told,
                                     Ref<StreamReaderState> from)
    : transport(std::move(to)), flow(std::move(told)), reader(std::move(from)) {
  if (!transport || !flow) throw std::invalid_argument("StreamWriter: no transport");
}

StreamWriterState::~StreamWriterState() {
  if (transport->is_closing()) return;
  EventLoop& loop = transport->loop();
  if (loop.debug()) {
    loop.log(LogLevel::warning, report_text([this] {
               return "unclosed StreamWriter to " + transport->peername().to_string() +
                      ", closed now";
             }));
  }
  transport->close();
}

void StreamWriter::throw_upgrading() {
  throw std::logic_error("StreamWriter: start_tls is under way");
}

namespace {

[[noreturn]] void throw_lost(const Transport& transport) {
  throw IoError({std::make_error_code(std::errc::connection_reset), "drain", transport.peername()});
}

}  // namespace

// -- waiting

bool StreamWriter::Drain::await_ready() const {
  if (state_->reader && state_->reader->exception()) [[unlikely]]
    std::rethrow_exception(state_->reader->exception());
  const WriteFlow& flow = *state_->flow;
  return flow.lost() || (!flow.paused() && !state_->transport->is_closing());
}

void StreamWriter::Drain::await_suspend(std::coroutine_handle<> coroutine) {
  WaitList& waiting = state_->flow->draining();
  for_room_ = state_->flow->paused();
  wait(waiting, coroutine);
  // While it closes a loop of `write` and `drain` must still let the loss come about.
  if (!for_room_) waiting.wake_all();
}

void StreamWriter::Drain::await_resume() {
  unlink();
  resumed();
  const WriteFlow& flow = *state_->flow;
  if (!flow.lost()) return;
  if (flow.error()) std::rethrow_exception(flow.error());
  // Who waited for room is told of an orderly end by the next drain.
  if (!for_room_) throw_lost(*state_->transport);
}

void StreamWriter::WaitClosed::await_resume() {
  unlink();
  resumed();
  if (flow_->error()) std::rethrow_exception(flow_->error());
}

// -- start_tls

namespace {

Coro<> upgrade(Ref<StreamWriterState> state, std::shared_ptr<TlsContext> context,
               TlsOptions options) {
  StreamWriter::Drain drained(state);
  co_await drained;
  if (state->flow->lost()) throw_lost(*state->transport);
  if (state->reader && state->reader->reading()) {
    throw std::logic_error("StreamWriter::start_tls: a task is reading");
  }
  struct Upgrading {
    StreamWriterState& state;
    explicit Upgrading(StreamWriterState& of) : state(of) { state.upgrading = true; }
    ~Upgrading() { state.upgrading = false; }
  };
  if (state->upgrading) throw std::logic_error("StreamWriter: start_tls is under way");
  const Upgrading upgrading(*state);
  Future<std::shared_ptr<TlsTransport>> future;
  {
    // What has been received already is the beginning of TLS.
    BytesView received;
    if (state->reader) received = state->reader->content();
    future = start_tls(state->transport, std::move(context), std::move(options), received);
    if (state->reader) state->reader->drop_content();
  }
  try {
    co_await future;
  } catch (...) {
    // Cancelled in the very turn in which it succeeded: nobody else would close it.
    if (future.done() && !future.cancelled() && !future.exception()) future.result()->abort();
    throw;
  }
  state->transport = future.result();
  if (state->reader) state->reader->set_transport(state->transport);
  const auto protocol =
      std::dynamic_pointer_cast<StreamReaderProtocol>(state->transport->get_protocol());
  if (protocol) protocol->replace_transport(state->transport);
}

}  // namespace

Coro<> StreamWriter::start_tls(std::shared_ptr<TlsContext> context, TlsOptions options) const {
  return upgrade(state_, std::move(context), std::move(options));
}

}  // namespace ferry
