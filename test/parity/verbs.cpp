#include "world.h"

namespace ferry::parity {

Text text_of(bool value) {
  return value ? "True" : "False";
}
Text text_of(std::size_t value) {
  return std::to_string(value);
}
Text text_of(const Text& value) {
  return value;
}
Text text_of(const Words& values) {
  return "[" + join(values, ", ") + "]";
}
Text text_of(const std::vector<Outcome<Text>>& values) {
  Words texts;
  for (Outcome<Text> each : values) {
    texts.push_back(each ? each.value() : describe(each.exception()));
  }
  return text_of(texts);
}

namespace {

/// What a call that gives nothing gives in Python.
const Text kNone = "None";

}  // namespace

// -- what is behind a name

FutureState& World::state(const Text& name) {
  if (name == "self") return task(name).future();
  return on_object(name, [&](auto& thing) -> FutureState& {
    if constexpr (requires { thing.state()->done(); }) {
      return *thing.state();
    } else {
      wrong(name + " is no future");
    }
  });
}

TaskCore& World::task(const Text& name) {
  if (name == "self") return *current_task();
  return on_object(name, [&](auto& thing) -> TaskCore& {
    if constexpr (requires { thing.uncancel(); }) {
      return static_cast<TaskCell<Text>&>(*thing.state());
    } else {
      wrong(name + " is no task");
    }
  });
}

Coro<Text> World::coroutine(const Item& item, const Text& label) {
  return body(section("coro", item.name), item.arguments.value_or(Words()), label);
}

Future<Text> World::future_of(const Text& text) {
  const Item item = parse_item(text);
  if (item.arguments) return create_task(*loop_, coroutine(item, text));
  return on_object(text, [&](auto& thing) -> Future<Text> {
    if constexpr (std::is_convertible_v<decltype(thing), Future<Text>>) {
      return thing;
    } else {
      wrong(text + " is no future of a text");
    }
  });
}

std::vector<Future<Text>> World::futures_of(const Words& items) {
  std::vector<Future<Text>> futures;
  for (const Text& item : items) futures.push_back(future_of(item));
  return futures;
}

// -- the script itself

Text World::do_log(Call& call) {
  log(call.frame.label, call.rest);
  return kNone;
}

Text World::do_let(Call& call) {
  const auto [name, value] = partition(call.rest);
  shared_[name] = value;
  return kNone;
}

Text World::do_drop(Call& call) {
  objects_.erase(call.rest);
  return kNone;
}

Text World::do_raise(Call& call) {
  if (call.rest.empty()) std::rethrow_exception(call.frame.handling);
  const auto [kind, text] = partition(call.rest);
  std::rethrow_exception(make_error(kind, text));
}

// -- the loop

Text World::do_soon(Call& call) {
  objects_[call.target] = loop_->call_soon([this, text = call.rest] { run_callback(text); });
  return kNone;
}

Text World::do_later(Call& call) {
  const auto [limit, text] = partition(call.rest);
  objects_[call.target] =
      loop_->call_later(*delay(limit), [this, callback = text] { run_callback(callback); });
  return kNone;
}

Text World::do_at(Call& call) {
  const auto [when, text] = partition(call.rest);
  objects_[call.target] =
      loop_->call_at(start_ + *delay(when), [this, callback = text] { run_callback(callback); });
  return kNone;
}

Text World::do_stop(Call&) {
  loop_->stop();
  return kNone;
}

Text World::do_run_forever(Call&) {
  loop_->run_forever();
  return kNone;
}

Text World::do_run_until(Call& call) {
  const Item item = parse_item(call.rest);
  if (item.arguments) return run_until_complete(*loop_, coroutine(item, call.rest));
  return loop_->run_until_complete(future_of(call.rest));
}

Text World::do_running(Call&) {
  return text_of(loop_->is_running());
}

// -- futures and tasks

Text World::do_future(Call& call) {
  objects_[call.target] = loop_->create_future<Text>();
  return kNone;
}

Text World::do_spawn(Call& call) {
  const auto [label, item] = partition(call.rest);
  TaskOptions options;
  options.name = label;
  objects_[label] = create_task(*loop_, coroutine(parse_item(item), label), options);
  return kNone;
}

Text World::do_start(Call& call) {
  const Words words = split(call.rest);
  const Text& label = words.at(1);
  return on_object(words.at(0), [&](auto& group) -> Text {
    if constexpr (requires {
                    group.cancel();
                    group.create_task(Coro<Text>());
                  }) {
      TaskOptions options;
      options.name = label;
      objects_[label] = group.create_task(coroutine(parse_item(words.at(2)), label), options);
      return kNone;
    } else {
      wrong("start " + call.rest);
    }
  });
}

Text World::do_name(Call& call) {
  return task(call.rest).name();
}

Text World::do_rename(Call& call) {
  const auto [name, text] = partition(call.rest);
  task(name).set_name(text);
  return kNone;
}

Text World::do_set(Call& call) {
  const auto [name, value] = partition(call.rest);
  return on_object(name, [&, text = value](auto& thing) -> Text {
    if constexpr (requires { thing.is_set(); }) {
      thing.set();
    } else if constexpr (std::is_same_v<decltype(thing), Future<Text>&>) {
      thing.set_result(text.empty() ? kNone : text);
    } else {
      throw std::logic_error("set: no event and no future");
    }
    return kNone;
  });
}

Text World::do_fail(Call& call) {
  const auto [name, what] = partition(call.rest);
  const auto [kind, text] = partition(what);
  const std::exception_ptr error = make_error(kind, text);
  if (const auto* reader = std::get_if<StreamReader>(&object(name))) {
    reader->set_exception(error);
  } else {
    state(name).set_exception(error);
  }
  return kNone;
}

Text World::do_cancel(Call& call) {
  const auto [name, message] = partition(call.rest);
  if (name == "self") return text_of(state(name).cancel(message));
  return on_object(name, [&, text = message](auto& thing) -> Text {
    if constexpr (requires {
                    { thing.cancel(text) } -> std::same_as<bool>;
                  }) {
      return text_of(thing.cancel(text));
    } else if constexpr (requires { thing.cancelled(); }) {
      thing.cancel();
      return kNone;
    } else {
      wrong("cancel " + call.rest);
    }
  });
}

Text World::do_uncancel(Call& call) {
  return std::to_string(task(call.rest).uncancel());
}

Text World::do_cancelling(Call& call) {
  return std::to_string(task(call.rest).cancelling());
}

Text World::do_done(Call& call) {
  return text_of(state(call.rest).done());
}

Text World::do_cancelled(Call& call) {
  return on_object(call.rest, [&](auto& thing) -> Text {
    if constexpr (requires { thing.cancelled(); }) {
      return text_of(thing.cancelled());
    } else {
      wrong("cancelled " + call.rest);
    }
  });
}

Text World::do_result(Call& call) {
  return on_object(call.rest, [&](auto& thing) -> Text {
    if constexpr (requires { thing.result(); }) {
      return text_of(thing.result());
    } else {
      wrong("result " + call.rest);
    }
  });
}

Text World::do_exception(Call& call) {
  const auto* const reader = std::get_if<StreamReader>(&object(call.rest));
  const std::exception_ptr exception = reader ? reader->exception() : state(call.rest).exception();
  return exception ? describe(exception) : kNone;
}

Text World::do_on_done(Call& call) {
  const Text callback = partition(call.rest).second;
  callback_ids_[call.rest] =
      state(partition(call.rest).first).add_done_callback([this, callback](FutureState&) {
        run_callback(callback);
      });
  return kNone;
}

Text World::do_remove_on_done(Call& call) {
  FutureState& future = state(partition(call.rest).first);
  return text_of(future.remove_done_callback(callback_ids_.at(call.rest)));
}

Text World::do_gathering(Call& call) {
  Words items = split(call.rest);
  if (!items.empty() && items.front() == "exceptions") {
    items.erase(items.begin());
    objects_[call.target] = gather(return_exceptions, futures_of(items));
  } else {
    objects_[call.target] = gather(futures_of(items));
  }
  return kNone;
}

Text World::do_shield(Call& call) {
  const Item item = parse_item(call.rest);
  if (item.arguments) {
    objects_[call.target] = shield(coroutine(item, call.rest));
    return kNone;
  }
  on_object(call.rest, [&](auto& thing) -> void {
    if constexpr (requires { thing.uncancel(); }) {
      objects_[call.target] = shield(Future<Text>(thing));
    } else if constexpr (requires { shield(thing); }) {
      objects_[call.target] = shield(thing);
    } else {
      wrong("shield " + call.rest);
    }
  });
  return kNone;
}

Text World::do_tasks(Call&) {
  return text_of(all_tasks(*loop_).size());
}

// -- timeouts

Text World::do_reschedule(Call& call) {
  const auto [name, limit] = partition(call.rest);
  const std::optional<Duration> after = delay(limit);
  std::optional<TimePoint> when;
  if (after) when = loop_->time() + *after;
  return on_object(name, [&](auto& timeout) -> Text {
    if constexpr (requires { timeout.reschedule(when); }) {
      timeout.reschedule(when);
      return kNone;
    } else {
      wrong("reschedule " + call.rest);
    }
  });
}

Text World::do_expired(Call& call) {
  return on_object(call.rest, [&](auto& timeout) -> Text {
    if constexpr (requires { timeout.expired(); }) {
      return text_of(timeout.expired());
    } else {
      wrong("expired " + call.rest);
    }
  });
}

Text World::do_when(Call& call) {
  return on_object(call.rest, [&](auto& timeout) -> Text {
    if constexpr (requires { timeout.reschedule(std::nullopt); }) {
      if (!timeout.when()) return kNone;
      return std::to_string((*timeout.when() - start_) / std::chrono::seconds(1));
    } else {
      wrong("when " + call.rest);
    }
  });
}

}  // namespace ferry::parity
