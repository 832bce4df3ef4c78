#include "world.h"

#include <ferry/testing/sim_kernel.h>

#include <cctype>
#include <cstdio>
#include <cstdlib>

namespace ferry::parity {
namespace {

constexpr auto kLimit = std::chrono::seconds(1'000'000);  // after which a scenario is stuck

}  // namespace

// -- the trace

void World::log(const Text& label, const Text& text) {
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(loop_->time() - start_);
  trace_.push_back(std::to_string(now.count()) + " " + label + ": " + text);
}

void World::handle_exception(const ExceptionContext& context) {
  Text message = context.message;
  const std::pair<const char*, const char*> kinds[] = {{"never retrieved", "never retrieved"},
                                                       {"in callback", "in a callback"},
                                                       {"data_received", "in data_received"},
                                                       {"shutdown", "during shutdown"},
                                                       {"pending", "destroyed pending"}};
  for (const auto& [part, kind] : kinds) {
    if (message.find(part) == Text::npos) continue;
    message = kind;
    break;
  }
  if (context.exception) message += " " + describe(context.exception);
  log("handler", message);
}

// -- the whole

Words World::run() {
  RunOptions options;
  options.loop_factory = [] { return std::make_unique<EventLoop>(testing::make_sim_kernel()); };
  options.handle_sigint = false;
  Runner runner(std::move(options));
  loop_ = &runner.get_loop();
  start_ = loop_->time();
  loop_->set_exception_handler(
      [this](EventLoop&, const ExceptionContext& context) { handle_exception(context); });
  loop_->call_later(kLimit, [this] { stuck(); });
  try {
    if (scenario_.sections.contains({"main", ""})) {
      runner.run(body(section("main", ""), {}, "main"));
    } else {
      Frame frame{"outside", {}, {}};
      plain_block(section("outside", ""), frame);
    }
  } catch (...) {
    log("end", "raises " + describe(std::current_exception()));
  }
  log("end", "closing");
  runner.close();
  objects_.clear();
  return std::move(trace_);
}

void World::stuck() {
  log("end", "stuck");
  loop_->stop();
  loop_->call_later(kLimit, [this] {
    std::fprintf(stderr, "%s: stuck\n", scenario_.name.c_str());
    std::exit(1);
  });
}

void World::wrong(const Text& what) const {
  std::fflush(stdout);
  std::fprintf(stderr, "%s: %s: %s\n", scenario_.file.c_str(), scenario_.name.c_str(),
               what.c_str());
  std::_Exit(1);  // no exception, which the script might catch
}

const Block& World::section(const Text& kind, const Text& name) const {
  const auto found = scenario_.sections.find({kind, name});
  if (found == scenario_.sections.end()) wrong("no " + kind + " " + name);
  return found->second;
}

// -- coroutines

Coro<Text> World::body(const Block& statements, Words arguments, Text label) {
  Frame frame{label, {}, {}};
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    frame.names[std::to_string(i + 1)] = arguments[i];
  }
  log(label, "begins");
  Flow flow;
  try {
    flow = co_await block(statements, frame);
  } catch (...) {
    log(label, "raises " + describe(std::current_exception()));
    throw;
  }
  const Text value = flow.value_or("None");
  log(label, "returns " + value);
  co_return value;
}

AsyncGenerator<Text> World::generate(Text name, Words arguments) {
  Frame frame{name, {}, {}};
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    frame.names[std::to_string(i + 1)] = arguments[i];
  }
  for (const Statement& each : section("generator", name)) {
    if (each.verb == "yield") {
      Text value = expand(each.rest, frame);
      co_yield std::move(value);
    } else {
      const Flow flow = co_await statement(each, frame);
      static_cast<void>(flow);
    }
  }
}

Coro<Flow> World::block(const Block& statements, Frame& frame) {
  for (std::size_t at = 0; at < statements.size();) {
    const Statement& each = statements[at++];
    Flow flow;
    if (each.verb == "try") {
      std::vector<const Statement*> clauses;
      while (at < statements.size()) {
        const Text& verb = statements[at].verb;
        if (verb != "except" && verb != "else" && verb != "finally") break;
        clauses.push_back(&statements[at++]);
      }
      flow = co_await try_block(each, clauses, frame);
    } else if (!each.body.empty()) {
      flow = co_await compound(each, frame);
    } else {
      flow = co_await statement(each, frame);
    }
    if (flow) co_return flow;
  }
  co_return std::nullopt;
}

