#include "world.h"

#include <algorithm>

namespace ferry::parity {
namespace {

const Text kNone = "None";

template <class T>
Coro<Text> await_future(Future<T> future) {
  co_return text_of(co_await future);
}
template <class T>
Coro<Text> wait_for_future(Future<T> future, std::optional<Duration> limit) {
  co_return text_of(co_await wait_for(std::move(future), limit));
}

}  // namespace

Coro<Text> World::await_sleep(Call call) {
  co_await sleep(std::chrono::seconds(std::stoi(call.rest)));
  co_return kNone;
}

Coro<Text> World::await_await(Call call) {
  return on_object(call.rest, [&](auto& thing) -> Coro<Text> {
    if constexpr (requires { await_future(thing); }) {
      return await_future(thing);
    } else if constexpr (requires { thing.uncancel(); }) {
      return await_future(Future<Text>(thing));
    } else {
      wrong("await " + call.rest);
    }
  });
}

Coro<Text> World::await_call(Call call) {
  return coroutine(parse_item(call.rest), call.rest);
}

Coro<Text> World::await_gather(Call call) {
  Words items = split(call.rest);
  if (!items.empty() && items.front() == "exceptions") {
    items.erase(items.begin());
    return await_future(gather(return_exceptions, futures_of(items)));
  }
  return await_future(gather(futures_of(items)));
}

Coro<Text> World::await_wait_for(Call call) {
  const auto [limit, text] = partition(call.rest);
  const Item item = parse_item(text);
  const std::optional<Duration> most = delay(limit);
  if (item.arguments) return wait_for(coroutine(item, text), most);
  return on_object(text, [&](auto& thing) -> Coro<Text> {
    if constexpr (requires { wait_for_future(thing, most); }) {
      return wait_for_future(thing, most);
    } else if constexpr (requires { thing.uncancel(); }) {
      return wait_for_future(Future<Text>(thing), most);
    } else {
      wrong("wait_for " + call.rest);
    }
  });
}

Coro<Text> World::await_wait_all(Call call) {
  return wait_until_done(call.rest, ReturnWhen::all_completed);
}

Coro<Text> World::await_wait_first(Call call) {
  return wait_until_done(call.rest, ReturnWhen::first_completed);
}

Coro<Text> World::await_wait_exception(Call call) {
  return wait_until_done(call.rest, ReturnWhen::first_exception);
}

Coro<Text> World::wait_until_done(Text rest, ReturnWhen return_when) {
  const auto [limit, names] = limit_and_items(rest);
  std::vector<AnyFuture> futures;
  for (const Text& name : names) futures.emplace_back(&state(name));
  WaitOptions options;
  options.timeout = limit;
  options.return_when = return_when;
  const WaitResult<AnyFuture> result = co_await wait(futures, options);
  Words parts = {"done"};
  const auto list = [&](const std::vector<AnyFuture>& those) {
    for (const Text& name : names) {
      const bool one = std::any_of(those.begin(), those.end(), [&](const AnyFuture& each) {
        return each.state() == &state(name);
      });
      if (one) parts.push_back(name);
    }
  };
  list(result.done);
  parts.push_back("pending");
  list(result.pending);
  co_return join(parts, " ");
}

// -- the tables of verbs

const std::map<Text, World::Verb>& World::verbs() {
  static const std::map<Text, Verb> table = {
      {"log", &World::do_log},
      {"let", &World::do_let},
      {"drop", &World::do_drop},
      {"raise", &World::do_raise},
      {"soon", &World::do_soon},
      {"later", &World::do_later},
      {"at", &World::do_at},
      {"stop", &World::do_stop},
      {"run_forever", &World::do_run_forever},
      {"run_until", &World::do_run_until},
      {"running", &World::do_running},
      {"future", &World::do_future},
      {"spawn", &World::do_spawn},
      {"start", &World::do_start},
      {"name", &World::do_name},
      {"rename", &World::do_rename},
      {"set", &World::do_set},
      {"fail", &World::do_fail},
      {"cancel", &World::do_cancel},
      {"uncancel", &World::do_uncancel},
      {"cancelling", &World::do_cancelling},
      {"done", &World::do_done},
      {"cancelled", &World::do_cancelled},
      {"result", &World::do_result},
      {"exception", &World::do_exception},
      {"on_done", &World::do_on_done},
      {"remove_on_done", &World::do_remove_on_done},
      {"gathering", &World::do_gathering},
      {"shield", &World::do_shield},
      {"tasks", &World::do_tasks},
      {"reschedule", &World::do_reschedule},
      {"expired", &World::do_expired},
      {"when", &World::do_when},
      {"lock", &World::do_lock},
      {"event", &World::do_event},
      {"condition", &World::do_condition},
      {"semaphore", &World::do_semaphore},
      {"bounded", &World::do_bounded},
      {"barrier", &World::do_barrier},
      {"queue", &World::do_queue},
      {"lifo", &World::do_lifo},
      {"priority", &World::do_priority},
      {"release", &World::do_release},
      {"locked", &World::do_locked},
      {"clear", &World::do_clear},
      {"is_set", &World::do_is_set},
      {"notify", &World::do_notify},
      {"notify_all", &World::do_notify_all},
      {"waiting", &World::do_waiting},
      {"broken", &World::do_broken},
      {"put_nowait", &World::do_put_nowait},
      {"get_nowait", &World::do_get_nowait},
      {"task_done", &World::do_task_done},
      {"qsize", &World::do_qsize},
      {"empty", &World::do_empty},
      {"full", &World::do_full},
      {"reader", &World::do_reader},
      {"feed", &World::do_feed},
      {"feed_eof", &World::do_feed_eof},
      {"at_eof", &World::do_at_eof},
      {"write", &World::do_write},
      {"write_many", &World::do_write_many},
      {"write_eof", &World::do_write_eof},
      {"close", &World::do_close},
      {"abort_now", &World::do_abort_now},
      {"is_closing", &World::do_is_closing},
      {"pause_reading", &World::do_pause_reading},
      {"resume_reading", &World::do_resume_reading},
      {"limits", &World::do_limits},
      {"port", &World::do_port},
  };
  return table;
}

const std::map<Text, World::AwaitedVerb>& World::awaited_verbs() {
  static const std::map<Text, AwaitedVerb> table = {
      {"sleep", &World::await_sleep},
      {"await", &World::await_await},
      {"call", &World::await_call},
      {"gather", &World::await_gather},
      {"wait_for", &World::await_wait_for},
      {"wait_all", &World::await_wait_all},
      {"wait_first", &World::await_wait_first},
      {"wait_exception", &World::await_wait_exception},
      {"acquire", &World::await_acquire},
      {"wait", &World::await_wait},
      {"until", &World::await_until},
      {"reset", &World::await_reset},
      {"abort", &World::await_abort},
      {"put", &World::await_put},
      {"get", &World::await_get},
      {"join", &World::await_join},
      {"read", &World::await_read},
      {"readexactly", &World::await_readexactly},
      {"readline", &World::await_readline},
      {"readuntil", &World::await_readuntil},
      {"serve", &World::await_serve},
      {"connect", &World::await_connect},
      {"connect_port", &World::await_connect_port},
      {"listen", &World::await_listen},
      {"dial", &World::await_dial},
      {"drain", &World::await_drain},
      {"wait_closed", &World::await_wait_closed},
  };
  return table;
}

}  // namespace ferry::parity
