#include "socket_pair.h"
#include "world.h"

#include <ferry/server.h>

#include <gtest/gtest.h>

#include <system_error>

namespace ferry::test {

namespace {

class Hearing final : public FdWatch::Listener {
 public:
  int heard = 0;

 private:
  void on_readable(FdWatch::ReadEvent) override { ++heard; }
  void on_writable() override {}
};

class RefusedWatch : public LoopTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, RefusedWatch, ::testing::ValuesIn(kWorlds), world_name);

}  // namespace

// A second watch of the same descriptor was refused, and the first heard of nothing any more.
TEST_P(RefusedWatch, TheOneThatIsThereGoesOn) {
  Kernel& kernel = loop().kernel();
  const auto [ours, theirs] = stream_pair(kernel);
  Hearing first;
  Hearing second;
  std::error_code error;
  FdWatchPtr watch = kernel.watch(ours.get(), first, error);
  ASSERT_TRUE(watch) << error.message();
  watch->arm(Direction::read, FdWatch::Arm::if_ready);
  EXPECT_FALSE(kernel.watch(ours.get(), second, error));
  EXPECT_EQ(error, std::errc::file_exists);
  ASSERT_TRUE(kernel.send(theirs.get(), BytesView("x")).ok());
  run_until([&] { return first.heard > 0; });
  EXPECT_EQ(second.heard, 0);
}

// It was refused by the system alone, and the server accepted nothing any more.
TEST_P(RefusedWatch, AServersSocketIsNotForOthers) {
  const auto creation =
      create_server(loop(), [] { return std::make_shared<Protocol>(); }, {.hosts = {"127.0.0.1"}});
  run_until([&] { return creation.done(); });
  const auto server = creation.result();
  const int handle = server->native_handles().at(0);
  EXPECT_THROW(loop().add_reader(handle, [] {}), std::logic_error);
  RawPeer peer = RawPeer::connect(loop().kernel(), server->sockets().at(0));
  run_until([&] { return server->connections() == 1; });
  peer.close();
  run_until([&] { return server->connections() == 0; });
  server->close();
  // The number may be somebody else's now.
  const auto [next, other] = stream_pair(loop().kernel());
  for (const int fd : {next.get(), other.get()}) {
    EXPECT_NO_THROW(loop().add_reader(fd, [] {}));
    EXPECT_TRUE(loop().remove_reader(fd));
  }
}

}  // namespace ferry::test
