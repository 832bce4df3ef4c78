// DatagramStream: questions over a network that loses, and queues of datagrams with cancelled
// receives.

#include "scenarios.h"
#include "stream_world.h"
#include "task_probe.h"

#include <ferry/testing/pattern_stream.h>

#include <chrono>
#include <set>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::Trial;

// -- questions that are asked until there is an answer

struct Desk {
  explicit Desk(Trial& t) : trial(t), lot(t.lot()) {}
  Trial& trial;  // outlives all tasks
  testing::Seed lot;
  Address server;
};
using DeskPtr = std::shared_ptr<Desk>;

/// Errors come once each, and the socket can be used as before.
Coro<> answer_all(DeskPtr desk, DatagramStream stream) {
  while (true) {
    try {
      const std::optional<Datagram> asked = co_await stream.next();
      if (!asked) break;
      if (desk->lot.permille(250)) co_await sleep(desk->lot.below(150) * 1ms);
      stream.sendto("re: " + asked->data, asked->info.peer);
      if (desk->lot.permille(200)) co_await stream.drain();
    } catch (const std::system_error& error) {
      if (stream.is_closing()) break;  // by the program, before the answer
      desk->trial.report(error.what());
    }
  }
}

Coro<DatagramStream> open_client(DeskPtr desk, bool connected) {
  DatagramOptions options;
  options.local_host = "127.0.0.1";
  if (connected) {
    options.remote_host = "127.0.0.1";
    options.remote_port = desk->server.port();
  }
  co_return co_await open_datagram_stream(std::move(options));
}

Coro<bool> ask_once(DeskPtr desk, DatagramStream stream, bool connected, std::string text) {
  if (connected) {
    stream.send(text);
  } else {
    stream.sendto(text, desk->server);
  }
  const TimePoint limit = get_running_loop().after(desk->lot.between(5, 200) * 1ms);
  while (get_running_loop().time() < limit) {
    std::string answer;
    try {
      answer = co_await timeout_at(limit, stream.recv());
    } catch (const TimeoutError&) {
      desk->trial.reached("no datagram in time");
      break;
    }
    if (answer == "re: " + text) co_return true;
    // One to an earlier question, come late or twice.
    desk->trial.reached("a datagram that comes late");
    if (!answer.starts_with("re: question ")) desk->trial.complain("a datagram out of nowhere");
  }
  co_return false;
}

Coro<> ask_questions(DeskPtr desk, std::size_t number, std::size_t count) {
  const bool connected = desk->lot.permille(500);
  const DatagramStream stream = co_await open_client(desk, connected);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string text = "question " + std::to_string(number) + " " + std::to_string(i) +
                             std::string(desk->lot.below(300), '?');
    bool answered = false;
    for (int tries = 0; tries < 40 && !answered; ++tries) {
      try {
        answered = co_await ask_once(desk, stream, connected, text);
      } catch (const TimeoutError&) {
        throw;
      } catch (const std::system_error& error) {
        desk->trial.report(error.what());
      }
    }
    if (!answered) throw TimeoutError("an answer by datagrams");
  }
  stream.close();
  co_await stream.wait_closed();
}

/// Closes it when a scope ends, however it does.
class ClosingStream {
 public:
  explicit ClosingStream(DatagramStream stream) : stream_(std::move(stream)) {}
  ClosingStream(const ClosingStream&) = delete;
  ~ClosingStream() { stream_.close(); }

 private:
  DatagramStream stream_;
};

Coro<> one_by_one(DeskPtr desk) {
  DatagramOptions options;
  options.local_host = "127.0.0.1";
  const DatagramStream server = co_await open_datagram_stream(std::move(options));
  const ClosingStream closing(server);  // without memory this may end anywhere
  desk->server = server.sockname();
  desk->trial.set_server(desk->server);
  const Task<> answering = create_task(answer_all(desk, server));
  std::vector<Task<bool>> asking;
  for (std::size_t i = desk->lot.between(1, 3); i > 0; --i) {
    asking.push_back(create_task(reporting(&desk->trial, ask_questions(desk, i, 3))));
  }
  co_await wait(asking);
  desk->trial.heal();
  co_await must(&desk->trial, "after all was healed", ask_questions(desk, 9, 1));
  server.close();
  co_await wait_for(answering, 10min);
}

