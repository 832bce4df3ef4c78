#pragma once

#include "accept_loop.h"
#include "connection_set.h"

#include <ferry/fd.h>
#include <ferry/group_server.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

namespace ferry {

class GroupPart;

/// What a server on many loops shares with its parts; for any thread where nothing else is said.
/// Numbers that several threads wait for are changed first and looked at afterwards: whoever is
/// second sees the other.
class GroupTraffic : public std::enable_shared_from_this<GroupTraffic> {
 public:
  struct Settings {
    std::shared_ptr<LoopCrew> crew;
    GroupProtocolFactory factory;
    ProtocolWrap wrap;
    int backlog = 100;
    std::size_t max_connections = 0;
    std::shared_ptr<ConnectionGate> gate{};  // null: all are admitted
  };

  /// `look` is called on the home loop after a change that the server said it waits for.
  GroupTraffic(Settings settings, Mailbox home, Function<void()> look);

  LoopCrew& crew() const noexcept { return *settings_.crew; }
  const Settings& settings() const noexcept { return settings_; }
  std::shared_ptr<Protocol> make_protocol(EventLoop& loop) { return settings_.factory(loop); }

  /// A connection that was accepted: it counts from now on, and goes to the least loaded loop.
  void hand_out(Fd socket, Address peer);
  /// The same, but `index` is the loop that accepted it; its part takes it itself.
  void count_at(std::size_t index) noexcept;
  /// It is gone, or was never one.
  void uncount_at(std::size_t index) noexcept;
  /// A socket for the part of that loop to listen on.
  void add_listener(std::size_t index, Fd socket, Address address);
  /// That loop has ended: another one goes on listening, with all that waits there.
  void pass_on_listener(std::size_t index, Fd socket, Address address,
                        std::size_t hops = 0) noexcept;
  /// To be called before that descriptor is closed.
  void listener_gone(int socket) noexcept;
  /// The descriptors of those that are open, as they were added. One that is among them was open
  /// when this was called.
  std::vector<int> listening() const;

  /// The server takes no more: what is still under way is served.
  void close() noexcept { closed_ = true; }
  bool closed() const noexcept { return closed_; }
  /// Nothing that is under way is served any more either.
  void refuse() noexcept { refusing_ = true; }
  bool refusing() const noexcept { return refusing_; }
  /// On all loops, and under way to one.
  std::size_t connections() const noexcept { return connections_; }
  std::size_t listeners() const noexcept { return listeners_; }
  /// Below the limit, and a loop is there to take it. If not, `look` is called when that changes.
  bool has_room() noexcept;
  /// From now on `look` is called whenever something has gone.
  void wait_for_end() noexcept { watched_ = true; }

  /// What the parts are told to do; a bit each, in the order in which it is done.
  enum class Wish : unsigned { resume = 1, close_all = 2, abort_all = 4, close = 8 };
  /// Tells each loop's part, if it has one. Does not fail for want of memory.
  void tell_parts(Wish wish) noexcept;
  /// On that loop's thread: its part, made now if there is none.
  std::shared_ptr<GroupPart> part_on(EventLoop& loop, std::size_t index);

 private:
  class TravellingSocket;
  class TravellingListener;

  /// One loop's part, and what it could not be told for want of memory.
  struct Place {
    std::weak_ptr<GroupPart> part;  // for its loop's thread
    ReservedLetter letter;
    std::atomic<unsigned> wishes = 0;  // not 0: the letter is under way
  };

  // `hops`: how often it was sent before. If it is lost once for each loop, there is no memory.
  void send_to_least_loaded(Fd socket, Address peer, std::size_t hops = 0);
  void send_listener(std::size_t index, Fd socket, Address address, std::size_t hops = 0);
  void fulfil(std::size_t index, unsigned wishes);
  bool any_alive() const noexcept;
  void look_if_watched() noexcept;

  Settings settings_;
  Mailbox home_;
  Function<void()> look_;
  ReservedLetter look_letter_;  // what has gone must not need memory
  std::atomic<bool> look_posted_ = false;
  std::atomic<bool> closed_ = false;
  std::atomic<bool> refusing_ = false;
  std::atomic<bool> watched_ = false;
  std::atomic<std::size_t> connections_ = 0;
  std::atomic<std::size_t> listeners_ = 0;
  mutable std::mutex listening_lock_;
  std::vector<int> listening_;
  std::vector<Place> places_;  // one a loop
};

/// One loop's share of a server on many loops: its connections, and with SO_REUSEPORT the sockets
/// it listens on. The loop owns it while the server is open, then its connections do.
class GroupPart final : public ConnectionSet,
                        public std::enable_shared_from_this<GroupPart>,
                        private AcceptLoop::Owner,
                        private LoopResource {
 public:
  GroupPart(EventLoop& loop, std::shared_ptr<GroupTraffic> traffic, std::size_t index);
  ~GroupPart() override;

  /// Takes a connection that is counted already.
  void take(Fd socket, const Address& peer);
  void listen(Fd socket, Address address);
  /// Stops listening; lives on as long as it has connections.
  void close();
  /// There is room again.
  void resume();
  /// The loop is to own it from now on.
  void settle() { self_ = shared_from_this(); }

 private:
  void start(Socket socket, const Address& peer);
  void on_accepted(Socket socket, const Address& peer) override;
  bool has_room() const noexcept override { return traffic_->has_room(); }
  std::shared_ptr<void> keep_alive() override { return shared_from_this(); }
  void on_connection_left() override { traffic_->uncount_at(index_); }
  void on_loop_close() override;

  std::shared_ptr<GroupTraffic> traffic_;
  std::size_t index_;
  std::vector<std::unique_ptr<AcceptLoop>> accept_loops_;
  std::shared_ptr<GroupPart> self_;
};

}  // namespace ferry
