#pragma once

#include "net_fixture.h"
#include "task_fixture.h"

#include <ferry/streams.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::test {

/// A stream of the program, and the other end of its wire, which the test moves by hand.
struct FarStream {
  StreamReader reader;
  StreamWriter writer;
  std::shared_ptr<FarEnd> peer;
};

/// Two streams that talk to each other.
struct StreamCouple {
  Stream near;
  Stream far;
};

// Each of a reader's calls as a coroutine, to be run or started.
Coro<std::string> read(StreamReader reader, std::size_t n = StreamReader::kUntilEof);
Coro<std::string> read_view(StreamReader reader, std::size_t n);
Coro<std::string> readexactly(StreamReader reader, std::size_t n);
Coro<std::string> readexactly_view(StreamReader reader, std::size_t n);
Coro<std::string> readline(StreamReader reader);
Coro<std::string> readline_view(StreamReader reader);
/// The separators must outlive the call.
Coro<std::string> readuntil(StreamReader reader, std::vector<std::string_view> separators);
Coro<std::string> readuntil_view(StreamReader reader, std::string_view separator);
Coro<std::optional<std::string>> next_line(StreamReader reader);
Coro<> drain(StreamWriter writer);
Coro<> wait_closed(StreamWriter writer);
/// write, then drain.
Coro<> send(StreamWriter writer, std::string bytes);
/// close, then wait_closed; errors of the connection are of no interest.
Coro<> close_stream(StreamWriter writer);
/// Sends back what comes, and closes at its end. An error of the connection just ends it.
Coro<> echo(StreamReader reader, StreamWriter writer);

/// What a call of a reader's came to, as text: the bytes; "incomplete <partial> of <expected>",
/// "overrun <consumed>", "error <what>".
Coro<std::string> outcome_of(Coro<std::string> call);

/// The one it writes to now.
std::shared_ptr<Transport> transport_of(const StreamWriter& writer);

/// Streams in one of the worlds, on a kernel that a test can script.
class StreamsFixture : public WithTasks<NetTest> {
 protected:
  /// `buffer` as in StreamFixture::connect_sockets.
  FarStream open_stream(std::size_t limit = StreamReader::kDefaultLimit, int buffer = 0);
  StreamCouple open_streams(std::size_t limit = StreamReader::kDefaultLimit, int buffer = 0);
  /// On loopback, any port.
  template <class Handler>
  std::shared_ptr<Server> serve_streams(Handler handler,
                                        std::size_t limit = StreamReader::kDefaultLimit) {
    return run(start_server(std::move(handler), on_loopback(), limit));
  }
  Stream dial_stream(const Server& server, std::size_t limit = StreamReader::kDefaultLimit);
  /// Runs `call`, which must fail with `E`, and gives that.
  template <class E, class T>
  E failure_of(Coro<T> call) {
    const Task<T> task = start(std::move(call));
    finish(task);
    try {
      task.result();
    } catch (const E& error) {
      return error;
    }
    throw std::logic_error("the call did not fail");
  }
  /// Writes until the writer is above its high-water mark; gives the number of bytes. The kernel
  /// takes nothing meanwhile.
  std::size_t fill(const StreamWriter& writer);
};

/// In simulated time, for readers that are fed by hand.
class FedReaderFixture : public StreamsFixture {
 protected:
  World world() const override { return World::sim; }

  static StreamReader fed(BytesView bytes, std::size_t limit = StreamReader::kDefaultLimit);
  static StreamReader ended(BytesView bytes, std::size_t limit = StreamReader::kDefaultLimit);
  /// As outcome_of, or "waits" if it does not end by itself.
  std::string outcome(Coro<std::string> call);
  /// All that is there, at the end.
  std::string rest(StreamReader& reader);
};

}  // namespace ferry::test
