// Python's async with and async for: ways out that wait, and values that arrive one by one.
#include "tour.h"

#include <ferry/async.h>

#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

int open_connections = 0;

struct Connection {
  std::string name;

  ferry::Coro<std::string> query(std::string what) {
    co_await ferry::sleep(1s);
    if (what == "nonsense") throw std::runtime_error("syntax error");
    co_return name + " answers " + what;
  }
};

ferry::Coro<Connection*> connect(Connection& connection) {
  co_await ferry::sleep(1s);
  ++open_connections;
  std::printf("connected to %s\n", connection.name.c_str());
  co_return &connection;
}

ferry::Coro<> disconnect(Connection& connection) {
  co_await ferry::sleep(1s);
  --open_connections;
  std::printf("disconnected from %s\n", connection.name.c_str());
}

/// __aenter__ and __aexit__ are called enter and leave.
class Database {
 public:
  explicit Database(std::string name) : connection_{std::move(name)} {}

  ferry::Coro<Connection*> enter() { return connect(connection_); }
  /// However the body ended; with its exception, or null. True would swallow the exception.
  ferry::Coro<bool> leave(std::exception_ptr failure) {
    if (failure) std::puts("rolled back");
    co_await disconnect(connection_);
    co_return false;
  }

 private:
  Connection connection_;
};

/// The same as a generator that yields once (contextlib.asynccontextmanager): an exception of the
/// body comes out of the co_yield.
ferry::AsyncGenerator<Connection*> database(std::string name) {
  Connection connection{std::move(name)};
  Connection* const open = co_await connect(connection);
  std::exception_ptr failure;
  try {
    co_yield open;
  } catch (...) {
    failure = std::current_exception();  // no co_await in here
  }
  co_await disconnect(connection);
  if (failure) std::rethrow_exception(failure);
}

ferry::Coro<> ask(Connection* connection, std::string what) {
  const std::string answer = co_await connection->query(std::move(what));
  std::puts(answer.c_str());
}

template <class Context>
ferry::Coro<> ask_in(Context context, std::string what) {
  try {
    co_await ferry::with(std::move(context), ask, std::move(what));
  } catch (const std::runtime_error& error) {
    std::printf("failed: %s\n", error.what());
  }
}

ferry::Coro<> enter_and_leave() {
  co_await ask_in(Database("db1"), "SELECT 1");
  co_await ask_in(Database("db1"), "nonsense");
  co_await ask_in(ferry::async_context_manager(database("db2")), "SELECT 2");
  co_await ask_in(ferry::async_context_manager(database("db2")), "nonsense");
}

/// A source that gives its rows page by page.
ferry::AsyncGenerator<std::vector<int>> pages(int count) {
  struct Cursor {
    Cursor() { std::puts("cursor opened"); }
    ~Cursor() { std::puts("cursor closed"); }
  } const cursor;
  for (int page = 0; page < count; ++page) {
    co_await ferry::sleep(1s);
    std::vector<int> rows{3 * page, 3 * page + 1, 3 * page + 2};
    co_yield std::move(rows);
  }
}

ferry::Coro<> read_all_pages() {
  int sum = 0;
  auto source = pages(3);
  while (const auto page = co_await source.next()) {  // async for page in source:
    std::printf("page of %zu\n", page->size());
    for (const int row : *page) sum += row;
  }
  std::printf("sum %d\n", sum);
}

ferry::Coro<> look_for(int wanted) {
  auto source = pages(1000);
  while (const auto page = co_await source.next()) {
    for (const int row : *page) {
      if (row != wanted) continue;
      std::printf("found %d\n", row);
      co_return;  // the generator ends where it rests
    }
  }
}

ferry::Coro<> main_coroutine() {
  co_await enter_and_leave();
  co_await read_all_pages();
  co_await look_for(4);
  std::printf("open connections: %d\n", open_connections);
}

int main(int argc, char** argv) {
  ferry::run(main_coroutine(), tour::options(argc, argv));
}
