#include "group_part.h"

#include "accepted.h"

#include <utility>

namespace ferry {

// -- what is on its way to a loop

/// An accepted socket in a loop's mail. If that loop ends before it was delivered, it goes on to
/// another.
class GroupTraffic::TravellingSocket {
 public:
  TravellingSocket(std::shared_ptr<GroupTraffic> traffic, std::size_t index, Fd socket,
                   Address peer) noexcept
      : traffic_(std::move(traffic)),
        index_(index),
        socket_(std::move(socket)),
        peer_(std::move(peer)) {}
  TravellingSocket(TravellingSocket&&) noexcept = default;
  TravellingSocket& operator=(TravellingSocket&&) = delete;
  ~TravellingSocket() {
    if (!socket_) return;
    traffic_->crew().remove_load(index_);
    traffic_->send_to_least_loaded(std::move(socket_), std::move(peer_));
  }

  void operator()(EventLoop& loop) {
    traffic_->part_on(loop, index_)->take(std::move(socket_), peer_);
  }

 private:
  std::shared_ptr<GroupTraffic> traffic_;
  std::size_t index_;
  Fd socket_;
  Address peer_;
};

/// The same for a socket to listen on.
class GroupTraffic::TravellingListener {
 public:
  TravellingListener(std::shared_ptr<GroupTraffic> traffic, std::size_t index, Fd socket,
                     Address address) noexcept
      : traffic_(std::move(traffic)),
        index_(index),
        socket_(std::move(socket)),
        address_(std::move(address)) {}
  TravellingListener(TravellingListener&&) noexcept = default;
  TravellingListener& operator=(TravellingListener&&) = delete;
  ~TravellingListener() {
    if (socket_) traffic_->pass_on_listener(index_, std::move(socket_), std::move(address_));
  }

  void operator()(EventLoop& loop) {
    if (traffic_->closed()) return;
    traffic_->part_on(loop, index_)->listen(std::move(socket_), std::move(address_));
  }

 private:
  std::shared_ptr<GroupTraffic> traffic_;
  std::size_t index_;
  Fd socket_;
  Address address_;
};

// -- GroupTraffic

GroupTraffic::GroupTraffic(Settings settings, Mailbox home, Function<void()> look)
    : settings_(std::move(settings)),
      home_(std::move(home)),
      look_(std::move(look)),
      parts_(settings_.crew->size()) {}

void GroupTraffic::hand_out(Fd socket, Address peer) {
  ++connections_;
  send_to_least_loaded(std::move(socket), std::move(peer));
}

void GroupTraffic::send_to_least_loaded(Fd socket, Address peer) {
  const std::optional<std::size_t> index = crew().add_to_least_loaded();
  if (!index) {
    --connections_;
    return look_if_watched();
  }
  // If the loop has closed meanwhile, the traveller's destructor sends it on.
  crew().post(*index,
              TravellingSocket(shared_from_this(), *index, std::move(socket), std::move(peer)));
}

void GroupTraffic::count_at(std::size_t index) noexcept {
  ++connections_;
  crew().add_load(index);
}

void GroupTraffic::uncount_at(std::size_t index) noexcept {
  crew().remove_load(index);
  --connections_;
  look_if_watched();
}

void GroupTraffic::add_listener(std::size_t index, Fd socket, Address address) {
  ++listeners_;
  send_listener(index, std::move(socket), std::move(address));
}

void GroupTraffic::send_listener(std::size_t index, Fd socket, Address address) {
  crew().post(index,
              TravellingListener(shared_from_this(), index, std::move(socket), std::move(address)));
}

void GroupTraffic::pass_on_listener(std::size_t index, Fd socket, Address address) {
  for (std::size_t i = 1; i < crew().size() && !closed() && !crew().stopping(); ++i) {
    const std::size_t next = (index + i) % crew().size();
    if (crew().alive(next)) return send_listener(next, std::move(socket), std::move(address));
  }
  socket.reset();
  listener_gone();
}

void GroupTraffic::listener_gone() noexcept {
  --listeners_;
  look_if_watched();
}

bool GroupTraffic::has_room() noexcept {
  const auto room = [this] {
    if (crew().stopping() || !any_alive()) return false;
    return settings_.max_connections == 0 || connections_ < settings_.max_connections;
  };
  if (room()) return true;
  watched_ = true;
  return room();
}

bool GroupTraffic::any_alive() const noexcept {
  for (std::size_t i = 0; i < crew().size(); ++i) {
    if (crew().alive(i)) return true;
  }
  return false;
}

void GroupTraffic::look_if_watched() noexcept {
  if (!watched_ || look_posted_.exchange(true)) return;
  home_.post([traffic = shared_from_this()] {
    traffic->look_posted_ = false;
    traffic->look_();
  });
}

void GroupTraffic::on_parts(void (*f)(GroupPart&)) {
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    crew().post(i, [traffic = shared_from_this(), i, f](EventLoop&) {
      if (const auto part = traffic->parts_[i].lock()) f(*part);
    });
  }
}

