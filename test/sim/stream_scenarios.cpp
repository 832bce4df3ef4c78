// Streams as programs use them: lines, patterns read in many ways, half-closes, long lines.

#include "pattern.h"
#include "scenarios.h"
#include "stream_world.h"

#include <charconv>
#include <chrono>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::Trial;

constexpr Carrier kThree[] = {Carrier::tcp, Carrier::unix_socket, Carrier::tls};

std::size_t number_in(const std::string& line) {
  std::size_t number = 0;
  std::from_chars(line.data(), line.data() + line.size(), number);
  return number;
}

// -- lines

Coro<> echo_lines(ScenePtr scene, VisitPtr, Stream stream) {
  while (const auto line = co_await wait_for(stream.reader.next_line(), scene->patience())) {
    stream.writer.write(*line);
    co_await wait_for(stream.writer.drain(), scene->patience());
  }
  co_await leave(scene, stream);
}

Coro<> ask_lines(ScenePtr scene, VisitPtr visit, Stream stream) {
  for (std::size_t left = scene->lot.between(1, 8); left > 0; --left) {
    const std::size_t size = scene->lot.permille(900) ? scene->lot.below(100) : 3000;
    std::string line(size, static_cast<char>('a' + visit->number));
    line += "\n";
    stream.writer.write(line);
    co_await wait_for(stream.writer.drain(), scene->patience());
    const std::string answer = co_await wait_for(stream.reader.readline(), scene->patience());
    if (answer == line) continue;
    // A line that is cut off is how the end shows here.
    if (scene->trial.calm() || !line.starts_with(answer)) scene->trial.complain("another answer");
    throw IncompleteReadError(answer, line.size());
  }
  co_await leave(scene, stream);
}

void lines(Trial& trial, Carrier carrier) {
  play_streams(trial, carrier, {.serve = echo_lines, .call = ask_lines, .visits = 3});
}

// -- a pattern, read in every way

/// Sends as many bytes as the line says, and ends.
Coro<> serve_pattern(ScenePtr scene, VisitPtr visit, Stream stream) {
  const std::string line = co_await wait_for(stream.reader.readuntil(), scene->patience());
  for (std::size_t left = number_in(line); left > 0;) {
    const std::size_t size = std::min(left, scene->lot.between(1, 700));
    stream.writer.write(next_bytes(visit->down_sent, size));
    left -= size;
    co_await wait_for(stream.writer.drain(), scene->patience());
    if (scene->lot.permille(100)) co_await sleep(scene->lot.below(3) * 1ms);
  }
  co_await leave(scene, stream);
}

/// One read, of a kind drawn by lot; false at the end.
Coro<bool> read_some(ScenePtr scene, VisitPtr visit, StreamReader reader, std::size_t left) {
  testing::PatternReader& got = visit->down_got;
  const std::size_t size = scene->lot.between(1, 500);
  switch (scene->lot.below(6)) {
    case 0: {
      const std::string bytes = co_await wait_for(reader.read(size), scene->patience());
      got.take(bytes);
      if (bytes.size() > size) scene->trial.complain("read gave more than was asked for");
      co_return !bytes.empty();
    }
    case 1: {
      const BytesView bytes = co_await wait_for(reader.read_view(size), scene->patience());
      const std::size_t before = reader.state()->size();
      co_await sleep(scene->lot.below(2) * 1ms);
      if (reader.state()->size() > before) scene->trial.reached("data while a view is lent");
      got.take(bytes);
      co_return !bytes.empty();
    }
    case 2: {
      const std::size_t exact = std::min(size, left);
      if (exact > 0) got.take(co_await wait_for(reader.readexactly(exact), scene->patience()));
      break;
    }
    case 3: {
      const std::size_t exact = std::min(size, left);
      const BytesView bytes = co_await wait_for(reader.readexactly_view(exact), scene->patience());
      if (bytes.size() != exact) scene->trial.complain("readexactly gave another number");
      got.take(bytes);
      break;
    }
    case 4:
      try {
        got.take(co_await wait_for(reader.readuntil("\x7f"), scene->patience()));
      } catch (const IncompleteReadError& error) {
        got.take(error.partial());
        co_return false;
      } catch (const LimitOverrunError&) {
        scene->trial.reached("limit overrun at a separator");
      }
      break;
    default:
      if (scene->lot.permille(100)) {
        got.take(co_await wait_for(reader.read(), scene->patience()));
        co_return false;
      }
  }
  co_return true;
}

