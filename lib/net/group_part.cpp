#include "group_part.h"

#include "accepted.h"

#include <new>
#include <utility>
#include <vector>

namespace ferry {

// -- what is on its way to a loop

/// An accepted socket in a loop's mail. If that loop ends before it was delivered, it goes on to
/// another.
class GroupTraffic::TravellingSocket {
 public:
  TravellingSocket(std::shared_ptr<GroupTraffic> traffic, std::size_t index, Fd socket,
                   Address peer, std::size_t hops) noexcept
      : traffic_(std::move(traffic)),
        index_(index),
        hops_(hops),
        socket_(std::move(socket)),
        peer_(std::move(peer)) {}
  TravellingSocket(TravellingSocket&&) noexcept = default;
  TravellingSocket& operator=(TravellingSocket&&) = delete;
  ~TravellingSocket() {
    if (!socket_) return;
    traffic_->crew().remove_load(index_);
    try {
      traffic_->send_to_least_loaded(std::move(socket_), std::move(peer_), hops_ + 1);
    } catch (const std::bad_alloc&) {
      // Another one of these has taken care of it.
    }
  }

  void operator()(EventLoop& loop) {
    traffic_->part_on(loop, index_)->take(std::move(socket_), peer_);
  }

 private:
  std::shared_ptr<GroupTraffic> traffic_;
  std::size_t index_;
  std::size_t hops_;
  Fd socket_;
  Address peer_;
};

/// The same for a socket to listen on.
class GroupTraffic::TravellingListener {
 public:
  TravellingListener(std::shared_ptr<GroupTraffic> traffic, std::size_t index, Fd socket,
                     Address address, std::size_t hops) noexcept
      : traffic_(std::move(traffic)),
        index_(index),
        hops_(hops),
        socket_(std::move(socket)),
        address_(std::move(address)) {}
  TravellingListener(TravellingListener&&) noexcept = default;
  TravellingListener& operator=(TravellingListener&&) = delete;
  ~TravellingListener() {
    if (!socket_) return;
    traffic_->pass_on_listener(index_, std::move(socket_), std::move(address_), hops_ + 1);
  }

  void operator()(EventLoop& loop) {
    if (traffic_->closed()) return;
    traffic_->part_on(loop, index_)->listen(std::move(socket_), std::move(address_));
  }

 private:
  std::shared_ptr<GroupTraffic> traffic_;
  std::size_t index_;
  std::size_t hops_;
  Fd socket_;
  Address address_;
};

// -- GroupTraffic

GroupTraffic::GroupTraffic(Settings settings, Mailbox home, Function<void()> look)
    : settings_(std::move(settings)),
      home_(std::move(home)),
      look_(std::move(look)),
      places_(settings_.crew->size()) {}

void GroupTraffic::hand_out(Fd socket, Address peer) {
  ++connections_;
  send_to_least_loaded(std::move(socket), std::move(peer));
}

void GroupTraffic::send_to_least_loaded(Fd socket, Address peer, std::size_t hops) {
  std::optional<std::size_t> index;
  if (hops < crew().size()) index = crew().add_to_least_loaded();
  if (!index) {
    socket.reset();
    --connections_;
    return look_if_watched();
  }
  // If the loop has closed meanwhile, the traveller's destructor sends it on.
  crew().post(*index, TravellingSocket(shared_from_this(), *index, std::move(socket),
                                       std::move(peer), hops));
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
  {
    const std::lock_guard lock(listening_lock_);
    listening_.push_back(socket.get());
  }
  ++listeners_;
  send_listener(index, std::move(socket), std::move(address));
}

void GroupTraffic::send_listener(std::size_t index, Fd socket, Address address, std::size_t hops) {
  crew().post(index, TravellingListener(shared_from_this(), index, std::move(socket),
                                        std::move(address), hops));
}

void GroupTraffic::pass_on_listener(std::size_t index, Fd socket, Address address,
                                    std::size_t hops) noexcept {
  const std::size_t last = hops < crew().size() ? crew().size() : 0;
  for (std::size_t i = 1; i < last && !closed() && !crew().stopping(); ++i) {
    const std::size_t next = (index + i) % crew().size();
    if (!crew().alive(next)) continue;
    try {
      return send_listener(next, std::move(socket), std::move(address), hops);
    } catch (const std::bad_alloc&) {
      return;  // its traveller has taken care of it
    }
  }
  listener_gone(socket.get());
}

void GroupTraffic::listener_gone(int socket) noexcept {
  {
    const std::lock_guard lock(listening_lock_);
    std::erase(listening_, socket);
  }
  --listeners_;
  look_if_watched();
}

std::vector<int> GroupTraffic::listening() const {
  const std::lock_guard lock(listening_lock_);
  return listening_;
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
  const auto alive = shared_from_this();  // the home loop may be done with it before `post` is
  look_letter_.callback = [traffic = alive] {
    traffic->look_posted_ = false;
    traffic->look_();
  };
  home_.post(look_letter_);
}

void GroupTraffic::tell_parts(Wish wish) noexcept {
  const auto alive = shared_from_this();
  const auto bit = static_cast<unsigned>(wish);
  for (std::size_t i = 0; i < places_.size(); ++i) {
    try {
      crew().post(i, [traffic = alive, i, bit](EventLoop&) { traffic->fulfil(i, bit); });
    } catch (const std::bad_alloc&) {
      Place& place = places_[i];
      if (place.wishes.fetch_or(bit) != 0) continue;
      place.letter.callback = [traffic = alive, i] {
        traffic->fulfil(i, traffic->places_[i].wishes.exchange(0));
      };
      crew().post(i, place.letter);
    }
  }
}

/// On that loop's thread.
void GroupTraffic::fulfil(std::size_t index, unsigned wishes) {
  const auto part = places_[index].part.lock();
  if (!part) return;
  const auto wished = [wishes](Wish wish) { return (wishes & static_cast<unsigned>(wish)) != 0; };
  if (wished(Wish::resume)) part->resume();
  if (wished(Wish::close_all)) ferry::close_all(*part);
  if (wished(Wish::abort_all)) ferry::abort_all(*part);
  if (wished(Wish::close)) part->close();
}

std::shared_ptr<GroupPart> GroupTraffic::part_on(EventLoop& loop, std::size_t index) {
  if (auto part = places_[index].part.lock()) return part;
  auto part = std::make_shared<GroupPart>(loop, shared_from_this(), index);
  places_[index].part = part;
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
  const Address& there = address;
  const int fd = socket.get();
  Socket owned(loop().kernel(), socket.release());
  std::unique_ptr<AcceptLoop> listening;
  try {
    accept_loops_.reserve(accept_loops_.size() + 1);
    listening = std::make_unique<AcceptLoop>(loop(), std::move(owned), address,
                                             traffic_->settings().backlog,
                                             static_cast<AcceptLoop::Owner&>(*this));
    listening->start();
    accept_loops_.push_back(std::move(listening));
  } catch (const std::exception& error) {
    // It listens already; what is missing is memory or the like.
    traffic_->listener_gone(fd);
    listening.reset();
    owned.reset();
    ExceptionContext context;
    context.message =
        report_text([&there] { return "a loop cannot accept from " + there.to_string(); });
    if (const auto* io = dynamic_cast<const IoError*>(&error)) context.error = io->code();
    context.exception = std::current_exception();
    loop().call_exception_handler(context);
  }
}

void GroupPart::close() {
  const auto alive = shared_from_this();
  self_.reset();
  for (auto& accept_loop : accept_loops_) {
    const Socket socket = accept_loop->release();
    if (socket) traffic_->listener_gone(socket.get());
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
