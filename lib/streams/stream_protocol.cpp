#include <ferry/stream_protocol.h>

#include <ferry/task.h>

#include <new>

namespace ferry {

namespace detail {

void serve_connection(const std::shared_ptr<Transport>& transport, Coro<> serving,
                      std::shared_ptr<void> handler) {
  const Task<> task = create_task(transport->loop(), std::move(serving));
  // The coroutine may use what the handler captured.
  task.add_done_callback([transport, kept = std::move(handler)](const Future<void>& done) {
    if (done.cancelled()) return transport->close();
    if (std::exception_ptr exception = done.exception()) {
      ExceptionContext context;
      context.message =
          report_text([] { return std::string("Unhandled exception in client_connected_cb"); });
      context.exception = std::move(exception);
      context.transport = transport.get();
      context.future = done.state();
      transport->loop().call_exception_handler(context);
      transport->close();
    }
  });
}

}  // namespace detail

StreamReaderProtocol::StreamReaderProtocol(std::size_t limit, StreamHandler handler)
    : handler_(std::move(handler)), reader_(new StreamReaderState(limit)), flow_(new WriteFlow) {}

void StreamReaderProtocol::connection_made(std::shared_ptr<Transport> transport) {
  transport_ = std::move(transport);
  reader_->set_transport(transport_);
  if (handler_) std::exchange(handler_, {})(reader(), writer());
}

void StreamReaderProtocol::data_received(BytesView data) {
  reader_->feed_data(data);
}

bool StreamReaderProtocol::eof_received() {
  const bool half_open = transport_->can_write_eof();
  reader_->feed_eof();
  return half_open;
}

void StreamReaderProtocol::connection_lost(std::error_code error) {
  std::exception_ptr exception;
  try {
    if (error) {
      Error story = transport_->error();
      if (story.code != error) story = {error, "connection", transport_->peername()};
      exception = std::make_exception_ptr(IoError(std::move(story)));
    }
  } catch (const std::bad_alloc&) {
    exception = std::current_exception();  // of whatever it was lost, this is why nobody knows
  }
  reader_->set_transport(nullptr);
  flow_->lose(exception);
  if (exception) {
    reader_->set_exception(std::move(exception));
  } else {
    reader_->feed_eof();
  }
}

}  // namespace ferry
