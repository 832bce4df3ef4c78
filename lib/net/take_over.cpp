#include "hand_over_wire.h"
#include "poison.h"

#include <ferry/listeners.h>

#include <cerrno>
#include <new>
#include <stdexcept>
#include <utility>

namespace ferry {

using namespace hand_over;

/// The new process's end of the connection to the old one: connects, receives, is kept by the
/// TakenListeners, and waits for the answer to `confirm`. Owns itself while something is under way.
class TakenListeners::Line final : public std::enable_shared_from_this<Line>,
                                   private LoopResource,
                                   private FdWatch::Listener {
 public:
  Line(EventLoop& loop, std::string path, Duration limit)
      : LoopResource(loop, Kind::operation),
        address_(Address::unix_path(path)),
        limit_(limit),
        taken_(loop),
        confirmed_(loop),
        deadline_(loop, [this] { fail(TimeoutError(step(), address_)); }),
        again_(loop, [this] { connect(); }) {}

  Future<TakenListeners> begin() {
    self_ = shared_from_this();
    taken_.set_cancel_hook([weak = weak_from_this()] {
      if (const auto line = weak.lock()) line->end();
    });
    deadline_.set(limit_);
    const auto taken = taken_;
    connect();
    return taken;
  }

  Future<void> confirm() {
    static_cast<void>(confirmed_.get_loop());  // throws if the loop is gone
    if (stage_ != Stage::held) {
      throw std::logic_error("TakenListeners::confirm: it was called before");
    }
    stage_ = Stage::confirming;
    self_ = shared_from_this();
    deadline_.set(limit_);
    confirmed_.set_cancel_hook([weak = weak_from_this()] {
      if (const auto line = weak.lock()) line->end();
    });
    const auto confirmed = confirmed_;
    say_ready();
    return confirmed;
  }

 private:
  enum class Stage { receiving, held, confirming };

  const char* step() const noexcept {
    return stage_ == Stage::receiving ? "take over listeners" : "confirm the take-over";
  }

  void connect() {
    Kernel& kernel = loop().kernel();
    const IoResult opened = kernel.socket(AF_UNIX, SOCK_STREAM, 0);
    if (!opened.ok()) return fail_with(opened.code(), "socket");
    Socket socket(kernel, opened.fd());
    const IoResult connected = kernel.connect(socket.get(), address_);
    // No event says when a full backlog has room again.
    if (connected.would_block()) return again_.set(kRetry);
    if (!connected.ok()) return fail_with(connected.code(), "connect");
    PeerCredentials peer;
    const IoResult known = kernel.peer_credentials(socket.get(), peer);
    if (!known.ok()) return fail_with(known.code(), "getsockopt");
    if (peer.uid != kernel.own_credentials().uid) {
      return fail_with(std::make_error_code(std::errc::permission_denied), step());
    }
    std::error_code error;
    watch_ = kernel.watch(socket.get(), *this, error);
    if (!watch_) return fail_with(error, "watch");
    socket_ = std::move(socket);
    watch_->arm(Direction::read, FdWatch::Arm::if_ready);
  }

  void say_ready() {
    const IoResult sent = loop().kernel().send(socket_.get(), BytesView(&kReady, 1));
    if (sent.would_block()) return watch_->arm(Direction::write, FdWatch::Arm::after_would_block);
    // The old one does not know, and is not to be waited for: it goes on, or has gone.
    if (sent.error == EPIPE || sent.error == ECONNRESET) {
      return fail_with(std::make_error_code(std::errc::connection_aborted), step());
    }
    if (!sent.ok()) return fail_with(sent.code(), step());
    watch_->arm(Direction::read, FdWatch::Arm::if_ready);
  }

  void on_writable() override {
    attempt([this] { say_ready(); });
  }
  void on_readable(FdWatch::ReadEvent) override {
    attempt([this] { stage_ == Stage::receiving ? receive() : receive_answer(); });
  }
  template <class What>
  void attempt(What what) {
    const auto alive = shared_from_this();
    loop().run_callback([&] {
      try {
        what();
      } catch (const std::bad_alloc&) {
        fail_with(std::make_error_code(std::errc::not_enough_memory), step());
      }
    });
  }

  void receive() {
    for (;;) {
      const MutableBytes into = loop().receive_buffer();
      unpoison(into);
      const IoResult got = loop().kernel().recv_descriptors(socket_.get(), into, descriptors_);
      if (got.would_block()) return watch_->arm(Direction::read, FdWatch::Arm::after_would_block);
      if (!got.ok()) return fail_with(got.code(), "recvmsg");
      if (got.count() == 0)
        return fail_with(std::make_error_code(std::errc::connection_aborted), step());
      received_.append(BytesView(into.data(), got.count()));
      poison(into);
      for (;;) {
        Batch batch;
        const Decoded decoded = decode(received_, batch);
        if (decoded == Decoded::incomplete) break;
        if (decoded == Decoded::nonsense || batch.names.size() > descriptors_.size()) {
          return fail_with(std::make_error_code(std::errc::protocol_error), step());
        }
        for (std::size_t i = 0; i < batch.names.size(); ++i) {
          listeners_.push_back({std::move(batch.names[i]), std::move(descriptors_[i])});
        }
        const auto used = static_cast<std::ptrdiff_t>(batch.names.size());
        descriptors_.erase(descriptors_.begin(), descriptors_.begin() + used);
        if (batch.last) return received_all();
      }
    }
  }

  void received_all() {
    // What nobody announced is closed.
    if (!descriptors_.empty() || !received_.empty()) {
      return fail_with(std::make_error_code(std::errc::protocol_error), step());
    }
    stage_ = Stage::held;
    deadline_.cancel();
    TakenListeners taken(std::exchange(self_, nullptr));
    taken.listeners = std::move(listeners_);
    // The future will hold this, which therefore must not hold the future.
    const auto result = std::move(taken_);
    result.try_set_result(std::move(taken));
  }

  void receive_answer() {
    std::byte word{};
    const IoResult got = loop().kernel().recv(socket_.get(), {&word, 1});
    if (got.would_block()) return watch_->arm(Direction::read, FdWatch::Arm::after_would_block);
    if (!got.ok()) return fail_with(got.code(), step());
    if (got.count() == 0 || word != kReleased) {
      return fail_with(std::make_error_code(std::errc::connection_aborted), step());
    }
    const auto confirmed = confirmed_;
    end();
    confirmed.try_set_result();
  }

  void fail_with(std::error_code code, const char* operation) {
    fail(IoError({code, operation, address_}));
  }
  template <class E>
  void fail(E error) {
    const auto alive = shared_from_this();
    const auto taken = taken_;
    const auto confirmed = confirmed_;
    const Stage stage = stage_;
    end();
    if (stage == Stage::receiving) {
      if (!taken.done()) taken.set_exception(std::move(error));
    } else if (!confirmed.done()) {
      confirmed.set_exception(std::move(error));
    }
  }

  void on_loop_close() override { end(); }
  void end() {
    const auto alive = shared_from_this();
    leave_loop();
    deadline_.cancel();
    again_.cancel();
    watch_.reset();
    socket_.reset();
    listeners_.clear();
    descriptors_.clear();
    self_.reset();
  }

  static constexpr Duration kRetry = std::chrono::milliseconds(10);

  Address address_;
  Duration limit_;
  Stage stage_ = Stage::receiving;
  Future<TakenListeners> taken_;
  Future<void> confirmed_;
  Socket socket_;
  FdWatchPtr watch_;  // gone before the socket is
  Buffer received_;
  std::vector<Fd> descriptors_;  // that no batch has named yet
  std::vector<NamedListener> listeners_;
  Timer deadline_;
  Timer again_;
  std::shared_ptr<Line> self_;
};

TakenListeners::TakenListeners(std::shared_ptr<Line> line) noexcept : line_(std::move(line)) {}
TakenListeners::TakenListeners(TakenListeners&&) noexcept = default;
TakenListeners& TakenListeners::operator=(TakenListeners&&) noexcept = default;
TakenListeners::~TakenListeners() = default;

Future<void> TakenListeners::confirm() {
  if (!line_) throw std::logic_error("TakenListeners::confirm: it was moved from");
  return line_->confirm();
}

Future<TakenListeners> take_over_listeners(EventLoop& loop, std::string path, Duration limit) {
  if (path.empty()) throw std::invalid_argument("take_over_listeners: the path is empty");
  return std::make_shared<TakenListeners::Line>(loop, std::move(path), limit)->begin();
}

}  // namespace ferry
