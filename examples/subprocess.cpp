// Runs a program with a time limit and says what it printed and how it ended.
// subprocess SECONDS PROGRAM [ARGUMENT...]
#include <ferry/net.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

class Run : public ferry::SubprocessProtocol {
 public:
  explicit Run(ferry::EventLoop& loop) : ended_(loop) {}

  void connection_made(std::shared_ptr<ferry::SubprocessTransport> transport) override {
    transport_ = std::move(transport);
  }
  void pipe_data_received(int fd, ferry::BytesView data) override {
    (fd == 1 ? output_ : errors_) += data.text();
  }
  void connection_lost(std::error_code) override { ended_.try_set_result(); }

  ferry::Future<void> ended() const { return ended_; }
  const std::string& output() const { return output_; }
  const std::string& errors() const { return errors_; }

 private:
  std::shared_ptr<ferry::SubprocessTransport> transport_;
  std::string output_;
  std::string errors_;
  ferry::Future<void> ended_;
};

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::fprintf(stderr, "usage: subprocess SECONDS PROGRAM [ARGUMENT...]\n");
    return 2;
  }
  ferry::EventLoop loop;
  ferry::SubprocessOptions options;
  options.in = ferry::Stdio::devnull();
  auto child = loop.run_until_complete(ferry::subprocess_exec(
      loop, [&] { return std::make_shared<Run>(loop); },
      std::vector<std::string>(argv + 2, argv + argc), std::move(options)));

  ferry::Timer limit(loop, [&] { child.transport->close(); });
  limit.set(std::chrono::seconds(std::atoi(argv[1])));
  loop.run_until_complete(child.protocol->ended());

  const int code = child.transport->get_returncode().value_or(0);
  std::printf("output: %zu bytes, errors: %zu bytes, ", child.protocol->output().size(),
              child.protocol->errors().size());
  if (code >= 0) {
    std::printf("exit code %d\n", code);
  } else {
    std::printf("ended by signal %d\n", -code);
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "subprocess: %s\n", error.what());
  return 1;
}