Coro<> ask_pattern(ScenePtr scene, VisitPtr visit, Stream stream) {
  const std::size_t size = scene->lot.below(6000);
  stream.writer.write(std::to_string(size) + "\n");
  while (visit->down_got.received() < size) {
    const std::size_t left = size - static_cast<std::size_t>(visit->down_got.received());
    const bool more = co_await read_some(scene, visit, stream.reader, left);
    if (!more) break;
  }
  const std::string rest = co_await wait_for(stream.reader.read(1), scene->patience());
  if (!rest.empty() || !stream.reader.at_eof()) scene->trial.complain("more than was asked for");
  if (visit->down_got.received() < size) throw IncompleteReadError({}, size);
  co_await leave(scene, stream);
}

void patterns(Trial& trial, Carrier carrier) {
  play_streams(trial, carrier,
               {.serve = serve_pattern, .call = ask_pattern, .visits = 2, .client_limit = 600});
}

// -- one direction ends before the other

Coro<> answer_at_eof(ScenePtr scene, VisitPtr visit, Stream stream) {
  visit->up_got.take(co_await wait_for(stream.reader.read(), scene->patience()));
  for (std::uint64_t left = visit->up_got.received(); left > 0;) {
    const std::size_t size = std::min<std::size_t>(left, scene->lot.between(1, 2000));
    stream.writer.write(next_bytes(visit->down_sent, size));
    left -= size;
    co_await wait_for(stream.writer.drain(), scene->patience());
  }
  co_await leave(scene, stream);
}

Coro<> end_and_listen(ScenePtr scene, VisitPtr visit, Stream stream) {
  for (std::size_t left = scene->lot.below(8); left > 0; --left) {
    stream.writer.write(next_bytes(visit->up_sent, scene->lot.between(1, 3000)));
    if (left == 1 && scene->lot.permille(500)) break;
    co_await wait_for(stream.writer.drain(), scene->patience());
    if (scene->lot.permille(300)) co_await sleep(1ms);
  }
  if (stream.writer.transport()->get_write_buffer_size() > 0) {
    scene->trial.reached("write_eof with bytes buffered");
  }
  stream.writer.write_eof();
  while (true) {
    const BytesView bytes = co_await wait_for(stream.reader.read_view(), scene->patience());
    if (bytes.empty()) break;
    visit->down_got.take(bytes);
  }
  if (visit->down_got.received() != visit->up_sent.position()) {
    throw IncompleteReadError({}, static_cast<std::size_t>(visit->up_sent.position()));
  }
  co_await leave(scene, stream);
}

void half_close(Trial& trial, Carrier carrier) {
  play_streams(trial, carrier, {.serve = answer_at_eof, .call = end_and_listen, .visits = 2});
}

// -- less than was promised

Coro<> promise_too_much(ScenePtr scene, VisitPtr visit, Stream stream) {
  const std::string line = co_await wait_for(stream.reader.readuntil(), scene->patience());
  const std::size_t promised = number_in(line);
  stream.writer.write(next_bytes(visit->down_sent, scene->lot.below(promised)));
  co_await leave(scene, stream);
}