Coro<Flow> World::compound(const Statement& statement, Frame& frame) {
  const Text& verb = statement.verb;
  if (verb == "repeat") return repeat_block(statement, frame);
  if (verb == "timeout") return timeout_block(statement, frame);
  if (verb == "group") return group_block(statement, frame);
  if (verb == "with") return with_block(statement, frame);
  if (verb == "completed") return completed_block(statement, frame);
  if (verb == "for") return for_block(statement, frame);
  wrong("a block of " + verb);
}

Coro<Flow> World::try_block(const Statement& statement, std::vector<const Statement*> clauses,
                            Frame& frame) {
  Flow flow;
  std::exception_ptr failure;
  try {
    flow = co_await try_except(statement, clauses, frame);
  } catch (...) {
    failure = std::current_exception();
  }
  if (!clauses.empty() && clauses.back()->verb == "finally") {
    const Flow last = co_await block(clauses.back()->body, frame);
    static_cast<void>(last);
  }
  if (failure) std::rethrow_exception(failure);
  co_return flow;
}

Coro<Flow> World::try_except(const Statement& statement, std::vector<const Statement*> clauses,
                             Frame& frame) {
  Flow flow;
  std::exception_ptr failure;
  try {
    flow = co_await block(statement.body, frame);
  } catch (...) {
    failure = std::current_exception();
  }
  for (const Statement* clause : clauses) {
    if (failure && clause->verb == "except" && matches(failure, clause->rest)) {
      struct Handling {
        Frame& frame;
        std::exception_ptr outer;
        ~Handling() { frame.handling = outer; }
      };
      const Handling handling{frame, std::exchange(frame.handling, failure)};
      frame.names["error"] = describe(failure);
      co_return co_await block(clause->body, frame);
    }
    if (!failure && !flow && clause->verb == "else") co_return co_await block(clause->body, frame);
  }
  if (failure) std::rethrow_exception(failure);
  co_return flow;
}

Coro<Flow> World::repeat_block(const Statement& statement, Frame& frame) {
  const int count = std::stoi(expand(statement.rest, frame));
  for (int i = 0; i < count; ++i) {
    frame.names["i"] = std::to_string(i);
    const Flow flow = co_await block(statement.body, frame);
    if (flow) co_return flow;
  }
  co_return std::nullopt;
}

Coro<Flow> World::timeout_block(const Statement& statement, Frame& frame) {
  const auto [limit, name] = partition(expand(statement.rest, frame));
  const auto timeout = std::make_shared<Timeout>(delay(limit));
  if (!name.empty()) objects_[name] = timeout;
  co_return co_await timeout->run(block(statement.body, frame));
}

Coro<Flow> World::group_block(const Statement& statement, Frame& frame) {
  const auto group = std::make_shared<TaskGroup>();
  objects_[statement.rest] = group;
  co_return co_await group->run(block(statement.body, frame));
}

template <class Lockable>
Coro<Flow> World::locked_block(Lockable& lockable, const Statement& statement, Frame& frame) {
  const auto guard = co_await lockable.scoped();
  co_return co_await block(statement.body, frame);
}

Coro<Flow> World::with_block(const Statement& statement, Frame& frame) {
  return on_object(expand(statement.rest, frame), [&](auto& lockable) -> Coro<Flow> {
    if constexpr (requires { lockable.scoped(); }) {
      return locked_block(lockable, statement, frame);
    } else {
      wrong("with " + statement.rest);
    }
  });
}

Coro<Flow> World::completed_block(const Statement& statement, Frame& frame) {
  const auto [limit, items] = limit_and_items(expand(statement.rest, frame));
  AsCompleted<Future<Text>> completed = as_completed(futures_of(items), limit);
  while (completed.left() > 0) {
    frame.names["item"] = co_await completed.next_result();
    const Flow flow = co_await block(statement.body, frame);
    if (flow) co_return flow;
  }
  co_return std::nullopt;
}

Coro<Flow> World::for_block(const Statement& statement, Frame& frame) {
  Item item = parse_item(expand(statement.rest, frame));
  AsyncGenerator<Text> generator = generate(item.name, item.arguments.value_or(Words()));
  while (std::optional<Text> value = co_await generator.next()) {
    frame.names["item"] = *value;
    const Flow flow = co_await block(statement.body, frame);
    if (flow) co_return flow;
  }
  co_return std::nullopt;
}

