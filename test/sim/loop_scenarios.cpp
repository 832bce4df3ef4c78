#include "pattern.h"
#include "scenarios.h"
#include "stage.h"

#include <ferry/fd.h>
#include <ferry/pipe.h>
#include <ferry/sock.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include <sys/socket.h>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::Seed;
using testing::Trial;
using Ending = Plan::Ending;

constexpr Carrier kTwo[] = {Carrier::tcp, Carrier::tls};
constexpr Carrier kTcp[] = {Carrier::tcp};

/// Something for the loop to do beside.
void traffic(Stage& stage) {
  stage.client_plan.total = stage.server_plan.total = 2000;
  stage.client_plan.chunk = stage.server_plan.chunk = 300;
  stage.server_plan.answering = true;
  stage.client_plan.gap = 200us;
  stage.client_plan.expected = 2000;
  stage.client_plan.when_received = Ending::close;
}

/// Timers that are set, set again and cancelled by lot. None comes early, or after it was
/// cancelled; of two that are due at one time the one set first comes first.
class Alarms {
 public:
  Alarms(Trial& trial, std::size_t count) : trial_(trial), lot_(trial.lot("timers")) {
    for (std::size_t i = 0; i < count; ++i) {
      auto one = std::make_unique<Alarm>();
      one->timer = std::make_unique<Timer>(trial.loop(), [this, i] { fired(i); });
      alarms_.push_back(std::move(one));
    }
    handles_.resize(count);
  }
  void start() {
    for (std::size_t i = 0; i < alarms_.size(); ++i) {
      set(i);
      call_later(i);
    }
  }
  bool idle() const {
    return std::none_of(alarms_.begin(), alarms_.end(),
                        [](const auto& each) { return each->timer->active(); }) &&
           std::none_of(handles_.begin(), handles_.end(),
                        [](const auto& each) { return each.waiting; });
  }

 private:
  struct Alarm {
    std::unique_ptr<Timer> timer;
    TimePoint due{};
    std::uint64_t order = 0;
    bool set = false;
  };
  struct Call {
    TimerHandle handle;
    TimePoint due{};
    std::uint64_t order = 0;
    bool waiting = false;
  };

  Duration some() {
    // Few different ones, so that several are due at once.
    return std::chrono::milliseconds(lot_.below(6));
  }
  void set(std::size_t i) {
    if (left_ == 0) return;
    --left_;
    Alarm& alarm = *alarms_[i];
    const Duration delay = some();
    if (alarm.set) trial_.reached("a timer is set again before it came");
    alarm.due = trial_.loop().time() + delay;
    alarm.set = true;
    alarm.timer->set_at(alarm.due);
  }
  void call_later(std::size_t i) {
    Call& call = handles_[i];
    if (left_ == 0 || call.waiting) return;
    --left_;
    call.due = trial_.loop().time() + some();
    call.order = ++order_;
    call.waiting = true;
    call.handle = trial_.loop().call_at(call.due, [this, i] { called(i); });
  }
  void check(TimePoint due) {
    if (trial_.loop().time() < due) trial_.complain("a timer came early");
  }
  void fired(std::size_t i) {
    Alarm& alarm = *alarms_[i];
    if (!alarm.set) trial_.complain("a timer came that was cancelled");
    alarm.set = false;
    check(alarm.due);
    act();
  }
  void called(std::size_t i) {
    Call& call = handles_[i];
    if (!call.waiting) trial_.complain("a cancelled call_later came");
    call.waiting = false;
    check(call.due);
    // Deadlines come in their order, and equal ones as they were set.
    for (const Call& other : handles_) {
      if (!other.waiting) continue;
      if (other.due < call.due || (other.due == call.due && other.order < call.order)) {
        trial_.complain("call_later came out of turn");
      }
    }
    act();
  }
  void act() {
    const std::size_t i = lot_.below(alarms_.size());
    Alarm& alarm = *alarms_[i];
    Call& call = handles_[i];
    switch (lot_.below(5)) {
      case 0:
        if (alarm.set && alarm.due <= trial_.loop().time()) {
          trial_.reached("a timer is cancelled when it is due");
        }
        alarm.set = false;
        alarm.timer->cancel();
        break;
      case 1:
        if (call.waiting && call.due <= trial_.loop().time()) {
          trial_.reached("a timer is cancelled when it is due");
        }
        if (call.waiting) call.handle.cancel();
        call.waiting = false;
        break;
      case 2:
        set(i);
        call_later(i);
        break;
      default:
        set(lot_.below(alarms_.size()));
        call_later(lot_.below(alarms_.size()));
    }
  }

  Trial& trial_;
  Seed lot_;
  std::vector<std::unique_ptr<Alarm>> alarms_;
  std::vector<Call> handles_;
  std::uint64_t order_ = 0;
  std::size_t left_ = 150;
};

