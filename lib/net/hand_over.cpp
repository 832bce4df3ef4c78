#include "accept_loop.h"
#include "hand_over_wire.h"
#include "listen_socket.h"

#include <ferry/listeners.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

namespace ferry {

namespace {

using namespace hand_over;

/// The old process's side. Owns itself until the sockets are taken, or the offer is withdrawn.
class HandOver final : public std::enable_shared_from_this<HandOver>,
                       private LoopResource,
                       private AcceptLoop::Owner,
                       private FdWatch::Listener {
 public:
  HandOver(EventLoop& loop, HandOverOptions options)
      : LoopResource(loop, Kind::operation),
        options_(std::move(options)),
        address_(Address::unix_path(options_.path)),
        result_(loop),
        limit_(loop, [this] { lose_successor("it took too long"); }) {}

  Future<Successor> begin() {
    self_ = shared_from_this();
    result_.set_cancel_hook([weak = weak_from_this()] {
      if (const auto offer = weak.lock()) offer->end();
    });
    try {
      Error error;
      BoundSocket bound = bind_unix(loop().kernel(), address_, /*cleanup=*/true, error);
      if (error) throw IoError(std::move(error));
      file_ = std::move(bound.file);
      accept_loop_.emplace(loop(), std::move(bound.socket), std::move(bound.address), kBacklog,
                           static_cast<AcceptLoop::Owner&>(*this));
      accept_loop_->start();
    } catch (const IoError&) {
      const auto failed = result_;
      end();
      failed.set_exception(std::current_exception());
      return failed;
    }
    return result_;
  }

 private:
  static constexpr int kBacklog = 16;
  static constexpr Duration kAgain = std::chrono::milliseconds(10);

  /// Bytes to send, and the descriptors that go with the first of them. Copies, so that a server
  /// may close while they wait.
  struct Outgoing {
    std::string bytes;
    std::vector<Fd> descriptors;
  };

  void on_accepted(Socket socket, const Address&) override {
    PeerCredentials peer;
    const IoResult known = loop().kernel().peer_credentials(socket.get(), peer);
    if (!known.ok() || peer.uid != loop().kernel().own_credentials().uid) {
      return warn(
          [&peer] { return "refused process " + std::to_string(peer.pid) + " of another user"; });
    }
    std::error_code error;
    FdWatchPtr watch = loop().kernel().watch(socket.get(), *this, error);
    if (!watch) return warn([error] { return "cannot watch a connection: " + error.message(); });
    successor_ = {peer.pid};
    socket_ = std::move(socket);
    watch_ = std::move(watch);
    watch_->arm(Direction::read, FdWatch::Arm::if_ready);
    limit_.set(options_.limit);
    attempt([this] {
      if (collect()) send();
    });
  }
  bool has_room() const noexcept override { return !socket_; }
  std::shared_ptr<void> keep_alive() override { return shared_from_this(); }

  static bool listens(const Server& server, int fd) {
    const std::vector<int> handles = server.native_handles();
    return std::find(handles.begin(), handles.end(), fd) != handles.end();
  }

  /// Puts all listening sockets into `outgoing_`. False if that cannot be.
  bool collect() {
    std::vector<NamedListener> all;
    for (const NamedServer& named : options_.servers) {
      for (const int fd : named.server->native_handles()) {
        const IoResult copy = loop().kernel().duplicate(fd);
        Fd owned(copy.ok() ? copy.fd() : -1);
        // A loop of a group may have closed it meanwhile, and the number be a stranger's.
        if (!listens(*named.server, fd)) continue;
        if (!copy.ok()) return lose_successor(copy.code()), false;
        all.push_back({named.name, std::move(owned)});
      }
    }
    std::size_t next = 0;
    do {
      Batch batch;
      Outgoing out;
      for (; next < all.size() && batch.names.size() < kPerBatch; ++next) {
        batch.names.push_back(all[next].name);
        out.descriptors.push_back(std::move(all[next].fd));
      }
      batch.last = next == all.size();
      out.bytes = encode(batch);
      outgoing_.push_back(std::move(out));
    } while (next < all.size());
    return true;
  }

  void send() {
    while (!outgoing_.empty()) {
      Outgoing& out = outgoing_.front();
      std::vector<int> descriptors;
      for (const Fd& fd : out.descriptors) descriptors.push_back(fd.get());
      const IoResult sent = loop().kernel().send_descriptors(socket_.get(), out.bytes, descriptors);
      if (sent.would_block()) return watch_->arm(Direction::write, FdWatch::Arm::after_would_block);
      if (!sent.ok()) return lose_successor(sent.code());
      out.descriptors.clear();
      out.bytes.erase(0, sent.count());
      if (out.bytes.empty()) outgoing_.pop_front();
    }
  }

  void on_writable() override {
    const auto alive = shared_from_this();
    loop().run_callback([this] { attempt([this] { send(); }); });
  }
  void on_readable(FdWatch::ReadEvent) override {
    const auto alive = shared_from_this();
    loop().run_callback([this] { attempt([this] { receive(); }); });
  }
  template <class Step>
  void attempt(Step step) {
    try {
      step();
    } catch (const std::bad_alloc&) {
      lose_successor(std::make_error_code(std::errc::not_enough_memory));
    }
  }
  void receive() {
    std::byte word{};
    const IoResult got = loop().kernel().recv(socket_.get(), {&word, 1});
    if (got.would_block()) return watch_->arm(Direction::read, FdWatch::Arm::after_would_block);
    if (!got.ok()) return lose_successor(got.code());
    if (got.count() == 0) return lose_successor("it has gone");
    if (word != kReady || !outgoing_.empty()) return lose_successor("it talks nonsense");
    taken();
  }

  void taken() {
    auto socket = std::make_shared<Socket>();  // before anything has changed
    for (const NamedServer& named : options_.servers) {
      named.server->keep_socket_files();
      named.server->close();
    }
    const auto result = result_;
    const Successor successor = *successor_;
    watch_.reset();
    *socket = std::move(socket_);
    EventLoop& on = loop();
    end();  // releases the path, before the other one hears that
    say_released(on, std::move(socket), result, successor);
  }

  /// Where there is no memory for that one byte it is tried again: a successor that does not hear
  /// it believes that the offer was withdrawn, and then nobody serves.
  static void say_released(EventLoop& loop, std::shared_ptr<Socket> socket,
                           const Future<Successor>& result, Successor successor) {
    const IoResult sent = loop.kernel().send(socket->get(), BytesView(&kReleased, 1));
    if (sent.would_block() || sent.error == ENOBUFS || sent.error == ENOMEM) {
      loop.call_later(kAgain, [&loop, socket = std::move(socket), result, successor]() mutable {
        say_released(loop, std::move(socket), result, successor);
      });
      return;
    }
    result.try_set_result(successor);
  }

  /// It is as if nobody had asked; the next may.
  void lose_successor(std::error_code why) {
    lose_successor(report_text([why] { return why.message(); }));
  }
  void lose_successor(const char* why) {
    lose_successor(report_text([why] { return std::string(why); }));
  }
  void lose_successor(std::string why) {
    warn([&] {
      return "process " + std::to_string(successor_->pid) + " did not take the sockets: " + why;
    });
    limit_.cancel();
    outgoing_.clear();
    watch_.reset();
    socket_.reset();
    successor_.reset();
    accept_loop_->resume();
  }

  template <class Text>
  void warn(Text what) {
    loop().log(LogLevel::warning,
               report_text([&] { return "hand-over at " + options_.path + ": " + what(); }));
  }

  void on_loop_close() override { end(); }
  void end() {
    const auto alive = shared_from_this();
    leave_loop();
    limit_.cancel();
    outgoing_.clear();
    watch_.reset();
    socket_.reset();
    file_.remove();
    if (accept_loop_) accept_loop_->close();
    options_.servers.clear();
    self_.reset();
  }

  HandOverOptions options_;
  Address address_;
  Future<Successor> result_;
  std::optional<AcceptLoop> accept_loop_;
  SocketFile file_;
  Socket socket_;  // of who is taking the sockets now, if anybody is
  FdWatchPtr watch_;
  std::optional<Successor> successor_;
  std::deque<Outgoing> outgoing_;
  Timer limit_;
  std::shared_ptr<HandOver> self_;
};

}  // namespace

Future<Successor> hand_over_listeners(EventLoop& loop, HandOverOptions options) {
  if (options.path.empty()) throw std::invalid_argument("hand_over_listeners: the path is empty");
  for (const NamedServer& named : options.servers) {
    if (!named.server) throw std::invalid_argument("hand_over_listeners: a server is null");
    if (named.name.size() > kLongestName) {
      throw std::invalid_argument("hand_over_listeners: a name is longer than 255 bytes");
    }
    if (&named.server->loop() != &loop) {
      throw std::invalid_argument("hand_over_listeners: a server belongs to another loop");
    }
  }
  return std::make_shared<HandOver>(loop, std::move(options))->begin();
}

}  // namespace ferry
