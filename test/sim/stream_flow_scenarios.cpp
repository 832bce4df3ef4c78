// Flow control of streams: slow readers, several writers, reads and drains that are cancelled,
// start_tls on the way.

#include "pattern.h"
#include "scenarios.h"
#include "stream_world.h"
#include "task_probe.h"

#include <charconv>
#include <chrono>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::Trial;

constexpr Carrier kTwo[] = {Carrier::tcp, Carrier::tls};
constexpr Carrier kThree[] = {Carrier::tcp, Carrier::unix_socket, Carrier::tls};

// -- who writes waits for who reads, and buffers no more than was agreed

constexpr std::size_t kHigh = 4096;
constexpr std::size_t kBlock = 3000;
constexpr std::size_t kRecordHeaders = 512;  // TLS adds a little to each write

Coro<> pour(ScenePtr scene, VisitPtr visit, Stream stream) {
  const StreamWriter& writer = stream.writer;
  writer.transport()->set_write_buffer_limits(kHigh);
  for (std::size_t left = scene->lot.between(20, 45); left > 0; --left) {
    writer.write(next_bytes(visit->down_sent, scene->lot.between(1, kBlock)));
    if (writer.transport()->get_write_buffer_size() > kHigh + kBlock + kRecordHeaders) {
      scene->trial.complain("more is buffered than drain should let through");
    }
    const bool full = writer.transport()->get_write_buffer_size() > kHigh;
    co_await wait_for(writer.drain(), scene->patience());
    if (full) scene->trial.reached("drain had to wait");
  }
  co_await leave(scene, stream);
}

Coro<> sip(ScenePtr scene, VisitPtr visit, Stream stream) {
  const std::shared_ptr<Transport> transport = stream.writer.transport();
  while (true) {
    if (scene->lot.permille(60)) co_await sleep(scene->lot.between(1, 20) * 1ms);
    if (!transport->is_reading() && !transport->is_closing()) {
      scene->trial.reached("the reader's transport is paused");
    }
    if (stream.reader.state()->size() > 2 * scene->client_limit + 256 * 1024) {
      scene->trial.complain("the reader buffers without limit");
    }
    const BytesView bytes =
        co_await wait_for(stream.reader.read_view(scene->lot.between(1, 4000)), scene->patience());
    if (bytes.empty()) break;
    visit->down_got.take(bytes);
  }
  co_await leave(scene, stream);
}

void slow_reader(Trial& trial, Carrier carrier) {
  play_streams(trial, carrier, {.serve = pour, .call = sip, .visits = 1, .client_limit = 1024});
}

// -- several tasks write to one stream

Coro<> write_records(ScenePtr scene, Stream stream, int number, std::size_t count) {
  const std::string name(1, static_cast<char>('A' + number));
  for (std::size_t i = 0; i < count; ++i) {
    const std::string body(scene->lot.below(1500), name[0]);
    const std::string head = name + std::to_string(i) + " " + std::to_string(body.size()) + "\n";
    stream.writer.writelines({head, body});
    co_await stream.writer.drain();
    if (scene->lot.permille(200)) co_await sleep(scene->lot.below(3) * 1ms);
  }
}

constexpr int kWriters = 3;

Coro<> write_together(ScenePtr scene, VisitPtr, Stream stream) {
  stream.writer.transport()->set_write_buffer_limits(1000);
  const std::size_t count = scene->lot.between(1, 8);
  stream.writer.write(std::to_string(count) + "\n");
  std::vector<Coro<>> writers;
  for (int i = 0; i < kWriters; ++i) writers.push_back(write_records(scene, stream, i, count));
  const auto all = gather(return_exceptions, std::move(writers));
  const auto outcomes = co_await wait_for(all, scene->patience());
  for (const auto& each : outcomes) {
    if (each.exception()) std::rethrow_exception(each.exception());
  }
  co_await leave(scene, stream);
}

