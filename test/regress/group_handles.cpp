#include "group_fixture.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <atomic>
#include <vector>

namespace ferry::test {

class GroupHandles : public GroupTest {};

// A listener that its loop cannot watch is closed; the number was handed over all the same.
TEST_F(GroupHandles, WhatAServerNoLongerListensOnIsNotAmongItsHandles) {
  std::atomic<int> reports = 0;
  start_group(
      2, {.setup = [&reports](EventLoop& loop, std::size_t) {
        loop.set_exception_handler([&reports](EventLoop&, const ExceptionContext&) { ++reports; });
      }});
  ListenOptions given;
  for (int i = 0; i < 2; ++i) {
    RawListener listener(loop().kernel());
    given.sockets.push_back(::dup(listener.fd()));
  }
  const std::vector<int> both = given.sockets;
  // Who has the second one's number there already.
  group().run_on(1, [&](EventLoop& loop) { loop.add_reader(both[1], [] {}); }).get();
  const auto server = serve(Spread::reuse_port, given);
  run_until([&] { return reports == 1; });
  group().run_on(1, [&](EventLoop& loop) { loop.remove_reader(both[1]); }).get();
  EXPECT_EQ(server->native_handles(), std::vector<int>{both[0]});
  const auto peer = dial(*server);
  server->close();
}

}  // namespace ferry::test
