// Scenarios for allocations that fail: what asks little of the kernel, but of memory.

#include "test_certificates.h"
#include "trial.h"

#include <ferry/async.h>
#include <ferry/datagram_stream.h>
#include <ferry/idle_limit.h>
#include <ferry/rate_limit.h>
#include <ferry/streams.h>
#include <ferry/tls.h>
#include <ferry/wraps.h>

#include <chrono>
#include <csignal>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::RecordingProtocol;

constexpr std::size_t kSize = 20'000;

/// Waits for a task made of `work`.
void play_task(Trial& trial, Coro<> work) {
  const Future<void> task = create_task(trial.loop(), std::move(work));
  trial.done(task);
  trial.run_until([&] { return trial.loop().stats().tasks == 0; });
}

/// What a connection goes through that has several layers.
void layers(Trial& trial) {
  RateLimits slow;
  slow.read = slow.write = {.bytes_per_second = 100'000, .burst = 5'000};
  const auto wrap = [&](ProtocolWrap tls) {
    return stacked({rate_limit(slow), std::move(tls), idle_limit(3s)});
  };
  ListenOptions listen;
  listen.hosts = {"127.0.0.1"};
  listen.wrap = wrap(tls_server(server_context()));
  const auto starting = create_server(
      trial.loop(),
      [&trial] {
        const auto protocol = trial.protocol();
        protocol->on_data = [p = protocol.get()](BytesView data) { p->write(data); };
        return protocol;
      },
      std::move(listen));
  if (!trial.done(starting)) return;
  const std::shared_ptr<Server> server = starting.result();
  const struct Closing {
    Server& server;
    ~Closing() { server.close(); }
  } closing{*server};
  ConnectOptions options;
  options.host = "127.0.0.1";
  options.port = server->port();
  options.timeout = 5s;
  TlsOptions client;
  client.server_hostname = "localhost";
  options.wrap = wrap(tls_client(client_context(), std::move(client)));
  const auto connecting = create_connection(
      trial.loop(),
      [&trial] {
        trial.asker = trial.protocol();
        trial.asker->on_made = [p = trial.asker.get()] { p->write(question(kSize)); };
        trial.asker->on_data = [p = trial.asker.get()](BytesView) {
          if (p->bytes() >= kSize) p->close();
        };
        return trial.asker;
      },
      std::move(options));
  if (trial.done(connecting)) {
    trial.run_until([&] { return trial.all_lost(); });
    const bool whole = trial.asker->data() == question(kSize);
    if (!whole && (!trial.told() || trial.all_must_be_well())) trial.complain("bytes are missing");
  }
  trial.done(server->drain(5s));
  trial.run_until([&] { return trial.all_lost(); });
}

// -- the loop's own

void callbacks(Trial& trial) {
  EventLoop& loop = trial.loop();
  int due = 0;
  // More than one block of the ready queue.
  for (int i = 0; i < 150; ++i) {
    ++due;
    try {
      loop.call_soon([&due] { --due; });
    } catch (...) {
      --due;
      trial.run_until([&] { return due == 0; });
      throw;
    }
  }
  trial.run_until([&] { return due == 0; });
  const Future<int> first(loop);
  const Future<int> second(loop);
  int told = 0;
  for (int i = 0; i < 3; ++i) first.add_done_callback([&told] { ++told; });
  second.add_done_callback([&told] { ++told; });
  loop.call_later(10ms, [first] { first.try_set_result(1); });
  loop.call_later(20ms, [second] { second.cancel("a message that has to be kept somewhere"); });
  trial.run_until([&] { return first.done() && second.done(); });
  trial.run_until([&] { return told == 4; });
  loop.call_soon_threadsafe([&told] { ++told; });
  trial.run_until([&] { return told == 5; });
}

void signals(Trial& trial) {
  EventLoop& loop = trial.loop();
  testing::SimKernel& kernel = trial.sim();
  int got = 0;
  loop.add_signal_handler(SIGUSR1, [&got] { ++got; });
  const struct Removing {
    EventLoop& loop;
    ~Removing() { loop.remove_signal_handler(SIGUSR1); }
  } removing{loop};
  exempt([&] { kernel.raise_signal(SIGUSR1); });
  trial.run_until([&] { return got == 1; });
}

// -- tasks

Coro<int> later(int value, Duration delay) {
  co_await sleep(delay);
  co_return value;
}

Coro<> fails() {
  co_await sleep(1ms);
  throw std::runtime_error("a task that fails, with enough to say to need memory");
}

/// It may outlive who waits for it: the queue is both's.
Coro<> produce(std::shared_ptr<Queue<std::string>> queue) {
  for (int i = 0; i < 5; ++i) co_await queue->put(std::string(100, 'x'));
}

Coro<> group_body(TaskGroup& group) {
  group.create_task(later(1, 5ms));
  group.create_task(fails());
  co_await sleep(1h);
}

