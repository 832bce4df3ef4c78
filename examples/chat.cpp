// A chat server: every line goes to everybody else. chat [PORT]; try it with `nc 127.0.0.1 7777`.
#include <ferry/net.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>

constexpr std::size_t kLongestLine = 1024;
constexpr std::size_t kMostUnread = 1024 * 1024;  // a member that far behind is dropped

class Member;

struct Room {
  std::set<Member*> members;
  void say(const std::string& line, const Member* except);
};

class Member : public ferry::Protocol {
 public:
  explicit Member(Room& room) : room_(room) {}

  void connection_made(std::shared_ptr<ferry::Transport> transport) override {
    transport_ = std::move(transport);
    transport_->set_write_hard_limit(kMostUnread);
    name_ = "guest-" + std::to_string(transport_->peername().port());
    room_.members.insert(this);
    room_.say(name_ + " joined\n", nullptr);
  }

  void data_received(ferry::BytesView data) override {
    received_ += data.text();
    std::string_view rest = received_;
    for (auto end = rest.find('\n'); end != rest.npos && end <= kLongestLine;
         end = rest.find('\n')) {
      room_.say(name_ + ": " + std::string(rest.substr(0, end + 1)), this);
      rest.remove_prefix(end + 1);
    }
    received_.erase(0, received_.size() - rest.size());
    if (received_.size() > kLongestLine) {
      hear("too long a line\n");
      transport_->close();
    }
  }

  void connection_lost(std::error_code) override {
    room_.members.erase(this);
    room_.say(name_ + " left\n", nullptr);
  }

  void hear(const std::string& line) { transport_->write(line); }

 private:
  Room& room_;
  std::shared_ptr<ferry::Transport> transport_;
  std::string name_;
  std::string received_;  // the beginning of a line
};

void Room::say(const std::string& line, const Member* except) {
  for (Member* member : members) {
    if (member != except) member->hear(line);
  }
}

int main(int argc, char** argv) {
  Room room;
  ferry::EventLoop loop;
  for (int signal : {SIGINT, SIGTERM}) loop.add_signal_handler(signal, [&loop] { loop.stop(); });
  const char* port = argc > 1 ? argv[1] : "7777";
  ferry::ListenOptions options{.hosts = {"127.0.0.1"},
                               .port = static_cast<std::uint16_t>(std::atoi(port))};
  auto server = loop.run_until_complete(ferry::create_server(
      loop, [&room] { return std::make_shared<Member>(room); }, std::move(options)));
  std::printf("listening on %s\n", server->sockets()[0].to_string().c_str());
  std::fflush(stdout);
  loop.run_forever();
}