void timers(Stage& stage) {
  traffic(stage);
  Alarms alarms(stage.trial(), 8);
  if (!stage.serve()) return;
  alarms.start();
  stage.connect(2);
  stage.wait();
  stage.trial().run_until([&alarms] { return alarms.idle(); });
  stage.finish();
}

/// Chains of call_soon that go on for long: in their order, and they starve nobody.
void chains(Stage& stage) {
  Trial& trial = stage.trial();
  Seed& lot = stage.lot();
  traffic(stage);
  struct Chain {
    std::uint64_t next_in = 0;
    std::uint64_t next_out = 0;
    std::size_t since_timer = 0;
    std::vector<Handle> handles;
    std::vector<std::uint64_t> cancelled;
    std::size_t left = 1500;
  };
  const auto chain = std::make_shared<Chain>();
  // While calls are ready a timer that is due comes after at most 61 of them.
  Timer timer(stage.loop(), [&] {
    chain->since_timer = 0;
    if (chain->left > 0) timer.set(0s);
  });
  Function<void()> push = [&] {
    if (chain->left == 0) return;
    --chain->left;
    const std::uint64_t number = chain->next_in++;
    Handle handle = stage.loop().call_soon([&, number] {
      while (!chain->cancelled.empty() && chain->cancelled.front() == chain->next_out) {
        chain->cancelled.erase(chain->cancelled.begin());
        ++chain->next_out;
      }
      if (number != chain->next_out) trial.complain("call_soon came out of turn");
      chain->next_out = number + 1;
      if (++chain->since_timer > 3 * 61) trial.complain("a chain of call_soon starves a timer");
      push();
      if (lot.permille(60)) push();
    });
    if (lot.permille(30)) {
      handle.cancel();
      chain->cancelled.push_back(number);
      trial.reached("a call_soon is cancelled");
      push();
    }
  };
  if (!stage.serve()) return;
  timer.set(0s);
  for (int i = 0; i < 3; ++i) push();
  stage.connect(2);
  trial.run_until([&] { return chain->left == 0; });
  stage.wait();
  trial.run_for(1ms);
  timer.cancel();
  stage.finish();
}

/// Sockets of the program's own: connect, send and receive one operation at a time, some of them
/// given up.
void single_operations(Stage& stage) {
  Trial& trial = stage.trial();
  Seed& lot = stage.lot();
  stage.server_plan.answering = true;
  stage.server_plan.total = 1000;
  if (!stage.serve()) return;
  Kernel& kernel = stage.loop().kernel();
  const IoResult made = kernel.socket(AF_INET, SOCK_STREAM, 0);
  if (made.ok()) {
    const int fd = made.fd();
    const auto over = [&](const auto& future) {
      Timer limit(stage.loop(), [&future] { future.cancel(); });
      limit.set(3min);
      if (trial.done(future)) return true;
      if (future.cancelled()) trial.report("given up");
      return false;
    };
    bool good = over(sock_connect(stage.loop(), fd, stage.server()->sockets().front()));
    testing::PatternWriter writer(8 * 2);
    testing::PatternReader reader(8 * 2 + 1);
    if (good) good = over(sock_sendall(stage.loop(), fd, BytesView("\x08")));
    for (int i = 0; good && i < 5; ++i) {
      const std::size_t size = lot.between(1, 150);
      if (lot.permille(300)) {
        // A receive that nothing comes for is given up without harm.
        const auto idle = sock_recv(stage.loop(), fd, 100);
        trial.run_for(std::chrono::microseconds(lot.below(2000)));
        if (idle.cancel()) {
          trial.reached("a single receive is cancelled");
        } else if (!idle.exception() && idle.result().size() > 0) {
          trial.complain("received what nobody sent");
        } else {
          good = false;
        }
      }
      if (good) good = over(sock_sendall(stage.loop(), fd, next_bytes(writer, size)));
      while (good && reader.position() < writer.position()) {
        const auto receiving = sock_recv(stage.loop(), fd, lot.between(1, 200));
        good = over(receiving);
        if (!good) break;
        const auto& bytes = receiving.result();
        if (bytes.size() == 0) {
          good = false;
          if (trial.calm()) trial.complain("the end came too early");
        }
        reader.take(BytesView(bytes));
      }
    }
    if (!reader.ok()) trial.complain("single operations: " + reader.to_string());
    if (trial.calm() && !good) trial.complain("single operations failed");
    kernel.close(fd);
  } else {
    trial.report("no socket");
  }
  stage.finish();
}

