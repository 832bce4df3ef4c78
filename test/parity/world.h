#pragma once

#include "errors.h"
#include "script.h"

#include <ferry/async.h>
#include <ferry/event_loop.h>
#include <ferry/streams.h>

#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

namespace ferry::parity {

/// What a scenario can give a name to.
using Object =
    std::variant<std::monostate, Future<Text>, Task<Text>, Future<Words>,
                 Future<std::vector<Outcome<Text>>>, Handle, TimerHandle, std::shared_ptr<Lock>,
                 std::shared_ptr<Event>, std::shared_ptr<Condition>, std::shared_ptr<Semaphore>,
                 std::shared_ptr<Barrier>, std::shared_ptr<Queue<Text>>,
                 std::shared_ptr<LifoQueue<Text>>, std::shared_ptr<PriorityQueue<Text>>,
                 std::shared_ptr<Timeout>, std::shared_ptr<TaskGroup>, StreamReader, StreamWriter,
                 std::shared_ptr<Server>, std::shared_ptr<Transport>>;

/// One invocation of a section.
struct Frame {
  Text label;
  std::map<Text, Text> names;
  std::exception_ptr handling;  // the exception of the `except` we are in
};

/// What a statement with one call needs.
struct Call {
  Frame& frame;
  Text rest;    // expanded
  Text target;  // what an object is to be called
};

/// The value of a block: what `return` gave, if it was reached.
using Flow = std::optional<Text>;

/// A scenario while it runs on ferry, in simulated time. The other side is on_asyncio.py: the two
/// are to be read side by side.
class World {
 public:
  explicit World(const Scenario& scenario) : scenario_(scenario) {}
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// The trace: a line an event.
  Words run();

 private:
  using Verb = Text (World::*)(Call&);
  using AwaitedVerb = Coro<Text> (World::*)(Call);
  static const std::map<Text, Verb>& verbs();
  static const std::map<Text, AwaitedVerb>& awaited_verbs();

  void log(const Text& label, const Text& text);
  void handle_exception(const ExceptionContext& context);
  void stuck();
  const Block& section(const Text& kind, const Text& name) const;
  [[noreturn]] void wrong(const Text& what) const;

  // -- coroutines (interpreter.cpp)
  Coro<Text> body(const Block& statements, Words arguments, Text label);
  AsyncGenerator<Text> generate(Text name, Words arguments);
  Coro<Flow> block(const Block& statements, Frame& frame);
  Coro<Flow> compound(const Statement& statement, Frame& frame);
  Coro<Flow> try_block(const Statement& statement, std::vector<const Statement*> clauses,
                       Frame& frame);
  Coro<Flow> try_except(const Statement& statement, std::vector<const Statement*> clauses,
                        Frame& frame);
  Coro<Flow> repeat_block(const Statement& statement, Frame& frame);
  Coro<Flow> timeout_block(const Statement& statement, Frame& frame);
  Coro<Flow> group_block(const Statement& statement, Frame& frame);
  Coro<Flow> with_block(const Statement& statement, Frame& frame);
  template <class Lockable>
  Coro<Flow> locked_block(Lockable& lockable, const Statement& statement, Frame& frame);
  Coro<Flow> completed_block(const Statement& statement, Frame& frame);
  Coro<Flow> for_block(const Statement& statement, Frame& frame);
  Coro<Flow> statement(const Statement& statement, Frame& frame);
  Coro<Text> evaluate(const Statement& statement, Frame& frame);

  // -- where nothing can be awaited
  Text evaluate_plain(const Statement& statement, Frame& frame);
  void plain_block(const Block& statements, Frame& frame);
  void run_callback(const Text& text);
  /// What stands below `on NAME EVENT`, if there is anything.
  void run_handler(const Text& name, const Text& event, std::map<Text, Text> names);

  // -- names
  Text expand(const Text& text, const Frame& frame) const;
  Object& object(const Text& name);
  FutureState& state(const Text& name);
  TaskCore& task(const Text& name);
  /// A named future of texts, or a coroutine, which becomes a task.
  Future<Text> future_of(const Text& item);
  Coro<Text> coroutine(const Item& item, const Text& label);
  std::vector<Future<Text>> futures_of(const Words& items);
  std::optional<Duration> delay(const Text& text) const;
  std::pair<std::optional<Duration>, Words> limit_and_items(const Text& text) const;
  template <class F>
  decltype(auto) on_object(const Text& name, F f);