Coro<> many_tasks(Trial* trial) {
  auto both = gather(later(1, 5ms), later(2, 2ms));
  const auto [a, b] = co_await std::move(both);
  if (a != 1 || b != 2) trial->complain("gather gave something else");
  const auto queue = std::make_shared<Queue<std::string>>(2);
  const Task<> producer = create_task(produce(queue));
  try {
    for (int i = 0; i < 5; ++i) {
      const std::string item = co_await wait_for(queue->get(), 1s);
      if (item.size() != 100) trial->complain("the queue gave something else");
    }
    co_await producer;
  } catch (...) {
    producer.cancel();
    throw;
  }
  bool grouped = false;
  try {
    co_await task_group(group_body);
  } catch (const ExceptionGroup&) {
    grouped = true;
  }
  if (!grouped) trial->complain("the group did not fail");
  bool late = false;
  try {
    co_await wait_for(later(3, 1h), 10ms);
  } catch (const TimeoutError&) {
    late = true;
  }
  if (!late) trial->complain("the time limit did not come");
  Lock lock;
  const auto guard = co_await lock.scoped();
  const Task<int> stopped = create_task(later(4, 1h));
  co_await sleep(1ms);
  stopped.cancel("a message that is too long to be kept in place");
  bool cancelled = false;
  try {
    co_await stopped;
  } catch (const CancelledError&) {
    cancelled = true;
  }
  if (!cancelled) trial->complain("the task was not cancelled");
}

void tasks(Trial& trial) {
  play_task(trial, many_tasks(&trial));
}

// -- streams

Coro<> upgrade_and_answer(StreamReader reader, StreamWriter writer) {
  try {
    static_cast<void>(co_await reader.readline());
    writer.write("go\n");
    co_await writer.drain();
    const std::shared_ptr<TlsContext> context = server_context();
    co_await writer.start_tls(context);
    const std::string line = co_await reader.readline();
    writer.write(line);
    co_await writer.drain();
    writer.close();
    co_await writer.wait_closed();
  } catch (const std::system_error&) {
    // The asker is told by its own end.
  }
}

Coro<> ask_for_tls(Trial* trial) {
  const auto server = co_await start_server(upgrade_and_answer, "127.0.0.1", 0);
  const struct Closing {
    Server& server;
    ~Closing() { server.close(); }
  } closing{*server};
  try {
    const Stream stream = co_await open_connection("127.0.0.1", server->port());
    stream.writer.write("tls\n");
    static_cast<void>(co_await wait_for(stream.reader.readline(), 5s));
    TlsOptions options;
    options.server_hostname = "localhost";
    const std::shared_ptr<TlsContext> context = client_context();
    co_await wait_for(stream.writer.start_tls(context, std::move(options)), 5s);
    stream.writer.write("hello over TLS\n");
    const std::string line = co_await wait_for(stream.reader.readline(), 5s);
    if (line != "hello over TLS\n") {
      // Where there was no memory the other side has hung up.
      if (!line.empty() || trial->all_must_be_well()) trial->complain("the answer is wrong");
    }
    stream.writer.close();
    co_await wait_for(stream.writer.wait_closed(), 5s);
  } catch (const std::exception& error) {
    trial->report(error.what());
  }
  server->close();
  co_await server->drain(5s);
}

void upgrades(Trial& trial) {
  play_task(trial, ask_for_tls(&trial));
}

Coro<> echo_datagrams(DatagramStream stream) {
  while (const auto datagram = co_await stream.next()) {
    stream.sendto(datagram->data, datagram->info.peer);
  }
}

Coro<> ask_datagrams(Trial* trial) {
  DatagramOptions here;
  here.local_host = "127.0.0.1";
  const DatagramStream server = co_await open_datagram_stream(here);
  const Task<> echo = create_task(echo_datagrams(server));
  bool whole = false;
  try {
    DatagramOptions there;
    there.remote_host = "127.0.0.1";
    there.remote_port = server.sockname().port();
    const DatagramStream client = co_await open_datagram_stream(there);
    for (int i = 0; i < 5; ++i) {
      client.send("datagram " + std::to_string(i));
      const std::string answer = co_await wait_for(client.recv(), 5s);
      if (answer != "datagram " + std::to_string(i)) trial->complain("a datagram is wrong");
    }
    whole = true;
  } catch (const std::exception& error) {
    trial->report(error.what());
  }
  server.close();
  try {
    co_await echo;
  } catch (const std::exception& error) {
    if (whole || trial->all_must_be_well()) trial->report(error.what());
  }
}

void datagram_streams(Trial& trial) {
  play_task(trial, ask_datagrams(&trial));
}

}  // namespace

std::span<const Scenario> memory_scenarios() {
  static constexpr Scenario kAll[] = {
      {"Layers", layers}, {"Callbacks", callbacks}, {"Signals", signals},
      {"Tasks", tasks},   {"Upgrades", upgrades},   {"DatagramStreams", datagram_streams},
  };
  return kAll;
}

}  // namespace ferry::test
