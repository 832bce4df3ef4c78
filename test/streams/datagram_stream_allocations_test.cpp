// No allocation for a datagram in the steady state: counted by an operator new of this program's.

#include "counting_new.h"
#include "datagram_stream_fixture.h"

namespace ferry::test {
namespace {

class DatagramAllocations : public DatagramStreamTest {};
// The simulated kernel allocates for what is on its way.
INSTANTIATE_TEST_SUITE_P(Asio, DatagramAllocations, ::testing::Values(World::asio), world_name);

TEST_P(DatagramAllocations, NoneForADatagramThatIsReceivedAndAnswered) {
  const auto echo = [](DatagramStream stream) -> Coro<> {
    while (const auto datagram = co_await stream.next_view()) {
      stream.sendto(datagram->data, datagram->info.peer);
    }
  };
  const auto ask = [](DatagramStream client, Address to, int rounds) -> Coro<> {
    constexpr int window = 8;
    for (int i = 0; i < window; ++i) client.sendto("question", to);
    for (int i = 0; i < rounds; ++i) {
      const DatagramView answer = co_await client.recvfrom_view();
      client.sendto(answer.data, to);
    }
    for (int i = 0; i < window; ++i) co_await client.recv_view();
  };
  const DatagramStream server = open();
  const DatagramStream client = open();
  const auto serving = start(echo(server));
  run(ask(client, server.sockname(), 2'000));
  const std::size_t before = allocations();
  run(ask(client, server.sockname(), 2'000));
  EXPECT_LT(allocations() - before, 50u) << "for 4,000 datagrams received and sent";
  server.close();
  finish(serving);
}

TEST_P(DatagramAllocations, NoneForABacklogThatComesAgainAndAgain) {
  const auto bursts = [](DatagramStream stream, int count) -> Coro<> {
    const std::string part(1'000, 'x');
    for (int burst = 0; burst < count; ++burst) {
      for (int i = 0; i < 20; ++i) stream.sendto(part, stream.sockname());
      while (stream.queued() < 20) co_await sleep(0s);
      for (int i = 0; i < 20; ++i) co_await stream.recv_view();
    }
  };
  const DatagramStream stream = open();
  run(bursts(stream, 5));
  const std::size_t before = allocations();
  run(bursts(stream, 50));
  EXPECT_LT(allocations() - before, 50u) << "for 1,000 datagrams";
}

}  // namespace
}  // namespace ferry::test