// -- statements

Coro<Flow> World::statement(const Statement& statement, Frame& frame) {
  if (statement.verb == "show" || statement.verb == "check") {
    const Statement inner = parse_statement(statement.line, expand(statement.rest, frame));
    try {
      const Text value = co_await evaluate(inner, frame);
      log(frame.label, inner.text() + " -> " + value);
    } catch (...) {
      log(frame.label, inner.text() + " !! " + describe(std::current_exception()));
      if (statement.verb == "show") throw;
    }
    co_return std::nullopt;
  }
  if (statement.verb == "return") {
    const Text value = expand(statement.rest, frame);
    co_return value.empty() ? "None" : value;
  }
  const Text value = co_await evaluate(statement, frame);
  if (!statement.target.empty()) frame.names[statement.target] = value;
  co_return std::nullopt;
}

Coro<Text> World::evaluate(const Statement& statement, Frame& frame) {
  const auto found = awaited_verbs().find(statement.verb);
  if (found == awaited_verbs().end()) co_return evaluate_plain(statement, frame);
  Call call{frame, expand(statement.rest, frame), statement.target};
  co_return co_await (this->*found->second)(std::move(call));
}

Text World::evaluate_plain(const Statement& statement, Frame& frame) {
  const auto found = verbs().find(statement.verb);
  if (found == verbs().end()) wrong(std::to_string(statement.line) + ": " + statement.verb);
  Call call{frame, expand(statement.rest, frame), statement.target};
  return (this->*found->second)(call);
}

void World::plain_block(const Block& statements, Frame& frame) {
  for (const Statement& each : statements) {
    if (each.verb == "show" || each.verb == "check") {
      const Statement inner = parse_statement(each.line, expand(each.rest, frame));
      try {
        const Text value = evaluate_plain(inner, frame);
        log(frame.label, inner.text() + " -> " + value);
      } catch (...) {
        log(frame.label, inner.text() + " !! " + describe(std::current_exception()));
        if (each.verb == "show") throw;
      }
      continue;
    }
    const Text value = evaluate_plain(each, frame);
    if (!each.target.empty()) frame.names[each.target] = value;
  }
}

void World::run_callback(const Text& text) {
  const Item item = parse_item(text);
  Frame frame{text, {}, {}};
  const Words arguments = item.arguments.value_or(Words());
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    frame.names[std::to_string(i + 1)] = arguments[i];
  }
  plain_block(section("callback", item.name), frame);
}

void World::run_handler(const Text& name, const Text& event, std::map<Text, Text> names) {
  const auto found = scenario_.sections.find({"on", name + " " + event});
  if (found == scenario_.sections.end()) return;
  Frame frame{name, std::move(names), {}};
  plain_block(found->second, frame);
}

// -- names

Text World::expand(const Text& text, const Frame& frame) const {
  Text expanded;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at + 1;
    const auto in_name = [&] {
      return end < text.size() &&
             (std::isalnum(static_cast<unsigned char>(text[end])) || text[end] == '_');
    };
    if (text[at] == '$') {
      while (in_name()) ++end;
      const Text name = text.substr(at + 1, end - at - 1);
      if (const auto own = frame.names.find(name); own != frame.names.end()) {
        expanded += own->second;
        at = end;
        continue;
      }
      if (const auto found = shared_.find(name); found != shared_.end()) {
        expanded += found->second;
        at = end;
        continue;
      }
    }
    expanded.append(text, at, end - at);
    at = end;
  }
  return expanded;
}

Object& World::object(const Text& name) {
  const auto found = objects_.find(name);
  if (found == objects_.end()) wrong("no object " + name);
  return found->second;
}

std::optional<Duration> World::delay(const Text& text) const {
  if (text == "none") return std::nullopt;
  return std::chrono::seconds(std::stoi(text));
}

std::pair<std::optional<Duration>, Words> World::limit_and_items(const Text& text) const {
  Words items = split(text);
  std::optional<Duration> limit;
  if (!items.empty() && items.front().starts_with("timeout=")) {
    limit = delay(items.front().substr(8));
    items.erase(items.begin());
  }
  return {limit, std::move(items)};
}

}  // namespace ferry::parity
