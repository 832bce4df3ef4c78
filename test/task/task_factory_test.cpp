// set_task_factory: who has a say in how tasks are made.

#include "task_fixture.h"

#include <ferry/gather.h>
#include <ferry/net.h>
#include <ferry/task_factory.h>
#include <ferry/task_group.h>

#include <sys/socket.h>

#include <memory>
#include <vector>

namespace ferry::test {
namespace {

class Factories : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Factories, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(Factories, C0149_ItSeesEveryTaskWhoeverMakesItUntilItIsTakenAway) {
  const auto in_group = [](TaskGroup& group) -> Coro<> {
    group.create_task(turns(1));
    co_return;
  };
  const auto body = [](auto group_body) -> Coro<> {
    TaskOptions named;
    named.name = "by name";
    co_await create_task(turns(1), named);
    co_await ensure_future(turns(1));
    co_await gather(turns(1), turns(1));
    co_await task_group(group_body);
  };
  Log log;
  EXPECT_FALSE(has_task_factory(loop()));
  set_task_factory(loop(), [&log](TaskCore& task, TaskOptions& options) {
    EXPECT_EQ(task.coroutine()->ended(), false);
    log.push_back(options.name.empty() ? task.name() : std::string(options.name));
    if (log.size() == 1) options.name = "the first";
  });
  EXPECT_TRUE(has_task_factory(loop()));
  const Task<> first = start(body(in_group));
  EXPECT_EQ(first.name(), "the first");
  finish(first);
  EXPECT_EQ(log.size(), 6U);
  EXPECT_EQ(log.at(1), "by name");
  set_task_factory(loop(), nullptr);
  EXPECT_FALSE(has_task_factory(loop()));
  finish(start(turns(1)));
  EXPECT_EQ(log.size(), 6U);
}

TEST_P(Factories, C0149_ANameThatWasAskedForIsTheTasksName) {
  set_task_factory(loop(), [](TaskCore&, TaskOptions&) {});
  TaskOptions options;
  options.name = "mine";
  const Task<> task = start(turns(1), options);
  EXPECT_EQ(task.name(), "mine");
  finish(task);
}

TEST_P(Factories, TheEagerOneMakesAllTasksEagerOnceTheLoopRuns) {
  const auto body = [](Log* log) -> Coro<> {
    const auto note = [](Log* to, std::string what) -> Coro<int> {
      to->push_back(std::move(what));
      co_return 1;
    };
    const Task<int> one = create_task(note(log, "inside create_task"));
    EXPECT_TRUE(one.done());
    log->push_back("after it");
    co_await gather(note(log, "a"), note(log, "b"));
  };
  set_task_factory(loop(), eager_task_factory);
  Log log;
  const Task<> outer = start(body(&log));
  EXPECT_TRUE(log.empty());  // the loop does not run yet
  finish(outer);
  EXPECT_EQ(log, (Log{"inside create_task", "after it", "a", "b"}));
}

TEST_P(Factories, ItMayGiveAllTasksOneContext) {
  const ContextVar<int> count("count", 0);
  const auto body = [](const ContextVar<int>* variable) -> Coro<int> {
    variable->set(variable->get() + 1);
    co_return variable->get();
  };
  const Context shared;
  set_task_factory(loop(), [&shared](TaskCore&, TaskOptions& options) {
    if (!options.context) options.context = &shared;
  });
  EXPECT_EQ(run(body(&count)), 1);
  EXPECT_EQ(run(body(&count)), 2);
  EXPECT_EQ(shared.get(count), 2);
}

TEST_P(Factories, WhatItThrowsComesOutOfCreateTaskAndTheCoroutineIsGone) {
  const auto coroutine = [](Alive) -> Coro<> { co_return; };
  set_task_factory(loop(), [](TaskCore&, TaskOptions&) { throw TestError("no task today"); });
  int alive = 0;
  EXPECT_THROW(static_cast<void>(start(coroutine(Alive(alive)))), TestError);
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(loop().stats().tasks, 0U);
}

TEST_P(Factories, ItMayReplaceItself) {
  Log log;
  set_task_factory(loop(), [&](TaskCore& task, TaskOptions&) {
    set_task_factory(task.loop(), nullptr);
    log.push_back("once");
  });
  finish(start(turns(1)));
  finish(start(turns(1)));
  EXPECT_EQ(log, (Log{"once"}));
}

/// Gives an address that refuses, then one that answers.
class TwoAddresses final : public Resolver {
 public:
  explicit TwoAddresses(std::vector<Address> addresses) : addresses_(std::move(addresses)) {}
  Future<std::vector<Address>> resolve(EventLoop& loop, const ResolveQuery&) override {
    Future<std::vector<Address>> found(loop);
    found.set_result(addresses_);
    return found;
  }

 private:
  std::vector<Address> addresses_;
};

TEST_P(Factories, C0162_TheRaceOfAddressesWorksWhereAllTasksAreEager) {
  const auto body = [](EventLoop* loop, Address bound) -> Coro<Address> {
    const auto factory = [] { return std::make_shared<Protocol>(); };
    ListenOptions listen;
    listen.hosts.push_back("127.0.0.1");
    const std::shared_ptr<Server> server = co_await create_server(*loop, factory, listen);
    const Address answers = server->sockets().at(0);
    std::vector<Address> both;
    both.push_back(bound);
    both.push_back(answers);
    loop->set_resolver(std::make_shared<TwoAddresses>(both));
    ConnectOptions options;
    options.host = "two.example";
    options.port = answers.port();
    options.happy_eyeballs_delay = 1h;
    const Connection<> connection = co_await create_connection(*loop, factory, options);
    EXPECT_EQ(connection.transport->peername(), answers);
    connection.transport->close();
    server->close_clients();
    server->close();
    co_await server->wait_closed();
    loop->set_resolver(nullptr);
    co_return answers;
  };
  set_task_factory(loop(), eager_task_factory);
  // Bound but not listening: it refuses.
  Kernel& kernel = loop().kernel();
  const Socket refuses(kernel, kernel.socket(AF_INET, SOCK_STREAM, 0).fd());
  ASSERT_TRUE(kernel.bind(refuses.get(), Address::loopback(0)).ok());
  Address bound;
  ASSERT_TRUE(kernel.local_address(refuses.get(), bound).ok());
  EXPECT_NE(run(body(&loop(), bound)), bound);
}

}  // namespace
}  // namespace ferry::test
