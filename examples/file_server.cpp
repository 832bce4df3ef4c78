// Serves the files of one directory: file_server DIRECTORY [PORT]; 7778 unless a port is given, 0
// for any. SIGINT or SIGTERM ends it. A request is one line, the name of a file:
//
//     notes.txt  ->  "+ 1234\n" and 1234 bytes, which go from the file to the socket by sendfile(2)
//     no-such    ->  "- No such file or directory\n"
#include <ferry/fd.h>
#include <ferry/net.h>

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

constexpr std::size_t kLongestName = 255;

class FileServer : public ferry::Protocol, public std::enable_shared_from_this<FileServer> {
 public:
  explicit FileServer(int directory) : directory_(directory) {}

  void connection_made(std::shared_ptr<ferry::Transport> transport) override {
    transport_ = std::move(transport);
  }

  void data_received(ferry::BytesView data) override {
    received_ += data.text();
    answer_requests();
  }

  bool eof_received() override {
    ended_ = true;
    answer_requests();
    return true;
  }

  void connection_lost(std::error_code error) override {
    if (error) std::fprintf(stderr, "file_server: %s\n", error.message().c_str());
    transport_.reset();
  }

 private:
  // One after the other; no more is read while a file is being sent.
  void answer_requests() {
    while (!sending_ && transport_ && !transport_->is_closing()) {
      const std::size_t end = received_.find('\n');
      if (end == std::string::npos || end > kLongestName) {
        if (ended_ || received_.size() > kLongestName) transport_->close();
        return;
      }
      const std::string name = received_.substr(0, end);
      received_.erase(0, end + 1);
      answer(name);
    }
  }

  void answer(const std::string& name) {
    // Without a slash and without following links nothing but an entry of the directory is opened.
    if (name.find('/') != std::string::npos || name.find('\0') != std::string::npos) {
      return transport_->write("- no such name\n");
    }
    const ferry::Fd file(
        ::openat(directory_, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) {
      const std::string reason = ferry::system_error_code(errno).message();
      return transport_->write("- " + reason + "\n");
    }
    struct stat status {};
    if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
      return transport_->write("- not a file\n");
    }
    const auto size = static_cast<std::uint64_t>(status.st_size);
    transport_->write("+ " + std::to_string(size) + "\n");
    if (size > 0) send(file.get(), size);
  }

  void send(int file, std::uint64_t size) {
    sending_ = true;
    ferry::sendfile(transport_, file, 0, size)
        .add_done_callback([self = shared_from_this(), size](ferry::Future<std::uint64_t> sent) {
          self->sending_ = false;
          if (!self->transport_) return;
          // If it is not what was announced, the peer must not take what follows for the file.
          if (sent.exception() || sent.result() != size) return self->transport_->abort();
          self->answer_requests();
        });
  }

  int directory_;  // main's
  std::shared_ptr<ferry::Transport> transport_;
  std::string received_;
  bool sending_ = false;
  bool ended_ = false;
};

int run(const char* path, int port) {
  const ferry::Fd directory(::open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory) throw std::system_error(errno, std::system_category(), path);
  ferry::EventLoop loop;
  for (const int signal_number : {SIGINT, SIGTERM}) {
    loop.add_signal_handler(signal_number, [&loop] { loop.stop(); });
  }
  ferry::ListenOptions options{.hosts = {"127.0.0.1"}, .port = static_cast<std::uint16_t>(port)};
  auto server = loop.run_until_complete(ferry::create_server(
      loop, [fd = directory.get()] { return std::make_shared<FileServer>(fd); },
      std::move(options)));
  std::printf("listening on %s\n", server->sockets()[0].to_string().c_str());
  std::fflush(stdout);
  loop.run_forever();
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: file_server DIRECTORY [PORT]\n", stderr);
    return 2;
  }
  try {
    return run(argv[1], argc > 2 ? std::atoi(argv[2]) : 7778);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "file_server: %s\n", failure.what());
    return 1;
  }
}
