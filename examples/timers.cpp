// Timers: call_later, call_at, cancelling, and a Timer as a member that watches over something.
#include <ferry/event_loop.h>

#include <cstdio>

using namespace std::chrono_literals;

/// Barks when nobody fed it for a while. The timer dies with the dog, so `this` is safe in it.
class Watchdog {
 public:
  Watchdog(ferry::EventLoop& loop, ferry::Duration patience)
      : loop_(loop), patience_(patience), timer_(loop, [this] { bark(); }) {
    feed();
  }
  /// Pushing a deadline back costs next to nothing: do it for every message, if you like.
  void feed() { timer_.set(patience_); }

 private:
  void bark() {
    std::puts("watchdog: nobody fed me");
    loop_.stop();
  }

  ferry::EventLoop& loop_;
  ferry::Duration patience_;
  ferry::Timer timer_;
};

int main() {
  ferry::EventLoop loop;
  Watchdog dog(loop, 50ms);

  // A periodic job is one that calls itself later.
  int ticks = 0;
  ferry::Timer tick(loop, [&] {
    std::printf("tick %d\n", ++ticks);
    dog.feed();
    if (ticks < 3) tick.set(20ms);
  });
  tick.set(20ms);

  // Same deadline: in the order of the calls. A time may be absolute, too.
  const ferry::TimePoint when = loop.time() + 10ms;
  loop.call_at(when, [] { std::puts("first"); });
  loop.call_at(when, [] { std::puts("second"); });

  ferry::TimerHandle never = loop.call_later(15ms, [] { std::puts("never printed"); });
  never.cancel();

  loop.call_soon([] { std::puts("soon"); });
  loop.run_forever();
}