  // -- verbs (verbs.cpp)
  Text do_log(Call& call);
  Text do_let(Call& call);
  Text do_drop(Call& call);
  Text do_raise(Call& call);
  Text do_soon(Call& call);
  Text do_later(Call& call);
  Text do_at(Call& call);
  Text do_stop(Call& call);
  Text do_run_forever(Call& call);
  Text do_run_until(Call& call);
  Text do_running(Call& call);
  Text do_future(Call& call);
  Text do_spawn(Call& call);
  Text do_start(Call& call);
  Text do_name(Call& call);
  Text do_rename(Call& call);
  Text do_set(Call& call);
  Text do_fail(Call& call);
  Text do_cancel(Call& call);
  Text do_uncancel(Call& call);
  Text do_cancelling(Call& call);
  Text do_done(Call& call);
  Text do_cancelled(Call& call);
  Text do_result(Call& call);
  Text do_exception(Call& call);
  Text do_on_done(Call& call);
  Text do_remove_on_done(Call& call);
  Text do_gathering(Call& call);
  Text do_shield(Call& call);
  Text do_tasks(Call& call);
  Text do_reschedule(Call& call);
  Text do_expired(Call& call);
  Text do_when(Call& call);
  Text do_lock(Call& call);
  Text do_event(Call& call);
  Text do_condition(Call& call);
  Text do_semaphore(Call& call);
  Text do_bounded(Call& call);
  Text do_barrier(Call& call);
  Text do_queue(Call& call);
  Text do_lifo(Call& call);
  Text do_priority(Call& call);
  Text do_release(Call& call);
  Text do_locked(Call& call);
  Text do_clear(Call& call);
  Text do_is_set(Call& call);
  Text do_notify(Call& call);
  Text do_notify_all(Call& call);
  Text do_waiting(Call& call);
  Text do_broken(Call& call);
  Text do_put_nowait(Call& call);
  Text do_get_nowait(Call& call);
  Text do_task_done(Call& call);
  Text do_qsize(Call& call);
  Text do_empty(Call& call);
  Text do_full(Call& call);

  // -- verbs of streams (stream_verbs.cpp)
  class ScriptProtocol;
  std::uint16_t port_of(const Text& server);
  Text do_reader(Call& call);
  Text do_feed(Call& call);
  Text do_feed_eof(Call& call);
  Text do_at_eof(Call& call);
  Coro<Text> await_read(Call call);
  Coro<Text> await_readexactly(Call call);
  Coro<Text> await_readline(Call call);
  Coro<Text> await_readuntil(Call call);
  Coro<Text> await_serve(Call call);
  Coro<Text> await_connect(Call call);
  Coro<Text> await_connect_port(Call call);
  Text do_port(Call& call);
  Coro<Text> await_listen(Call call);
  Coro<Text> await_dial(Call call);
  Text do_write(Call& call);
  Text do_write_many(Call& call);
  Text do_write_eof(Call& call);
  Text do_close(Call& call);
  Text do_abort_now(Call& call);
  Text do_is_closing(Call& call);
  Text do_pause_reading(Call& call);
  Text do_resume_reading(Call& call);
  Text do_limits(Call& call);
  Coro<Text> await_drain(Call call);
  Coro<Text> await_wait_closed(Call call);

  // -- verbs that are awaited (awaits.cpp)
  Coro<Text> await_sleep(Call call);
  Coro<Text> await_await(Call call);
  Coro<Text> await_call(Call call);
  Coro<Text> await_gather(Call call);
  Coro<Text> await_wait_for(Call call);
  Coro<Text> await_wait_all(Call call);
  Coro<Text> await_wait_first(Call call);
  Coro<Text> await_wait_exception(Call call);
  Coro<Text> wait_until_done(Text rest, ReturnWhen return_when);
  Coro<Text> await_acquire(Call call);
  Coro<Text> await_wait(Call call);
  Coro<Text> await_until(Call call);
  Coro<Text> await_reset(Call call);
  Coro<Text> await_abort(Call call);
  Coro<Text> await_put(Call call);
  Coro<Text> await_get(Call call);
  Coro<Text> await_join(Call call);

  const Scenario& scenario_;  // main's
  Words trace_;
  EventLoop* loop_ = nullptr;  // the runner's
  TimePoint start_{};
  std::map<Text, Object> objects_;
  std::map<Text, Text> shared_;  // texts, by `let`
  std::map<Text, FutureState::CallbackId> callback_ids_;
};

Text text_of(bool value);
Text text_of(std::size_t value);
Text text_of(const Text& value);
Text text_of(const Words& values);
Text text_of(const std::vector<Outcome<Text>>& values);

template <class T>
inline constexpr bool kIsShared = false;
template <class T>
inline constexpr bool kIsShared<std::shared_ptr<T>> = true;

/// Calls `f` with the object, if that is of a kind that `f` takes.
template <class F>
decltype(auto) World::on_object(const Text& name, F f) {
  using Result = std::invoke_result_t<F&, std::monostate&>;
  return std::visit(
      [&](auto& thing) -> Result {
        using Thing = std::decay_t<decltype(thing)>;
        if constexpr (kIsShared<Thing>) {
          return f(*thing);
        } else {
          return f(thing);
        }
      },
      object(name));
}

}  // namespace ferry::parity