Coro<> questions(DeskPtr desk) {
  co_await reporting(&desk->trial, one_by_one(desk));
}

void datagram_questions(Trial& trial) {
  play_out(trial, questions(std::make_shared<Desk>(trial)));
}

// -- between unix sockets nothing is lost, whoever is cancelled

Coro<> send_numbers(DeskPtr desk, DatagramStream stream, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    stream.send(std::to_string(i) + " " + std::string(desk->lot.below(200), '.'));
    if (desk->lot.permille(300)) co_await sleep(desk->lot.below(3) * 1ms);
    if (desk->lot.permille(300)) co_await wait_for(stream.drain(), 10min);
  }
}

Coro<std::string> receive_one(DatagramStream stream) {
  co_return co_await stream.recv();
}

Coro<> receive_numbers(DeskPtr desk, DatagramStream stream, std::size_t count) {
  for (std::size_t next = 0; next < count;) {
    if (desk->lot.permille(300)) co_await sleep(desk->lot.below(5) * 1ms);
    if (stream.queued() > 24 + 64) desk->trial.complain("more wait than the limit allows");
    if (stream.queued() > 8) desk->trial.reached("many datagrams wait for their reader");
    const Task<std::string> task = create_task(receive_one(stream));
    if (desk->lot.permille(900)) {
      co_await sleep(desk->lot.below(3) * 1ms);
      cancel_noting(desk->trial, task);
    }
    std::vector<Task<std::string>> one;
    one.push_back(task);
    WaitOptions options;
    options.timeout = 1min;
    co_await wait(one, options);
    if (!task.done()) {
      task.cancel();
      throw TimeoutError("the next datagram");
    }
    if (task.cancelled()) continue;
    const std::string& text = task.result();
    const std::size_t number = std::stoul(text);
    // Where a call has failed datagrams may be lost; they never come twice, or in another order.
    if (number < next || (number > next && desk->trial.calm())) {
      desk->trial.complain("expected datagram " + std::to_string(next) + ", got " +
                           text.substr(0, 8));
      co_return;
    }
    next = number;
    ++next;
  }
}

Coro<> hand_over(DeskPtr desk) {
  const std::string name = "@" + unix_name(desk->trial, "desk");
  DatagramOptions here;
  here.local_path = name;
  ReceiveLimits limits;
  limits.count = 24;
  const DatagramStream to = co_await open_datagram_stream(std::move(here), limits);
  DatagramOptions there;
  there.remote_path = name;
  const DatagramStream from = co_await open_datagram_stream(std::move(there));
  const std::size_t count = desk->lot.between(5, 60);
  const Task<> sending = create_task(send_numbers(desk, from, count));
  co_await receive_numbers(desk, to, count);
  co_await sending;
  from.close();
  to.close();
  co_await from.wait_closed();
  co_await to.wait_closed();
}

Coro<> datagrams_kept(DeskPtr desk) {
  co_await reporting(&desk->trial, hand_over(desk));
}

void datagram_queue(Trial& trial) {
  play_out(trial, datagrams_kept(std::make_shared<Desk>(trial)));
}

}  // namespace

void add_datagram_stream_scenarios(std::vector<testing::Scenario>& all) {
  all.push_back({.name = "datagram-stream-questions", .play = datagram_questions});
  // Errors of calls lose datagrams.
  all.push_back({.name = "datagram-stream-queue",
                 .play = datagram_queue,
                 .troubles = {.network = false, .calls = false, .descriptors = false}});
}

}  // namespace ferry::test
