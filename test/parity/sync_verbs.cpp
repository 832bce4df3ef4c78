#include "world.h"

namespace ferry::parity {
namespace {

const Text kNone = "None";

std::size_t size_of(const Text& text) {
  return text.empty() ? 0 : std::stoul(text);
}

}  // namespace

Text World::do_lock(Call& call) {
  objects_[call.target] = std::make_shared<Lock>();
  return kNone;
}

Text World::do_event(Call& call) {
  objects_[call.target] = std::make_shared<Event>();
  return kNone;
}

Text World::do_condition(Call& call) {
  if (call.rest.empty()) {
    objects_[call.target] = std::make_shared<Condition>();
  } else {
    Lock& lock = *std::get<std::shared_ptr<Lock>>(object(call.rest));
    objects_[call.target] = std::make_shared<Condition>(lock);
  }
  return kNone;
}

Text World::do_semaphore(Call& call) {
  objects_[call.target] = std::make_shared<Semaphore>(size_of(call.rest));
  return kNone;
}

Text World::do_bounded(Call& call) {
  std::shared_ptr<Semaphore> semaphore = std::make_shared<BoundedSemaphore>(size_of(call.rest));
  objects_[call.target] = std::move(semaphore);
  return kNone;
}

Text World::do_barrier(Call& call) {
  objects_[call.target] = std::make_shared<Barrier>(size_of(call.rest));
  return kNone;
}

Text World::do_queue(Call& call) {
  objects_[call.target] = std::make_shared<Queue<Text>>(size_of(call.rest));
  return kNone;
}

Text World::do_lifo(Call& call) {
  objects_[call.target] = std::make_shared<LifoQueue<Text>>(size_of(call.rest));
  return kNone;
}

Text World::do_priority(Call& call) {
  objects_[call.target] = std::make_shared<PriorityQueue<Text>>(size_of(call.rest));
  return kNone;
}

Text World::do_release(Call& call) {
  return on_object(call.rest, [&](auto& thing) -> Text {
    if constexpr (requires { thing.release(); }) {
      thing.release();
      return kNone;
    } else {
      wrong("release " + call.rest);
    }
  });
}

Text World::do_locked(Call& call) {
  return on_object(call.rest, [&](auto& thing) -> Text {
    if constexpr (requires { thing.locked(); }) {
      return text_of(thing.locked());
    } else {
      wrong("locked " + call.rest);
    }
  });
}

Text World::do_clear(Call& call) {
  std::get<std::shared_ptr<Event>>(object(call.rest))->clear();
  return kNone;
}

Text World::do_is_set(Call& call) {
  return text_of(std::get<std::shared_ptr<Event>>(object(call.rest))->is_set());
}

Text World::do_notify(Call& call) {
  const auto [name, count] = partition(call.rest);
  std::get<std::shared_ptr<Condition>>(object(name))->notify(count.empty() ? 1 : size_of(count));
  return kNone;
}

Text World::do_notify_all(Call& call) {
  std::get<std::shared_ptr<Condition>>(object(call.rest))->notify_all();
  return kNone;
}

Text World::do_waiting(Call& call) {
  return text_of(std::get<std::shared_ptr<Barrier>>(object(call.rest))->n_waiting());
}

Text World::do_broken(Call& call) {
  return text_of(std::get<std::shared_ptr<Barrier>>(object(call.rest))->broken());
}

Text World::do_put_nowait(Call& call) {
  const auto [name, value] = partition(call.rest);
  return on_object(name, [&, item = value](auto& queue) -> Text {
    if constexpr (requires { queue.put_nowait(item); }) {
      queue.put_nowait(item);
      return kNone;
    } else {
      wrong("put_nowait " + call.rest);
    }
  });
}

Text World::do_get_nowait(Call& call) {
  return on_object(call.rest, [&](auto& queue) -> Text {
    if constexpr (requires { queue.get_nowait(); }) {
      return queue.get_nowait();
    } else {
      wrong("get_nowait " + call.rest);
    }
  });
}

Text World::do_task_done(Call& call) {
  return on_object(call.rest, [&](auto& queue) -> Text {
    if constexpr (requires { queue.task_done(); }) {
      queue.task_done();
      return kNone;
    } else {
      wrong("task_done " + call.rest);
    }
  });
}

Text World::do_qsize(Call& call) {
  return on_object(call.rest, [&](auto& queue) -> Text {
    if constexpr (requires { queue.qsize(); }) {
      return text_of(queue.qsize());
    } else {
      wrong("qsize " + call.rest);
    }
  });
}

Text World::do_empty(Call& call) {
  return on_object(call.rest, [&](auto& queue) -> Text {
    if constexpr (requires { queue.qsize(); }) {
      return text_of(queue.empty());
    } else {
      wrong("empty " + call.rest);
    }
  });
}

Text World::do_full(Call& call) {
  return on_object(call.rest, [&](auto& queue) -> Text {
    if constexpr (requires { queue.full(); }) {
      return text_of(queue.full());
    } else {
      wrong("full " + call.rest);
    }
  });
}

// -- what is awaited

namespace {

/// A coroutine for each, because a visitor cannot await.
struct Waits {
  static Coro<Text> wait(std::shared_ptr<Event> event) {
    co_await event->wait();
    co_return kNone;
  }
  static Coro<Text> wait(std::shared_ptr<Condition> condition) {
    co_await condition->wait();
    co_return kNone;
  }
  static Coro<Text> wait(std::shared_ptr<Barrier> barrier) {
    const std::size_t place = co_await barrier->wait();
    co_return text_of(place);
  }
  template <class T>
  static Coro<Text> acquire(std::shared_ptr<T> lockable) {
    co_await lockable->acquire();
    co_return kNone;
  }
  template <class Q>
  static Coro<Text> put(std::shared_ptr<Q> queue, Text value) {
    co_await queue->put(std::move(value));
    co_return kNone;
  }
  template <class Q>
  static Coro<Text> get(std::shared_ptr<Q> queue) {
    co_return co_await queue->get();
  }
  template <class Q>
  static Coro<Text> join(std::shared_ptr<Q> queue) {
    co_await queue->join();
    co_return kNone;
  }
};

}  // namespace

Coro<Text> World::await_acquire(Call call) {
  return std::visit(
      [&](auto& thing) -> Coro<Text> {
        if constexpr (requires { thing->locked(); }) {
          return Waits::acquire(thing);
        } else {
          wrong("acquire " + call.rest);
        }
      },
      object(call.rest));
}

Coro<Text> World::await_wait(Call call) {
  return std::visit(
      [&](auto& thing) -> Coro<Text> {
        if constexpr (requires { Waits::wait(thing); }) {
          return Waits::wait(thing);
        } else {
          wrong("wait " + call.rest);
        }
      },
      object(call.rest));
}

Coro<Text> World::await_until(Call call) {
  const Words words = split(call.rest);
  const auto condition = std::get<std::shared_ptr<Condition>>(object(words.at(0)));
  const auto is_so = [this, &words] {
    const auto found = shared_.find(words.at(1));
    return found != shared_.end() && found->second == words.at(2);
  };
  co_await condition->wait_for(is_so);
  co_return kNone;
}

Coro<Text> World::await_reset(Call call) {
  std::get<std::shared_ptr<Barrier>>(object(call.rest))->reset();
  co_return kNone;
}

Coro<Text> World::await_abort(Call call) {
  std::get<std::shared_ptr<Barrier>>(object(call.rest))->abort();
  co_return kNone;
}

Coro<Text> World::await_put(Call call) {
  const auto [name, value] = partition(call.rest);
  return std::visit(
      [&, item = value](auto& thing) -> Coro<Text> {
        if constexpr (requires { thing->qsize(); }) {
          return Waits::put(thing, item);
        } else {
          wrong("put " + call.rest);
        }
      },
      object(name));
}

Coro<Text> World::await_get(Call call) {
  return std::visit(
      [&](auto& thing) -> Coro<Text> {
        if constexpr (requires { thing->qsize(); }) {
          return Waits::get(thing);
        } else {
          wrong("get " + call.rest);
        }
      },
      object(call.rest));
}

Coro<Text> World::await_join(Call call) {
  return std::visit(
      [&](auto& thing) -> Coro<Text> {
        if constexpr (requires { thing->qsize(); }) {
          return Waits::join(thing);
        } else {
          wrong("join " + call.rest);
        }
      },
      object(call.rest));
}

}  // namespace ferry::parity