Coro<> read_records(ScenePtr scene, VisitPtr, Stream stream) {
  const std::string first = co_await wait_for(stream.reader.readuntil(), scene->patience());
  const std::size_t count = std::stoul(first);
  std::size_t next[kWriters] = {};
  while (true) {
    const std::string head = co_await wait_for(stream.reader.readline(), scene->patience());
    if (head.empty()) break;
    if (!head.ends_with('\n')) throw IncompleteReadError(head, std::nullopt);
    const int writer = head[0] - 'A';
    const std::size_t blank = head.find(' ');
    if (writer < 0 || writer >= kWriters || blank == std::string::npos ||
        head.substr(1, blank - 1) != std::to_string(next[writer]++)) {
      scene->trial.complain("a record is out of order: " + head);
      co_return;
    }
    const std::size_t size = std::stoul(head.substr(blank + 1));
    const std::string body = co_await wait_for(stream.reader.readexactly(size), scene->patience());
    if (body != std::string(size, head[0])) scene->trial.complain("records are mixed up");
  }
  for (const std::size_t each : next) {
    if (each != count) throw IncompleteReadError({}, count);
  }
  co_await leave(scene, stream);
}

void several_writers(Trial& trial, Carrier carrier) {
  play_streams(trial, carrier, {.serve = write_together, .call = read_records, .visits = 1});
}

// -- reads that are cancelled take nothing

Coro<> trickle(ScenePtr scene, VisitPtr visit, Stream stream) {
  for (std::size_t left = scene->lot.between(3, 30); left > 0; --left) {
    stream.writer.write(next_bytes(visit->down_sent, scene->lot.between(1, 300)));
    if (scene->lot.permille(500)) co_await sleep(scene->lot.below(4) * 1ms);
  }
  co_await wait_for(stream.writer.drain(), scene->patience());
  co_await leave(scene, stream);
}

Coro<std::string> read_in_a_way(StreamReader reader, std::size_t kind, std::size_t size) {
  if (kind == 0) co_return co_await reader.readexactly(size);
  if (kind == 1) co_return co_await reader.readuntil("\x11");
  co_return co_await reader.read(size);
}

Coro<> read_and_be_cancelled(ScenePtr scene, VisitPtr visit, Stream stream) {
  Trial& trial = scene->trial;
  while (true) {
    const std::size_t kind = scene->lot.below(4);
    const Task<std::string> task =
        create_task(read_in_a_way(stream.reader, kind, scene->lot.between(1, 400)));
    if (scene->lot.permille(600)) {
      const Duration pause = scene->lot.below(3) * 1ms;
      co_await sleep(pause);
      if (scene->lot.permille(500)) cancel_noting(trial, task);
    }
    std::vector<Task<std::string>> one;
    one.push_back(task);
    WaitOptions options;
    options.timeout = scene->patience();
    co_await wait(one, options);
    if (!task.done()) {
      task.cancel();
      throw TimeoutError("the test's read");
    }
    if (task.cancelled()) continue;
    try {
      const std::string bytes = task.result();
      visit->down_got.take(bytes);
      if (bytes.empty()) break;
    } catch (const IncompleteReadError& error) {
      visit->down_got.take(error.partial());
      break;
    }
  }
  co_await leave(scene, stream);
}

void cancelled_reads(Trial& trial, Carrier carrier) {
  play_streams(trial, carrier, {.serve = trickle, .call = read_and_be_cancelled, .visits = 2});
}

/// The same with limits of time.
Coro<> read_with_limits(ScenePtr scene, VisitPtr visit, Stream stream) {
  const TimePoint give_up = get_running_loop().after(scene->patience());
  std::size_t misses = 0;  // each makes the next limit a little longer
  while (get_running_loop().time() < give_up) {
    const Duration time = scene->lot.below(4) * (1 + misses * misses) * 1ms;
    Timeout limit(time);
    bool over = false;
    try {
      const std::size_t kind = scene->lot.below(4);
      const std::size_t size = scene->lot.between(1, 400);
      const std::string bytes = co_await limit.run(read_in_a_way(stream.reader, kind, size));
      visit->down_got.take(bytes);
      over = bytes.empty();
    } catch (const TimeoutError&) {
      if (!limit.expired()) throw;
      ++misses;
      if (time == Duration::zero()) continue;
      scene->trial.reached("timeout in read");
      if (stream.reader.state()->size() > 0) scene->trial.reached("timeout in read, bytes wait");
    } catch (const IncompleteReadError& error) {
      visit->down_got.take(error.partial());
      over = true;
    }
    if (over) co_return co_await leave(scene, stream);
  }
  throw TimeoutError("the test's reads");
}

