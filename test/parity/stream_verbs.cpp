#include "world.h"

namespace ferry::parity {
namespace {

const Text kNone = "None";

Text replaced(Text text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != Text::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}
Text unescaped(const Text& text) {
  return replaced(text, "\\n", "\n");
}
/// What was read, so that it is one short line.
Text quoted(const Text& data) {
  if (data.size() > 60) return std::to_string(data.size()) + " bytes";
  return "\"" + replaced(data, "\n", "\\n") + "\"";
}

}  // namespace

/// Runs `on NAME EVENT` for each event.
class World::ScriptProtocol final : public Protocol {
 public:
  ScriptProtocol(World& world, Text name) : world_(world), name_(std::move(name)) {}

  void connection_made(std::shared_ptr<Transport> transport) override {
    world_.objects_[name_] = std::move(transport);
    run("made", {}, {});
  }
  void data_received(BytesView data) override { run("data", "data", quoted(Text(data.text()))); }
  bool eof_received() override {
    run("eof", {}, {});
    return has("keep_open");
  }
  void connection_lost(std::error_code error) override {
    run("lost", "error", error ? kind_of(error) : kNone);
  }
  void pause_writing() override { run("pause", {}, {}); }
  void resume_writing() override { run("resume", {}, {}); }

 private:
  bool has(const Text& mark) const {
    return world_.scenario_.sections.contains({"on", name_ + " " + mark});
  }
  void run(const Text& event, const Text& key, const Text& value) {
    if (event != "data" || !has("quiet")) {
      world_.log(name_, value.empty() ? event : event + " " + value);
    }
    std::map<Text, Text> names;
    if (!key.empty()) names[key] = value;
    world_.run_handler(name_, event, std::move(names));
  }