std::shared_ptr<GroupPart> GroupTraffic::part_on(EventLoop& loop, std::size_t index) {
  if (auto part = parts_[index].lock()) return part;
  auto part = std::make_shared<GroupPart>(loop, shared_from_this(), index);
  parts_[index] = part;
  if (!closed_) part->settle();
  return part;
}

// -- GroupPart

GroupPart::GroupPart(EventLoop& loop, std::shared_ptr<GroupTraffic> traffic, std::size_t index)
    : LoopResource(loop, Kind::server), traffic_(std::move(traffic)), index_(index) {}

GroupPart::~GroupPart() = default;

void GroupPart::take(Fd socket, const Address& peer) {
  start(Socket(loop().kernel(), socket.release()), peer);
}

void GroupPart::start(Socket socket, const Address& peer) {
  if (traffic_->refusing()) {
    socket.reset();
    return traffic_->uncount_at(index_);
  }
  const auto uncounted = [this] { traffic_->uncount_at(index_); };
  struct CountedUnlessLost {
    const decltype(uncounted)& uncount;
    bool started = false;
    ~CountedUnlessLost() {
      if (!started) uncount();
    }
  } counted{uncounted};
  counted.started = start_accepted(
      loop(), std::move(socket), peer, shared_from_this(),
      [this] { return traffic_->make_protocol(loop()); }, traffic_->settings().wrap,
      traffic_->settings().gate.get());
}

void GroupPart::on_accepted(Socket socket, const Address& peer) {
  traffic_->count_at(index_);
  start(std::move(socket), peer);
}

void GroupPart::listen(Fd socket, Address address) {
  auto accept_loop = std::make_unique<AcceptLoop>(loop(), Socket(loop().kernel(), socket.release()),
                                                  std::move(address), traffic_->settings().backlog,
                                                  static_cast<AcceptLoop::Owner&>(*this));
  AcceptLoop& listening = *accept_loop;
  accept_loops_.push_back(std::move(accept_loop));
  try {
    listening.start();
  } catch (const IoError& error) {
    // It listens already; what is missing is memory or the like.
    listening.close();
    traffic_->listener_gone();
    ExceptionContext context;
    context.message = "a loop cannot accept from " + listening.address().to_string();
    context.error = error.code();
    context.exception = std::current_exception();
    loop().call_exception_handler(context);
  }
}

void GroupPart::close() {
  const auto alive = shared_from_this();
  self_.reset();
  for (auto& accept_loop : accept_loops_) {
    if (accept_loop->release()) traffic_->listener_gone();
  }
}

void GroupPart::resume() {
  for (auto& accept_loop : accept_loops_) accept_loop->resume();
}

void GroupPart::on_loop_close() {
  const auto alive = shared_from_this();
  self_.reset();
  for (auto& accept_loop : accept_loops_) {
    Fd socket(accept_loop->release().release());
    if (socket) traffic_->pass_on_listener(index_, std::move(socket), accept_loop->address());
  }
}

}  // namespace ferry
