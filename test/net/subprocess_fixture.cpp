#include "subprocess_fixture.h"

#include <sys/wait.h>

#include <cerrno>
#include <utility>

namespace ferry::test {

using namespace std::chrono_literals;

void RecordingProcess::expect_open() const {
  EXPECT_TRUE(made) << "a callback before connection_made";
  EXPECT_FALSE(lost) << "a callback after connection_lost";
}

void RecordingProcess::connection_made(std::shared_ptr<SubprocessTransport> t) {
  EXPECT_FALSE(std::exchange(made, true));
  transport = std::move(t);
}

void RecordingProcess::pipe_data_received(int fd, BytesView data) {
  expect_open();
  ASSERT_TRUE(fd == 1 || fd == 2);
  EXPECT_FALSE(pipe_lost[fd]) << "data after pipe_connection_lost";
  EXPECT_FALSE(data.empty());
  output[fd] += data.text();
}

void RecordingProcess::pipe_connection_lost(int fd, std::error_code error) {
  expect_open();
  ASSERT_TRUE(fd >= 0 && fd <= 2);
  EXPECT_FALSE(std::exchange(pipe_lost[fd], true));
  pipe_error[fd] = error;
}

void RecordingProcess::process_exited() {
  expect_open();
  EXPECT_FALSE(std::exchange(exited, true));
  EXPECT_TRUE(transport->get_returncode().has_value());
}

void RecordingProcess::connection_lost(std::error_code error) {
  expect_open();
  if (!error) {
    EXPECT_TRUE(exited);
    for (int fd = 0; fd < 3; ++fd) {
      EXPECT_EQ(pipe_lost[fd], transport->get_pipe_transport(fd) != nullptr);
    }
  }
  lost = true;
  loss = error;
}

void SubprocessTest::TearDown() {
  StreamFixture::TearDown();
  errno = 0;
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
  EXPECT_EQ(errno, ECHILD);
}

Child SubprocessTest::exec(std::vector<std::string> arguments, SubprocessOptions options) {
  auto future = subprocess_exec(loop(), make, std::move(arguments), std::move(options));
  run_until([&] { return future.done(); });
  Child child = future.result();
  EXPECT_TRUE(child.protocol->made);
  return child;
}

Child SubprocessTest::shell(const std::string& command, SubprocessOptions options) {
  auto future = subprocess_shell(loop(), make, command, std::move(options));
  run_until([&] { return future.done(); });
  return future.result();
}

int SubprocessTest::wait(const Child& child) {
  run_until([&] { return child.protocol->lost; }, 60s);
  return child.transport->get_returncode().value_or(-1000);
}

std::string SubprocessTest::output_of(const std::string& command, SubprocessOptions options) {
  Child child = shell(command, std::move(options));
  wait(child);
  return child.protocol->output[1];
}

}  // namespace ferry::test
