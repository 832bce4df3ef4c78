#include "net_fixture.h"

namespace ferry::test {
namespace {

class ConnectFromLocalAddress : public NetTest {
 protected:
  RecordingFactory<> made_;
};

TEST_P(ConnectFromLocalAddress, C0348_SocketIsBoundToIt) {
  RecordingFactory<> served;
  const auto server = serve(served.factory());
  ConnectOptions options = to(server->sockets().at(0));
  options.local_host = "127.0.0.1";
  options.local_port = free_port();
  const Connection<> connection = wait(create_connection(loop(), made_.factory(), options));
  const Address local = Address::loopback(options.local_port);
  EXPECT_EQ(connection.transport->sockname(), local);
  run_until([&] { return served.size() == 1 && served.at(0).made(); });
  EXPECT_EQ(served.at(0).transport()->peername(), local);
  // So that the port is in TIME_WAIT on neither side.
  connection.transport->abort();
  served.at(0).abort();
}

TEST_P(ConnectFromLocalAddress, HostAloneLeavesThePortToTheKernel) {
  const auto server = serve(echo_factory());
  ConnectOptions options = to(server->sockets().at(0));
  options.local_host = "127.0.0.2";
  const Connection<> connection = wait(create_connection(loop(), made_.factory(), options));
  EXPECT_EQ(connection.transport->sockname().host(), "127.0.0.2");
  EXPECT_NE(connection.transport->sockname().port(), 0);
  connection.transport->abort();
}

TEST_P(ConnectFromLocalAddress, C0349_AddressInUseIsNamed) {
  const auto server = serve(echo_factory());
  const RawListener other(kernel().inner());
  ConnectOptions options = to(server->sockets().at(0));
  options.local_host = "127.0.0.1";
  options.local_port = other.address().port();
  const std::size_t sockets = open_sockets();
  const IoError error = failure(create_connection(loop(), made_.factory(), options));
  EXPECT_EQ(error.code(), std::errc::address_in_use);
  EXPECT_EQ(error.address(), other.address());
  EXPECT_NE(std::string(error.what()).find(other.address().to_string()), std::string::npos);
  EXPECT_EQ(open_sockets(), sockets);
}

TEST_P(ConnectFromLocalAddress, C0350_AddressOfAnotherFamilyIsSkipped) {
  const auto server = serve(echo_factory());
  const auto resolver = std::make_shared<ScriptedResolver>();
  resolver->names["local.test"] = {*Address::ip("::1", 0), *Address::ip("127.0.0.3", 0)};
  loop().set_resolver(resolver);
  ConnectOptions options = to(server->sockets().at(0));
  options.local_host = "local.test";
  const Connection<> connection = wait(create_connection(loop(), made_.factory(), options));
  EXPECT_EQ(connection.transport->sockname().host(), "127.0.0.3");
  connection.transport->abort();
}

TEST_P(ConnectFromLocalAddress, C0350_NoAddressOfThatFamilyIsAnError) {
  const auto server = serve(echo_factory());
  ConnectOptions options = to(server->sockets().at(0));
  options.local_host = "::1";
  const IoError error = failure(create_connection(loop(), made_.factory(), options));
  EXPECT_EQ(error.code(), std::errc::address_family_not_supported);
  EXPECT_NE(std::string(error.what()).find("no local address"), std::string::npos);
  EXPECT_EQ(made_.size(), 0u);
}

TEST_P(ConnectFromLocalAddress, AllLocalAddressesAreTriedInOrder) {
  const auto server = serve(echo_factory());
  const RawListener taken(kernel().inner());
  const auto resolver = std::make_shared<ScriptedResolver>();
  resolver->names["local.test"] = {taken.address(), *Address::ip("127.0.0.4", 0)};
  loop().set_resolver(resolver);
  ConnectOptions options = to(server->sockets().at(0));
  options.local_host = "local.test";
  const Connection<> connection = wait(create_connection(loop(), made_.factory(), options));
  EXPECT_EQ(connection.transport->sockname().host(), "127.0.0.4");
  connection.transport->abort();
}

INSTANTIATE_WORLDS(ConnectFromLocalAddress);

}  // namespace
}  // namespace ferry::test