Coro<> want_all(ScenePtr scene, VisitPtr visit, Stream stream) {
  const std::size_t size = scene->lot.between(1, 3000);
  stream.writer.write(std::to_string(size) + "\n");
  bool all = true;
  try {
    if (scene->lot.permille(500)) {
      visit->down_got.take(co_await wait_for(stream.reader.readexactly(size), scene->patience()));
    } else {
      visit->down_got.take(
          co_await wait_for(stream.reader.readuntil("no such words"), scene->patience()));
    }
  } catch (const IncompleteReadError& error) {
    all = false;
    scene->trial.reached("incomplete read at the end");
    visit->down_got.take(error.partial());
    if (error.partial().size() >= size) scene->trial.complain("incomplete, and yet all");
  }
  if (all) scene->trial.complain("more came than there was");
  const std::string after = co_await wait_for(stream.reader.read(), scene->patience());
  if (!after.empty()) scene->trial.complain("bytes after the end");
  co_await leave(scene, stream);
}

void short_answers(Trial& trial, Carrier carrier) {
  play_streams(trial, carrier, {.serve = promise_too_much, .call = want_all, .visits = 3});
}

// -- lines beyond the limit

constexpr std::size_t kLimit = 200;

/// Answers with the lengths of all lines, however long.
Coro<> measure_lines(ScenePtr scene, VisitPtr, Stream stream) {
  std::string lengths;
  std::size_t dropped = 0;  // of the line that is too long
  while (true) {
    if (scene->lot.permille(300)) co_await sleep(scene->lot.below(4) * 1ms);
    const auto& transport = stream.writer.transport();
    const bool paused = !transport->is_reading() && !transport->is_closing();
    std::size_t overrun = 0;
    std::string line;
    try {
      line = co_await wait_for(stream.reader.readuntil("\n"), scene->patience());
      if (line.size() > kLimit + 1) scene->trial.complain("a line beyond the limit");
    } catch (const LimitOverrunError& error) {
      overrun = error.consumed();
      if (overrun <= kLimit) scene->trial.complain("a limit overrun within the limit");
      if (paused) scene->trial.reached("limit overrun while paused");
    }
    if (overrun > 0) {
      const std::string bytes =
          co_await wait_for(stream.reader.readexactly(overrun), scene->patience());
      dropped += bytes.size();
      if (bytes != std::string(bytes.size(), 'x')) {
        scene->trial.complain("a limit overrun dropped what it should not");
      }
      continue;
    }
    if (line == "end\n" && dropped == 0) break;
    lengths += std::to_string(std::exchange(dropped, 0) + line.size()) + " ";
  }
  stream.writer.write(lengths + "\n");
  co_await leave(scene, stream);
}

Coro<> send_long_lines(ScenePtr scene, VisitPtr, Stream stream) {
  std::string lengths;
  for (std::size_t i = scene->lot.between(1, 8); i > 0; --i) {
    const std::size_t size =
        scene->lot.permille(600) ? scene->lot.below(kLimit) : scene->lot.below(3000);
    const std::string line = std::string(size, 'x') + "\n";
    lengths += std::to_string(line.size()) + " ";
    stream.writer.write(line);
    co_await wait_for(stream.writer.drain(), scene->patience());
    if (scene->lot.permille(300)) co_await sleep(1ms);
  }
  stream.writer.write("end\n");
  const std::string answer = co_await wait_for(stream.reader.readline(), scene->patience());
  if (!answer.ends_with('\n')) throw IncompleteReadError(answer, std::nullopt);
  if (answer != lengths + "\n") scene->trial.complain("lines were measured wrongly");
  co_await leave(scene, stream);
}

void limit_overruns(Trial& trial, Carrier carrier) {
  play_streams(
      trial, carrier,
      {.serve = measure_lines, .call = send_long_lines, .visits = 2, .server_limit = kLimit});
}

}  // namespace

void add_stream_scenarios(std::vector<testing::Scenario>& all) {
  add(all, "stream-lines", kAll, lines);
  add(all, "stream-patterns", kAll, patterns);
  add(all, "stream-half-close", kPlain, half_close);
  add(all, "stream-short-answers", kThree, short_answers);
  add(all, "stream-limit-overruns", kThree, limit_overruns);
}

}  // namespace ferry::test
