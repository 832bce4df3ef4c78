#pragma once

#include "stream_fixture.h"

#include <ferry/net.h>
#include <ferry/testing/sim_kernel.h>

#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

namespace ferry::test {

using ferry::testing::RecordingFactory;
using namespace std::chrono_literals;

/// Answers as it is told, and writes down what it was asked.
class ScriptedResolver final : public Resolver {
 public:
  /// The answer for a host; an unknown one is EAI_NONAME.
  std::map<std::string, std::vector<Address>> names;
  /// Hosts whose look-up never ends.
  std::vector<std::string> silent;
  std::vector<ResolveQuery> asked;

  Future<std::vector<Address>> resolve(EventLoop& loop, const ResolveQuery& query) override;
};

/// An address of this machine that neither accepts nor refuses: a connect to it stays under way.
/// In the simulation one that does not exist; else a listener whose backlog is full.
class BlackHole {
 public:
  explicit BlackHole(Kernel& kernel);
  const Address& address() const noexcept { return address_; }

 private:
  std::unique_ptr<RawListener> listener_;
  std::vector<RawPeer> fillers_;
  Address address_;
};

/// Makes protocols that send back what they get, and close at its end.
ProtocolFactory echo_factory();
/// "127.0.0.1", any port.
ListenOptions on_loopback();
ConnectOptions to(const Address& address);

/// A loop on a ScriptedKernel in one of the worlds, for servers and connects.
class NetTest : public StreamFixture, public ::testing::WithParamInterface<World> {
 protected:
  World world() const override { return GetParam(); }

  /// Runs until `future` is done; gives its result or throws what it has.
  template <class T>
  T wait(Future<T> future, Duration limit = 10s) {
    run_until([&] { return future.done(); }, limit);
    return future.result();
  }
  /// Runs until `future` is done and gives what it failed with.
  template <class E = IoError, class T>
  E failure(Future<T> future, Duration limit = 10s) {
    run_until([&] { return future.done(); }, limit);
    try {
      future.result();
    } catch (const E& error) {
      return error;
    }
    throw std::logic_error("the future has a value");
  }

  std::shared_ptr<Server> serve(ProtocolFactory factory, ListenOptions options = on_loopback()) {
    return wait(create_server(loop(), std::move(factory), std::move(options)));
  }
  Connection<> dial(ProtocolFactory factory, const Address& address) {
    return wait(create_connection(loop(), std::move(factory), to(address)));
  }
  /// A connected socket that is no transport.
  RawPeer raw_dial(const Address& address);
  /// Runs until `condition` of `peer` holds, which is read before each look.
  void run_until_eof(RawPeer& peer);
  /// Open sockets of this world's kernel, those of the test included.
  std::size_t open_sockets();
  /// Null in the real world.
  ferry::testing::SimKernel* sim();
  std::uint16_t free_port() { return test::free_port(kernel().inner()); }
};

bool has_ipv6(Kernel& kernel);

#define INSTANTIATE_WORLDS(Suite) \
  INSTANTIATE_TEST_SUITE_P(Worlds, Suite, ::testing::ValuesIn(kWorlds), world_name)

}  // namespace ferry::test
