// The files of unix sockets: the system's, or the simulation's own.

#include "kernel_suite.h"

#include <ferry/datagram.h>
#include <ferry/server.h>
#include <ferry/testing/recording_protocol.h>

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

namespace ferry::test {
namespace {

/// A folder that is removed at the end.
class Folder {
 public:
  Folder() { std::filesystem::create_directory(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string file(const char* name) const { return path_ / name; }

 private:
  std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / ("ferry-socket-file-" + std::to_string(::getpid()));
};

class SocketFiles : public KernelTest {
 protected:
  Socket open(int type = SOCK_STREAM) {
    return Socket(kernel(), kernel().socket(AF_UNIX, type, 0).fd());
  }
  Socket bound(const Address& at) {
    Socket socket = open();
    EXPECT_TRUE(kernel().bind(socket.get(), at).ok());
    return socket;
  }
  IoResult connect(int type, const Address& to) {
    const Socket socket = open(type);
    return kernel().connect(socket.get(), to);
  }
  IoResult find(const Address& path) {
    FileId file;
    return kernel().find_socket_file(path, file);
  }

  Folder folder_;
};
INSTANTIATE_TEST_SUITE_P(Worlds, SocketFiles, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(SocketFiles, AFileStaysUntilItIsRemoved) {
  const Address path = Address::unix_path(folder_.file("socket"));
  EXPECT_EQ(error_of(find(path)), ENOENT);
  EXPECT_EQ(error_of(kernel().remove_file(path)), ENOENT);
  EXPECT_EQ(error_of(connect(SOCK_STREAM, path)), ENOENT);
  EXPECT_EQ(error_of(connect(SOCK_DGRAM, path)), ENOENT);
  bound(path).reset();
  EXPECT_TRUE(find(path).ok());
  EXPECT_EQ(error_of(connect(SOCK_STREAM, path)), ECONNREFUSED);
  EXPECT_EQ(error_of(connect(SOCK_DGRAM, path)), ECONNREFUSED);
  const Socket second = open();
  EXPECT_EQ(error_of(kernel().bind(second.get(), path)), EADDRINUSE);
  EXPECT_TRUE(kernel().remove_file(path).ok());
  EXPECT_EQ(error_of(find(path)), ENOENT);
  EXPECT_TRUE(kernel().bind(second.get(), path).ok());
  EXPECT_TRUE(kernel().remove_file(path).ok());
}

TEST_P(SocketFiles, APathWhoseFileIsRemovedIsFreeForAnother) {
  const Address path = Address::unix_path(folder_.file("socket"));
  Socket first = bound(path);
  FileId before;
  ASSERT_TRUE(kernel().find_socket_file(path, before).ok());
  ASSERT_TRUE(kernel().remove_file(path).ok());
  EXPECT_EQ(error_of(connect(SOCK_STREAM, path)), ENOENT);
  const Socket second = bound(path);
  FileId after;
  ASSERT_TRUE(kernel().find_socket_file(path, after).ok());
  EXPECT_FALSE(before == after);
  ASSERT_TRUE(kernel().listen(second.get(), 5).ok());
  first.reset();
  EXPECT_TRUE(connect(SOCK_STREAM, path).ok());
  EXPECT_TRUE(kernel().remove_file(path).ok());
}

TEST_P(SocketFiles, AbstractNamesAndOtherFilesAreNone) {
  const Address name = unused_unix_address();
  const Socket socket = bound(name);
  EXPECT_EQ(error_of(find(name)), ENOENT);
  EXPECT_EQ(error_of(kernel().remove_file(name)), ENOENT);
  if (simulated()) return;  // it has no other files
  const std::string other = folder_.file("other");
  std::ofstream(other) << "no socket";
  EXPECT_EQ(error_of(find(Address::unix_path(other))), ENOTSOCK);
}

/// A program in a simulation has no business with the system's files.
class SimulatedFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(real_.kernel->bind(real_.socket.get(), Address::unix_path(path_)).ok());
  }
  bool there() const { return std::filesystem::is_socket(path_); }

  struct Real {
    std::unique_ptr<Kernel> kernel = make_kernel(World::asio);
    Socket socket{*kernel, kernel->socket(AF_UNIX, SOCK_STREAM, 0).fd()};
  };
  Folder folder_;
  std::string path_ = folder_.file("socket");
  Real real_;
  EventLoop loop_{testing::make_sim_kernel()};
};

TEST_F(SimulatedFiles, AServerLeavesTheSystemsFileAlone) {
  for (int again = 0; again < 2; ++again) {
    const auto server = loop_.run_until_complete(create_unix_server(
        loop_, [] { return std::make_shared<testing::RecordingProtocol>(); }, {.path = path_}));
    EXPECT_TRUE(there());
    server->close();
    EXPECT_TRUE(there());
  }
}

TEST_F(SimulatedFiles, ADatagramSocketLeavesTheSystemsFileAlone) {
  for (int again = 0; again < 2; ++again) {
    const auto endpoint = loop_.run_until_complete(create_datagram_endpoint(
        loop_, [] { return std::make_shared<DatagramProtocol>(); }, {.local_path = path_}));
    EXPECT_TRUE(there());
    endpoint.transport->abort();
    loop_.call_soon([this] { loop_.stop(); });
    loop_.run_forever();
    EXPECT_TRUE(there());
  }
}

}  // namespace
}  // namespace ferry::test