/// A pair of sockets, watched by add_reader and add_writer, which come and go.
void watched_descriptors(Stage& stage) {
  Trial& trial = stage.trial();
  Seed& lot = stage.lot();
  traffic(stage);
  if (!stage.serve()) return;
  stage.connect(2);
  if (!trial.simulated()) return stage.finish();
  EventLoop& loop = stage.loop();
  Kernel& kernel = loop.kernel();
  std::pair<int, int> pair;
  try {
    pair = trial.sim().connected_pair(AF_UNIX);
  } catch (const std::exception& error) {
    trial.report(error.what());  // there are no descriptors left
    return stage.finish();
  }
  const int left = pair.first;
  const int right = pair.second;
  constexpr std::size_t kTotal = 3000;
  testing::PatternWriter writer(1);
  testing::PatternReader reader(1);
  bool reading = false;
  bool writing = false;
  bool failed = false;
  const auto attempt = [&](auto what) {
    try {
      what();
      return true;
    } catch (const std::system_error& error) {
      trial.report(error.what());
      return false;
    }
  };
  const auto start_reading = [&] {
    reading = attempt([&] {
      loop.add_reader(right, [&] {
        if (!reading) trial.complain("a reader was called that was removed");
        std::array<std::byte, 200> into;
        const IoResult result =
            kernel.recv(right, MutableBytes(into).first(lot.between(1, into.size())));
        if (result.ok()) reader.take(BytesView(into.data(), result.count()));
        if (!result.ok() && !result.would_block() && result.error != EINTR) {
          failed = true;
          loop.remove_reader(right);
          reading = false;
        }
      });
    });
  };
  const auto start_writing = [&] {
    writing = attempt([&] {
      loop.add_writer(left, [&] {
        if (!writing) trial.complain("a writer was called that was removed");
        if (writer.position() >= kTotal) {
          loop.remove_writer(left);
          writing = false;
          return;
        }
        testing::PatternWriter trying(1, writer.position());
        const BytesView bytes = next_bytes(trying, lot.between(1, 300));
        const IoResult result = kernel.send(left, bytes);
        if (result.ok()) writer = testing::PatternWriter(1, writer.position() + result.count());
        if (!result.ok() && !result.would_block() && result.error != EINTR) {
          failed = true;
          loop.remove_writer(left);
          writing = false;
        }
      });
    });
  };
  if (lot.permille(300)) start_reading();
  start_writing();
  Ticker ticker(stage, 500us, 30, [&] {
    if (lot.permille(500) && reading) {
      reading = false;
      if (!loop.remove_reader(right)) trial.complain("a reader is gone by itself");
    } else if (lot.permille(500) && writing) {
      writing = false;
      if (!loop.remove_writer(left)) trial.complain("a writer is gone by itself");
    } else if (!failed) {
      if (!reading && trial.sim().unread(right) > 0) {
        trial.reached("a reader comes when bytes wait for it");
      }
      if (!reading) start_reading();
      if (!writing) start_writing();
    }
  });
  stage.wait();
  trial.run_for(1s);
  trial.heal();
  if (!failed) {
    if (!reading) start_reading();
    if (!writing && writer.position() < kTotal) start_writing();
    trial.run_until([&] { return failed || reader.position() >= kTotal; });
  }
  if (!reader.ok()) trial.complain("watched descriptors: " + reader.to_string());
  loop.remove_reader(right);
  loop.remove_writer(left);
  kernel.close(left);
  kernel.close(right);
  stage.finish();
}

/// Pipes of the program's own, written and read as connections are.
void pipes(Stage& stage) {
  Trial& trial = stage.trial();
  Seed& lot = stage.lot();
  Kernel& kernel = stage.loop().kernel();
  int read_end = -1;
  int write_end = -1;
  const IoResult made = kernel.pipe(read_end, write_end);
  if (!made.ok()) {
    trial.report("no pipe");
    return trial.heal();
  }
  const std::size_t total = lot.between(1, 150'000);
  stage.vary = [&](std::uint8_t, bool client, Plan& plan) {
    if (!client) {
      // A pipe goes one way.
      plan.total = 0;
      plan.rest = std::chrono::microseconds(lot.between(1, 3000));
      plan.rest_after = lot.between(1000, 20'000);
      return;
    }
    plan.total = total;
    plan.chunk = lot.between(1000, 40'000);
    plan.high = lot.below(20'000);
    plan.when_sent = Ending::close;
  };
  const auto reading = connect_read_pipe(
      stage.loop(), [&stage] { return stage.new_server(); }, read_end);
  const bool read_good = trial.done(reading);
  const auto writing = connect_write_pipe(
      stage.loop(), [&stage] { return stage.new_client(); }, write_end);
  trial.done(writing);
  if (!read_good && trial.calm()) trial.complain("a pipe cannot be read");
  stage.wait();
  trial.heal();
  stage.compare();
}

}  // namespace

void add_loop_scenarios(std::vector<testing::Scenario>& all) {
  add_staged(all, "timers", kTwo, timers);
  add_staged(all, "chains", kTwo, chains);
  add_staged(all, "single-operations", kTcp, single_operations);
  add_staged(all, "watched-descriptors", kTcp, watched_descriptors);
  add_staged(all, "pipes", kTcp, pipes);
}

}  // namespace ferry::test
