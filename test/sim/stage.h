#pragma once

#include "carrier.h"
#include "peer.h"
#include "watching.h"

#include <ferry/testing/seed.h>
#include <ferry/testing/trial.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ferry::test {

/// Where a scenario takes place: a trial, what its connections run over, the peers of a server and
/// its clients, and somebody who watches. Peers that belong together must have got from each other
/// all that was sent, or somebody must have been told.
class Stage {
 public:
  static constexpr std::uint8_t kProbe = 200;  ///< The connection that is made after all is over.

  Stage(testing::Trial& trial, Carrier carrier);
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage();

  testing::Trial& trial() noexcept { return trial_; }
  EventLoop& loop() noexcept { return trial_.loop(); }
  Carrier carrier() const noexcept { return carrier_; }
  Watching& watching() noexcept { return watching_; }
  testing::Seed& lot() noexcept { return lot_; }

  // -- plans: of the clients and of their servers, by number
  Plan client_plan{};
  Plan server_plan{};
  /// Called with each new plan, for what differs from connection to connection.
  Function<void(std::uint8_t number, bool client, Plan& plan)> vary;
  Plan plan_of(std::uint8_t number, bool client);
  /// Called for each peer when it is made, to set its hooks.
  Function<void(Peer& peer, bool client)> prepare;

  // -- peers
  std::shared_ptr<Peer> new_client();
  std::shared_ptr<Peer> new_server();
  ProtocolFactory server_factory();
  const std::vector<std::shared_ptr<Peer>>& clients() const noexcept { return clients_; }
  const std::vector<std::shared_ptr<Peer>>& servers() const noexcept { return servers_; }
  /// The server's end of that connection; null if it does not know its number (yet).
  Peer* partner(const Peer& client) const;
  /// One of all, by lot; null if there is none.
  Peer* any();

  // -- the usual course
  /// Makes the server. False: it could not be made.
  bool serve(ListenOptions options = {});
  const std::shared_ptr<Server>& server() const noexcept { return server_; }
  /// Makes so many connections to it at once, and does not wait for them.
  void connect(std::size_t count, ConnectOptions options = {});
  Future<Connection<>> connect_one(ConnectOptions options = {});
  /// Until all attempts are over and all connections are lost. Those that are still there after
  /// `limit` are aborted. In a calm world that is wrong; so it is in others, if they stay when all
  /// disturbances have ended and it was not the scenario that disturbed.
  void wait(Duration limit = std::chrono::minutes(5));
  /// Aborts what is open.
  void abort_all();
  /// Harm so far, or a clock that is not the simulation's, leaves open when something comes.
  bool exact() const noexcept { return trial_.simulated() && trial_.unharmed(); }
  /// That limit, which began at some time from `first` to `last`, has ended something: not earlier
  /// than it should, and where nothing harmful happened not much later. What `wait` would end
  /// without a word would be much later.
  void check_limit(const std::string& what, Duration limit, TimePoint first, TimePoint last,
                   TimePoint end);
  /// All disturbances end, and a new connection must work. Then everything is taken down and
  /// compared.
  void finish();
  /// The parts of that.
  void probe();
  void take_down();
  void compare();
  /// Somebody else than the two ends of a connection was told that bytes are missing.
  void excuse() noexcept { excused_ = true; }
  /// What a scenario does to its connections is over: what comes now must work. `probe` says so.
  void be_quiet() noexcept { quiet_ = true; }
  bool quiet() const noexcept { return quiet_; }
  /// Between the two ends is somebody to whom the client speaks without TLS.
  void client_is_plain() noexcept { tells_reader_ = false; }

 private:
  bool all_lost_within(Duration limit);
  void compare_direction(const Peer& from, const Peer& to, const char* what);

  testing::Trial& trial_;
  Carrier carrier_;
  /// With TLS an end that is not the writer's is told to the reader, whatever the writer knows.
  bool tells_reader_;
  Watching watching_;
  testing::Seed lot_;
  std::shared_ptr<Server> server_;
  std::vector<std::shared_ptr<Peer>> clients_;
  std::vector<std::shared_ptr<Peer>> servers_;
  std::vector<Future<Connection<>>> connecting_;
  std::uint8_t next_number_ = 0;
  std::vector<testing::FaultGuard> guards_;
  bool probing_ = false;
  bool quiet_ = false;
  bool excused_ = false;
};

/// One scenario for each of the carriers.
void add_staged(std::vector<testing::Scenario>& all, const std::string& name,
                std::span<const Carrier> carriers, void (*play)(Stage&),
                testing::Troubles troubles = {});

/// Calls `what` again and again, after times drawn by lot of up to `between`, `times` times, and no
/// more once the stage is quiet.
class Ticker {
 public:
  Ticker(Stage& stage, Duration between, std::size_t times, Function<void()> what);

 private:
  void next();
  Stage& stage_;
  Duration between_;
  std::size_t left_;
  Function<void()> what_;
  Timer timer_;
};

}  // namespace ferry::test