  World& world_;
  Text name_;
};

// -- readers fed by hand

Text World::do_reader(Call& call) {
  objects_.insert_or_assign(
      call.target,
      StreamReader(call.rest.empty() ? StreamReader::kDefaultLimit : std::stoul(call.rest)));
  return kNone;
}

Text World::do_feed(Call& call) {
  const auto [name, text] = partition(call.rest);
  const StreamReader reader = std::get<StreamReader>(object(name));
  reader.feed_data(unescaped(text));
  return kNone;
}

Text World::do_feed_eof(Call& call) {
  const StreamReader reader = std::get<StreamReader>(object(call.rest));
  reader.feed_eof();
  return kNone;
}

Text World::do_at_eof(Call& call) {
  return text_of(std::get<StreamReader>(object(call.rest)).at_eof());
}

Coro<Text> World::await_read(Call call) {
  const auto [name, count] = partition(call.rest);
  const StreamReader reader = std::get<StreamReader>(object(name));
  const std::size_t most = count.empty() ? StreamReader::kUntilEof : std::stoul(count);
  co_return quoted(co_await reader.read(most));
}

Coro<Text> World::await_readexactly(Call call) {
  const auto [name, count] = partition(call.rest);
  const StreamReader reader = std::get<StreamReader>(object(name));
  co_return quoted(co_await reader.readexactly(std::stoul(count)));
}

Coro<Text> World::await_readline(Call call) {
  const StreamReader reader = std::get<StreamReader>(object(call.rest));
  co_return quoted(co_await reader.readline());
}

Coro<Text> World::await_readuntil(Call call) {
  const Words words = split(call.rest);
  const StreamReader reader = std::get<StreamReader>(object(words.at(0)));
  const Text separator = unescaped(words.at(1));
  co_return quoted(co_await reader.readuntil(separator));
}

// -- connections

std::uint16_t World::port_of(const Text& server) {
  return std::get<std::shared_ptr<Server>>(object(server))->port();
}

Coro<Text> World::await_serve(Call call) {
  struct Handle {
    static Coro<> run(Coro<Text> work) { co_await std::move(work); }
  };
  const auto [server, handler] = partition(call.rest);
  const Text name = server;
  const Text item = handler;
  StreamHandler handle = [this, name, item](StreamReader reader, StreamWriter writer) -> Coro<> {
    objects_.insert_or_assign(name + ".r", reader);
    objects_.insert_or_assign(name + ".w", writer);
    return Handle::run(coroutine(parse_item(item), item));
  };
  std::shared_ptr<Server> made = co_await start_server(std::move(handle), "127.0.0.1", 0);
  objects_[name] = std::move(made);
  co_return kNone;
}

Coro<Text> World::await_connect(Call call) {
  const auto [name, server] = partition(call.rest);
  const Stream stream = co_await open_connection("127.0.0.1", port_of(server));
  objects_.insert_or_assign(name + ".r", stream.reader);
  objects_.insert_or_assign(name + ".w", stream.writer);
  co_return kNone;
}

Coro<Text> World::await_connect_port(Call call) {
  const auto port = static_cast<std::uint16_t>(std::stoul(call.rest));
  const Stream stream = co_await open_connection("127.0.0.1", port);
  static_cast<void>(stream);
  co_return kNone;
}

Text World::do_port(Call& call) {
  return std::to_string(port_of(call.rest));
}

Coro<Text> World::await_listen(Call call) {
  const auto [name, protocol] = partition(call.rest);
  ProtocolFactory factory = [this, made_for = Text(protocol)] {
    return std::make_shared<ScriptProtocol>(*this, made_for);
  };
  ListenOptions options;
  options.hosts = {"127.0.0.1"};
  std::shared_ptr<Server> made =
      co_await create_server(*loop_, std::move(factory), std::move(options));
  objects_[name] = std::move(made);
  co_return kNone;
}

Coro<Text> World::await_dial(Call call) {
  const auto [protocol, server] = partition(call.rest);
  ProtocolFactory factory = [this, made_for = Text(protocol)] {
    return std::make_shared<ScriptProtocol>(*this, made_for);
  };
  ConnectOptions options;
  options.host = "127.0.0.1";
  options.port = port_of(server);
  const Connection<> made =
      co_await create_connection(*loop_, std::move(factory), std::move(options));
  static_cast<void>(made);
  co_return kNone;
}

Text World::do_write(Call& call) {
  const auto [name, text] = partition(call.rest);
  return on_object(name, [&, data = unescaped(text)](auto& thing) -> Text {
    if constexpr (requires { thing.write(BytesView(data)); }) {
      thing.write(BytesView(data));
      return kNone;
    } else {
      wrong("write " + call.rest);
    }
  });
}

Text World::do_write_many(Call& call) {
  const auto [name, kib] = partition(call.rest);
  return on_object(name, [&, data = Text(std::stoul(kib) * 1024, 'x')](auto& thing) -> Text {
    if constexpr (requires { thing.write(BytesView(data)); }) {
      thing.write(BytesView(data));
      return kNone;
    } else {
      wrong("write_many " + call.rest);
    }
  });
}

Text World::do_write_eof(Call& call) {
  return on_object(call.rest, [&](auto& thing) -> Text {
    if constexpr (requires { thing.write_eof(); }) {
      thing.write_eof();
      return kNone;
    } else {
      wrong("write_eof " + call.rest);
    }
  });
}

Text World::do_close(Call& call) {
  return on_object(call.rest, [&](auto& thing) -> Text {
    if constexpr (requires { thing.close(); }) {
      thing.close();
      return kNone;
    } else {
      wrong("close " + call.rest);
    }
  });
}

Text World::do_abort_now(Call& call) {
  std::get<std::shared_ptr<Transport>>(object(call.rest))->abort();
  return kNone;
}

Text World::do_is_closing(Call& call) {
  return on_object(call.rest, [&](auto& thing) -> Text {
    if constexpr (requires { thing.is_closing(); }) {
      return text_of(thing.is_closing());
    } else {
      wrong("is_closing " + call.rest);
    }
  });
}

Text World::do_pause_reading(Call& call) {
  std::get<std::shared_ptr<Transport>>(object(call.rest))->pause_reading();
  return kNone;
}

Text World::do_resume_reading(Call& call) {
  std::get<std::shared_ptr<Transport>>(object(call.rest))->resume_reading();
  return kNone;
}

Text World::do_limits(Call& call) {
  const Words words = split(call.rest);
  const auto transport = std::get<std::shared_ptr<Transport>>(object(words.at(0)));
  transport->set_write_buffer_limits(std::stoul(words.at(1)), std::stoul(words.at(2)));
  return kNone;
}

Coro<Text> World::await_drain(Call call) {
  const StreamWriter writer = std::get<StreamWriter>(object(call.rest));
  co_await writer.drain();
  co_return kNone;
}

Coro<Text> World::await_wait_closed(Call call) {
  const StreamWriter writer = std::get<StreamWriter>(object(call.rest));
  co_await writer.wait_closed();
  co_return kNone;
}

}  // namespace ferry::parity
