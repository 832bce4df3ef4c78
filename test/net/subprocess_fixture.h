#pragma once

#include "stream_fixture.h"

#include <ferry/subprocess.h>

#include <memory>
#include <string>
#include <vector>

namespace ferry::test {

/// A SubprocessProtocol that writes everything down and checks the order of its callbacks.
class RecordingProcess : public SubprocessProtocol {
 public:
  void connection_made(std::shared_ptr<SubprocessTransport> transport) override;
  void pipe_data_received(int fd, BytesView data) override;
  void pipe_connection_lost(int fd, std::error_code error) override;
  void process_exited() override;
  void connection_lost(std::error_code error) override;
  void pause_writing() override { writing_paused = true; }
  void resume_writing() override { writing_paused = false; }

  std::shared_ptr<SubprocessTransport> transport;
  std::string output[3];  // by descriptor
  bool pipe_lost[3] = {false, false, false};
  std::error_code pipe_error[3];
  bool made = false;
  bool exited = false;
  bool lost = false;
  bool writing_paused = false;
  std::error_code loss;

 private:
  void expect_open() const;
};

using Child = Subprocess<RecordingProcess>;

/// Real processes on the real kernel: at the end no child is left, as no zombie either.
class SubprocessTest : public StreamFixture {
 protected:
  World world() const override { return World::asio; }
  void TearDown() override;

  Child exec(std::vector<std::string> arguments, SubprocessOptions options = {});
  Child shell(const std::string& command, SubprocessOptions options = {});
  /// Runs until connection_lost; the return code.
  int wait(const Child& child);
  /// `wait`, then what the command said on its standard output.
  std::string output_of(const std::string& command, SubprocessOptions options = {});
  static std::shared_ptr<RecordingProcess> make() { return std::make_shared<RecordingProcess>(); }
};

}  // namespace ferry::test
