// The sockets a service manager starts a process with.

#include "net_fixture.h"

#include <ferry/listeners.h>

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace ferry::test {
namespace {

/// Each case runs in a child of its own, where descriptors 3, 4, ... are what the case says.
class Inherited : public ::testing::Test {
 protected:
  struct Environment {
    std::string pid = "own";
    const char* count = nullptr;
    const char* names = nullptr;
  };

  /// The child's side: exits with 0 if `check` finds nothing wrong.
  template <class Check>
  [[noreturn]] static void in_child(Environment environment, int descriptors, Check check) {
    const auto kernel = make_asio_kernel();
    for (int fd = 3; fd < 3 + descriptors; ++fd) {
      const int made = kernel->socket(AF_INET, SOCK_STREAM, 0).fd();
      kernel->bind(made, Address::loopback(0));
      kernel->listen(made, 1);
      ::dup2(made, fd);  // without close-on-exec
    }
    for (int fd = 3 + descriptors; fd < 100; ++fd) ::close(fd);
    if (environment.pid == "own") environment.pid = std::to_string(::getpid());
    if (!environment.pid.empty()) ::setenv("LISTEN_PID", environment.pid.c_str(), 1);
    if (environment.count) ::setenv("LISTEN_FDS", environment.count, 1);
    if (environment.names) ::setenv("LISTEN_FDNAMES", environment.names, 1);
    std::string wrong;
    try {
      wrong = check();
    } catch (const std::exception& error) {
      wrong = error.what();
    }
    if (!wrong.empty()) std::fprintf(stderr, "%s\n", wrong.c_str());
    ::_exit(wrong.empty() ? 0 : 1);
  }
  static bool no_variable_is_left() {
    return !std::getenv("LISTEN_PID") && !std::getenv("LISTEN_FDS") &&
           !std::getenv("LISTEN_FDNAMES");
  }
  /// What it takes for the child to exit with 0.
  static std::string expect_refused(const char* what) {
    try {
      static_cast<void>(inherited_listeners());
      return "nothing was thrown";
    } catch (const std::system_error& error) {
      if (std::string(error.what()).find(what) == std::string::npos) return error.what();
    }
    if (!no_variable_is_left()) return "the environment is unchanged";
    for (int fd = 3; fd < 5; ++fd) {
      if (::fcntl(fd, F_GETFD) < 0) return "a descriptor was closed";
    }
    return {};
  }
};

#define EXPECT_CHILD(environment, descriptors, check) \
  EXPECT_EXIT(in_child(environment, descriptors, check), ::testing::ExitedWithCode(0), "")

TEST_F(Inherited, DescriptorsComeWithTheirNamesCloseOnExec) {
  EXPECT_CHILD((Environment{"own", "3", "web:admin:web"}), 3, []() -> std::string {
    auto listeners = inherited_listeners();
    if (listeners.size() != 3) return "not three";
    if (!no_variable_is_left()) return "the environment is unchanged";
    for (int i = 0; i < 3; ++i) {
      const NamedListener& listener = listeners[static_cast<std::size_t>(i)];
      if (listener.name != (i == 1 ? "admin" : "web")) return "called " + listener.name;
      if (listener.fd.get() != 3 + i) return "another descriptor";
      if (::fcntl(3 + i, F_GETFD) != FD_CLOEXEC) return "not close-on-exec";
    }
    if (!take_listeners(listeners, "mail").empty()) return "mail?";
    if (take_listeners(listeners, "web") != std::vector<int>{3, 5}) return "not 3 and 5";
    if (listeners.size() != 1) return "they were not taken out";
    listeners.clear();
    if (::fcntl(4, F_GETFD) >= 0) return "what nobody took was not closed";
    return ::fcntl(3, F_GETFD) >= 0 ? "" : "what was taken was closed";
  });
}

TEST_F(Inherited, WithoutNamesTheyAreUnknown) {
  EXPECT_CHILD((Environment{"own", "1", nullptr}), 1, []() -> std::string {
    const auto listeners = inherited_listeners();
    return listeners.size() == 1 && listeners[0].name == "unknown" ? "" : "not unknown";
  });
}

TEST_F(Inherited, EmptyNamesAreNames) {
  EXPECT_CHILD((Environment{"own", "2", ":b"}), 2, []() -> std::string {
    const auto listeners = inherited_listeners();
    return listeners[0].name.empty() && listeners[1].name == "b" ? "" : "other names";
  });
}

TEST_F(Inherited, NothingIsThereWithoutTheVariables) {
  EXPECT_CHILD((Environment{"", nullptr, nullptr}), 2,
               [] { return std::string(inherited_listeners().empty() ? "" : "what?"); });
  EXPECT_CHILD((Environment{"own", nullptr, nullptr}), 2,
               [] { return std::string(inherited_listeners().empty() ? "" : "what?"); });
}

TEST_F(Inherited, AnotherProcessSocketsAreLeftAlone) {
  EXPECT_CHILD((Environment{"1", "2", "a:b"}), 2, []() -> std::string {
    if (!inherited_listeners().empty()) return "they are not ours";
    if (::fcntl(3, F_GETFD) != 0) return "it was touched";
    return no_variable_is_left() ? "" : "the environment is unchanged";
  });
}

TEST_F(Inherited, NonsenseIsRefusedWithTheVariablesName) {
  for (const char* pid : {"x", "-1", "12x", "99999999999999999999", " 1"}) {
    EXPECT_CHILD((Environment{pid, "2", nullptr}), 2,
                 [] { return expect_refused("LISTEN_PID is \""); });
  }
  for (const char* count : {"", "0", "-2", "two", "2.0", "2147483645"}) {
    EXPECT_CHILD((Environment{"own", count, nullptr}), 2,
                 [] { return expect_refused("LISTEN_FDS is \""); });
  }
  for (const char* names : {"", "a", "a:b:c"}) {
    EXPECT_CHILD((Environment{"own", "2", names}), 2,
                 [] { return expect_refused("LISTEN_FDNAMES is \""); });
  }
}

TEST_F(Inherited, ADescriptorThatIsNotOpenIsNamed) {
  EXPECT_CHILD((Environment{"own", "4", nullptr}), 3,
               [] { return expect_refused("descriptor 6 of 4: Bad file descriptor"); });
}

TEST_F(Inherited, TheEnvironmentMayBeKept) {
  EXPECT_CHILD((Environment{"own", "1", "a"}), 1, []() -> std::string {
    const auto listeners = inherited_listeners(/*keep_environment=*/true);
    return std::getenv("LISTEN_FDS") && listeners.size() == 1 ? "" : "it is gone";
  });
}

class AdoptedListeners : public NetTest {
 protected:
  /// A listening socket that belongs to nobody.
  int listening() {
    const RawListener listener(kernel().inner());
    return kernel().inner().duplicate(listener.fd()).fd();
  }
};
INSTANTIATE_TEST_SUITE_P(World, AdoptedListeners, ::testing::Values(World::asio), world_name);

TEST_P(AdoptedListeners, C0377_OneServerListensOnSeveral) {
  ListenOptions options;
  options.sockets = {listening(), listening()};
  const auto server = serve(echo_factory(), options);
  EXPECT_EQ(server->native_handles(), options.sockets);
  ASSERT_EQ(server->sockets().size(), 2u);
  std::vector<RawPeer> peers;
  for (const Address& address : server->sockets()) peers.push_back(raw_dial(address));
  run_until([&] { return server->connections() == 2; });
}

TEST_P(AdoptedListeners, WhatWaitsInTheBacklogIsAccepted) {
  const int fd = listening();
  Address address;
  kernel().inner().local_address(fd, address);
  const RawPeer early = raw_dial(address);
  ListenOptions options;
  options.socket = fd;
  const auto server = serve(echo_factory(), options);
  run_until([&] { return server->connections() == 1; });
}

TEST_P(AdoptedListeners, C0377_OneThatIsNoStreamSocketLeavesAllAlone) {
  const Fd good(listening());
  const Fd bad(kernel().inner().socket(AF_INET, SOCK_DGRAM, 0).fd());
  ListenOptions options;
  options.sockets = {good.get(), bad.get()};
  EXPECT_THROW(static_cast<void>(create_server(loop(), echo_factory(), options)),
               std::invalid_argument);
  Address address;
  EXPECT_TRUE(kernel().inner().local_address(good.get(), address).ok());
  options.port = 1;
  options.sockets = {good.get()};
  EXPECT_THROW(static_cast<void>(create_server(loop(), echo_factory(), options)),
               std::invalid_argument);
}

TEST_P(AdoptedListeners, OneThatIsClosedFailsAndClosesTheOthers) {
  const std::size_t before = open_sockets();
  ListenOptions options;
  options.sockets = {listening(), 1 << 20};
  EXPECT_EQ(failure(create_server(loop(), echo_factory(), options)).code(),
            std::errc::bad_file_descriptor);
  EXPECT_EQ(open_sockets(), before);
}

}  // namespace
}  // namespace ferry::test
