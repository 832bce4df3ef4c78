#include "streams_fixture.h"

#include <utility>

namespace ferry::test {

Coro<std::string> read(StreamReader reader, std::size_t n) {
  co_return co_await reader.read(n);
}

Coro<std::string> read_view(StreamReader reader, std::size_t n) {
  const BytesView bytes = co_await reader.read_view(n);
  co_return std::string(bytes.text());
}

Coro<std::string> readexactly(StreamReader reader, std::size_t n) {
  co_return co_await reader.readexactly(n);
}

Coro<std::string> readexactly_view(StreamReader reader, std::size_t n) {
  const BytesView bytes = co_await reader.readexactly_view(n);
  co_return std::string(bytes.text());
}

Coro<std::string> readline(StreamReader reader) {
  co_return co_await reader.readline();
}

Coro<std::string> readline_view(StreamReader reader) {
  const BytesView bytes = co_await reader.readline_view();
  co_return std::string(bytes.text());
}

Coro<std::string> readuntil(StreamReader reader, std::vector<std::string_view> separators) {
  co_return co_await reader.readuntil(separators);
}

Coro<std::string> readuntil_view(StreamReader reader, std::string_view separator) {
  const BytesView bytes = co_await reader.readuntil_view(separator);
  co_return std::string(bytes.text());
}

Coro<std::optional<std::string>> next_line(StreamReader reader) {
  co_return co_await reader.next_line();
}

Coro<> drain(StreamWriter writer) {
  co_await writer.drain();
}

Coro<> wait_closed(StreamWriter writer) {
  co_await writer.wait_closed();
}

Coro<> send(StreamWriter writer, std::string bytes) {
  writer.write(bytes);
  co_await writer.drain();
}

Coro<> close_stream(StreamWriter writer) {
  writer.close();
  try {
    co_await writer.wait_closed();
  } catch (const std::system_error&) {
  }
}

Coro<> echo(StreamReader reader, StreamWriter writer) {
  try {
    for (;;) {
      const std::string bytes = co_await reader.read(64 * 1024);
      if (bytes.empty()) break;
      writer.write(bytes);
      co_await writer.drain();
    }
    writer.close();
    co_await writer.wait_closed();
  } catch (const std::system_error&) {
    // The client has gone away.
  }
}

Coro<std::string> outcome_of(Coro<std::string> call) {
  try {
    co_return co_await std::move(call);
  } catch (const IncompleteReadError& error) {
    std::string text = "incomplete " + error.partial();
    if (error.expected()) text += " of " + std::to_string(*error.expected());
    co_return text;
  } catch (const LimitOverrunError& error) {
    std::string text = "overrun ";
    text += std::to_string(error.consumed());
    co_return text;
  } catch (const std::exception& error) {
    std::string text = "error ";
    text += error.what();
    co_return text;
  }
}

std::shared_ptr<Transport> transport_of(const StreamWriter& writer) {
  return writer.transport();
}

namespace {

ConnectOptions over(int fd) {
  ConnectOptions options;
  options.socket = fd;
  return options;
}

}  // namespace

FarStream StreamsFixture::open_stream(std::size_t limit, int buffer) {
  ConnectedSockets sockets = connect_sockets(buffer);
  Stream stream = run(open_connection(over(sockets.near), limit));
  return {std::move(stream.reader), std::move(stream.writer), std::move(sockets.far)};
}

StreamCouple StreamsFixture::open_streams(std::size_t limit, int buffer) {
  ConnectedSockets sockets = connect_sockets(buffer);
  Stream near = run(open_connection(over(sockets.near), limit));
  Stream far = run(open_connection(over(sockets.far->take().release()), limit));
  return {std::move(near), std::move(far)};
}

Stream StreamsFixture::dial_stream(const Server& server, std::size_t limit) {
  return run(open_connection(to(server.sockets().at(0)), limit));
}

std::size_t StreamsFixture::fill(const StreamWriter& writer) {
  kernel().block_sends();
  const std::string block = pattern(10'000);
  std::size_t written = 0;
  const std::shared_ptr<Transport> transport = transport_of(writer);
  while (transport->get_write_buffer_size() <= transport->get_write_buffer_limits().high) {
    writer.write(block);
    written += block.size();
  }
  return written;
}

StreamReader FedReaderFixture::fed(BytesView bytes, std::size_t limit) {
  StreamReader reader(limit);
  reader.feed_data(bytes);
  return reader;
}

StreamReader FedReaderFixture::ended(BytesView bytes, std::size_t limit) {
  StreamReader reader = fed(bytes, limit);
  reader.feed_eof();
  return reader;
}

std::string FedReaderFixture::outcome(Coro<std::string> call) {
  const Task<std::string> task = start(outcome_of(std::move(call)));
  tick(3);
  if (task.done()) return task.result();
  task.cancel();
  tick(3);
  return "waits";
}

std::string FedReaderFixture::rest(StreamReader& reader) {
  reader.feed_eof();
  return run(read(reader));
}

}  // namespace ferry::test