void limited_reads(Trial& trial, Carrier carrier) {
  play_streams(trial, carrier, {.serve = trickle, .call = read_with_limits, .visits = 2});
}

// -- drains that are cancelled lose nothing

Coro<> drain_once(StreamWriter writer) {
  co_await writer.drain();
}

Coro<> pour_with_cancels(ScenePtr scene, VisitPtr visit, Stream stream) {
  stream.writer.transport()->set_write_buffer_limits(1000);
  for (std::size_t left = scene->lot.between(10, 35); left > 0; --left) {
    stream.writer.write(next_bytes(visit->down_sent, scene->lot.between(1, 5000)));
    if (scene->lot.permille(400)) {
      const Task<> task = create_task(drain_once(stream.writer));
      co_await sleep(scene->lot.below(3) * 1ms);
      if (cancel_noting(scene->trial, task)) continue;
      co_await task;
    } else if (scene->lot.permille(500)) {
      const Duration time = scene->lot.below(3) * 1ms;
      try {
        co_await wait_for(stream.writer.drain(), time);
      } catch (const TimeoutError&) {
        if (stream.writer.transport()->is_closing()) throw;
        if (time > Duration::zero()) scene->trial.reached("timeout in drain");
      }
    }
  }
  co_await wait_for(stream.writer.drain(), scene->patience());
  co_await leave(scene, stream);
}

void cancelled_drains(Trial& trial, Carrier carrier) {
  play_streams(trial, carrier,
               {.serve = pour_with_cancels, .call = sip, .visits = 1, .client_limit = 1024});
}

// -- start_tls

Coro<> serve_upgrade(ScenePtr scene, VisitPtr visit, Stream stream) {
  const std::string line = co_await wait_for(stream.reader.readuntil(), scene->patience());
  if (line != "STARTTLS\n") scene->trial.complain("another line than was sent");
  stream.writer.write("go ahead\n");
  co_await stream.writer.start_tls(server_side(Carrier::tls));
  while (true) {
    const BytesView bytes = co_await wait_for(stream.reader.read_view(), scene->patience());
    if (bytes.empty()) break;
    visit->up_got.take(bytes);
    stream.writer.write(next_bytes(visit->down_sent, bytes.size()));
    co_await wait_for(stream.writer.drain(), scene->patience());
  }
  co_await leave(scene, stream);
}

Coro<> call_and_upgrade(ScenePtr scene, VisitPtr visit, Stream stream) {
  stream.writer.write("STARTTLS\n");
  const std::string line = co_await wait_for(stream.reader.readuntil(), scene->patience());
  if (line != "go ahead\n") scene->trial.complain("another line than was sent");
  TlsOptions options;
  options.server_hostname = "localhost";
  co_await stream.writer.start_tls(client_side(Carrier::tls), std::move(options));
  for (std::size_t i = scene->lot.between(1, 4); i > 0; --i) {
    const std::size_t size = scene->lot.between(1, 2000);
    stream.writer.write(next_bytes(visit->up_sent, size));
    co_await wait_for(stream.writer.drain(), scene->patience());
    visit->down_got.take(co_await wait_for(stream.reader.readexactly(size), scene->patience()));
  }
  co_await leave(scene, stream);
}

void upgrades(Trial& trial, Carrier carrier) {
  play_streams(trial, carrier, {.serve = serve_upgrade, .call = call_and_upgrade, .visits = 1});
}

}  // namespace

void add_stream_flow_scenarios(std::vector<testing::Scenario>& all) {
  add(all, "stream-slow-reader", kThree, slow_reader);
  add(all, "stream-several-writers", kTwo, several_writers);
  add(all, "stream-cancelled-reads", kThree, cancelled_reads);
  add(all, "stream-limited-reads", kTwo, limited_reads);
  add(all, "stream-cancelled-drains", kTwo, cancelled_drains);
  add(all, "stream-start-tls", kPlain, upgrades);
}

}  // namespace ferry::test
