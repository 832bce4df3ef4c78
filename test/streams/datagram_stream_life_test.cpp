// Datagram streams: opening, errors, waiting for room, the end.

#include "datagram_stream_fixture.h"

#include <ferry/gather.h>

#include <sys/socket.h>

#include <stdexcept>

namespace ferry::test {
namespace {

class DatagramStreamLife : public DatagramStreamTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, DatagramStreamLife, ::testing::ValuesIn(kWorlds), world_name);

using Strings = std::vector<std::string>;

// -- opening

TEST_P(DatagramStreamLife, WhatCannotBeOpenedThrowsAtTheAwait) {
  EXPECT_THROW(open(DatagramOptions()), std::invalid_argument);
  const DatagramStream taken = open();
  try {
    open(local(taken.sockname().port()));
    ADD_FAILURE() << "no error";
  } catch (const IoError& error) {
    EXPECT_EQ(error.code(), std::errc::address_in_use);
  }
}

TEST_P(DatagramStreamLife, CancelledAtEachPointItLeavesNoSocket) {
  const auto body = [](DatagramOptions options) -> Coro<> {
    const DatagramStream stream = co_await open_datagram_stream(options);
    stream.sendto("x", stream.sockname());
    co_await stream.recv();
    stream.close();
    co_await stream.wait_closed();
  };
  const int points =
      cancel_at_each_turn([&] { return start(body(local())); },
                          [&](const Task<>& task) {
                            if (!task.cancelled()) {
                              EXPECT_EQ(failure_text(task), "");
                            }
                            run_until([&] { return loop().stats().transports == 0; });
                            EXPECT_EQ(loop().stats().operations, 0u);
                          });
  EXPECT_GE(points, 3);
}

// -- errors

TEST_P(DatagramStreamLife, C0464_ARefusalIsThrownByTheReceiveThatWaits) {
  const Address address = nobody();
  const DatagramStream client = open(remote(address));
  const auto task = start(recv(client));
  tick(2);
  client.send("anybody?");
  finish(task);
  EXPECT_EQ(error_of(task), std::errc::connection_refused);
  // The stream can be used as before.
  const DatagramStream server = open(local(address.port()));
  client.send("now?");
  const Datagram question = run(recvfrom(server));
  EXPECT_EQ(question.data, "now?");
  server.sendto("yes", question.info.peer);
  EXPECT_EQ(run(recv(client)), "yes");
}

TEST_P(DatagramStreamLife, AnErrorThatNobodyWaitedForIsToldOnceByTheNextReceive) {
  const DatagramStream a = open();
  a.sendto(std::string(65'508, 'x'), a.sockname());
  a.sendto("small", a.sockname());
  run_until_queued(a, 1);
  const auto task = start(recv(a));
  finish(task);
  EXPECT_EQ(error_of(task), std::errc::message_size);
  EXPECT_EQ(run(recv(a)), "small");
}

TEST_P(DatagramStreamLife, WhoOnlySendsHearsOfErrorsInDrain) {
  const DatagramStream a = open();
  a.sendto(std::string(65'508, 'x'), a.sockname());
  const auto first = start(drain(a));
  finish(first);
  EXPECT_EQ(error_of(first), std::errc::message_size);
  run(drain(a));
}

TEST_P(DatagramStreamLife, AnErrorGoesToWhoReceivesAndNotToWhoDrains) {
  const DatagramStream a = open();
  const auto receiving = start(recv(a));
  tick(2);
  const auto send = [](DatagramStream stream) -> Coro<> {
    stream.sendto(std::string(65'508, 'x'), stream.sockname());
    co_await stream.drain();
  };
  run(send(a));
  finish(receiving);
  EXPECT_EQ(error_of(receiving), std::errc::message_size);
}

// -- waiting for room

TEST_P(DatagramStreamLife, DrainWaitsForRoomAndAllWhoWaitGoOn) {
  const DatagramStream a = open();
  const DatagramStream b = open();
  a.transport()->set_write_buffer_limits(100, 20);
  const auto before = start(drain(a));
  tick(1);
  EXPECT_TRUE(before.done());
  kernel().block_sends();
  Strings sent;
  for (int i = 0; i < 12; ++i) {
    sent.push_back("number " + std::to_string(i));
    a.sendto(sent.back(), b.sockname());
  }
  std::vector<Task<>> waiting;
  for (int i = 0; i < 10; ++i) waiting.push_back(start(drain(a)));
  tick(3);
  for (const Task<>& task : waiting) EXPECT_FALSE(task.done());
  waiting[3].cancel("stop");
  tick(2);
  EXPECT_EQ(cancel_message(waiting[3]), "stop");
  kernel().release_sends();
  for (std::size_t i = 0; i < waiting.size(); ++i) {
    finish(waiting[i]);
    EXPECT_EQ(waiting[i].cancelled(), i == 3);
  }
  EXPECT_EQ(run(recv_each(b, 12)), sent);
}

TEST_P(DatagramStreamLife, AnAbortEndsADrain) {
  const DatagramStream a = open();
  a.transport()->set_write_buffer_limits(10, 5);
  kernel().block_sends();
  for (int i = 0; i < 3; ++i) a.sendto("0123456789", a.sockname());
  const auto waiting = start(drain(a));
  tick(2);
  EXPECT_FALSE(waiting.done());
  a.transport()->abort();
  finish(waiting);
  EXPECT_EQ(error_of(waiting), std::errc::bad_file_descriptor);
  kernel().release_sends();
}

// -- the end

TEST_P(DatagramStreamLife, CloseEndsAReceiveThatWaitsAndWhatCameCanStillBeTaken) {
  const DatagramStream a = open();
  for (const char* text : {"1", "2"}) a.sendto(text, a.sockname());
  run_until_queued(a, 2);
  a.close();
  EXPECT_TRUE(a.is_closing());
  EXPECT_EQ(run(recv_each(a, 2)), (Strings{"1", "2"}));
  const auto late = start(recv(a));
  finish(late);
  EXPECT_EQ(error_of(late), std::errc::bad_file_descriptor);

  const DatagramStream b = open();
  const auto waiting = start(recv(b));
  tick(2);
  const auto close = [](DatagramStream stream) -> Coro<> {
    stream.close();
    co_return;
  };
  run(close(b));
  finish(waiting);
  EXPECT_EQ(error_of(waiting), std::errc::bad_file_descriptor);
}

TEST_P(DatagramStreamLife, NextEndsALoopWithoutAnException) {
  const auto collect = [](DatagramStream stream) -> Coro<Strings> {
    Strings got;
    while (const auto datagram = co_await stream.next()) {
      got.push_back(datagram->data);
      if (got.back() == "stop") stream.close();
    }
    co_return got;
  };
  const DatagramStream a = open();
  for (const char* text : {"1", "stop"}) a.sendto(text, a.sockname());
  EXPECT_EQ(run(collect(a)), (Strings{"1", "stop"}));
}

TEST_P(DatagramStreamLife, C0470_CloseSendsWhatIsQueued) {
  const DatagramStream a = open();
  const DatagramStream b = open();
  kernel().block_sends();
  for (const char* text : {"1", "2", "3"}) a.sendto(text, b.sockname());
  a.close();
  const auto over = start(closed(a));
  const auto too = start(closed(a));
  tick(3);
  EXPECT_FALSE(over.done());
  kernel().release_sends();
  finish(over);
  finish(too);
  run(closed(a));
  EXPECT_EQ(run(recv_each(b, 3)), (Strings{"1", "2", "3"}));
  a.sendto("dropped", b.sockname());
  run_for(2ms);
  EXPECT_EQ(b.queued(), 0u);
}

TEST_P(DatagramStreamLife, TheLastHandleClosesTheSocket) {
  std::optional<DatagramStream> a = open();
  std::optional<DatagramStream> copy = a;
  const auto transport = a->transport();
  a.reset();
  tick(2);
  EXPECT_FALSE(transport->is_closing());
  copy.reset();
  EXPECT_TRUE(transport->is_closing());
  run_until([&] { return loop().stats().transports == 0; });
}

TEST_P(DatagramStreamLife, TheTaskThatIsResumedMayDropTheStream) {
  const auto once = [](DatagramOptions options, Address* address, bool* fail) -> Coro<> {
    const DatagramStream stream = co_await open_datagram_stream(options);
    *address = stream.sockname();
    co_await stream.recv();
    if (*fail) throw TestError("on purpose");
  };
  const DatagramStream sender = open();
  for (bool fail : {false, true}) {
    Address address;
    const auto task = start(once(local(), &address, &fail));
    run_until([&] { return !address.empty(); });
    tick(2);
    const std::vector<BytesView> burst(5, "x");
    sender.send_each(burst, address);
    finish(task);
    EXPECT_EQ(failure_text(task), fail ? "on purpose" : "");
    run_until([&] { return loop().stats().transports == 1; });
  }
}

TEST_P(DatagramStreamLife, ClosingTheLoopEndsAll) {
  const DatagramStream a = open();
  {
    const auto task = start(recv(a));
    tick(2);
    loop().close();
    EXPECT_FALSE(task.done());
  }
  EXPECT_TRUE(a.is_closing());
  EXPECT_EQ(take_exceptions().size(), 1u);  // the task was destroyed while it waited
}

TEST_P(DatagramStreamLife, UnixDatagrams) {
  DatagramOptions options;
  options.family = AF_UNIX;
  options.local_path =
      simulated() ? "/sim/datagrams" : "@ferry-datagram-stream-test-" + std::to_string(::getpid());
  const DatagramStream server = open(options);
  options.remote_path = std::exchange(options.local_path, {});
  const DatagramStream client = open(options);
  client.send("by path");
  EXPECT_EQ(run(recv(server)), "by path");
}

TEST_P(DatagramStreamLife, ACloseFromACallbackRunsNoTaskInsideTheCall) {
  const DatagramStream stream = open();
  const auto receive = [](DatagramStream from, bool* ended) -> Coro<> {
    try {
      co_await from.recv();
    } catch (const IoError&) {
    }
    *ended = true;
  };
  bool ended = false;
  bool ended_inside = true;
  const Task<> receiving = start(receive(stream, &ended));
  tick(2);
  loop().call_soon([&] {
    stream.close();
    ended_inside = ended;
  });
  finish(receiving);
  EXPECT_TRUE(ended);
  EXPECT_FALSE(ended_inside);
}

}  // namespace
}  // namespace ferry::test
