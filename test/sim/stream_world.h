#pragma once

#include "carrier.h"

#include <ferry/async.h>
#include <ferry/streams.h>
#include <ferry/testing/pattern_stream.h>
#include <ferry/testing/trial.h>

#include <memory>
#include <string>
#include <vector>

namespace ferry::test {

/// One connection to the server of a scenario: what was sent each way, and what came of it.
struct Visit {
  explicit Visit(std::uint16_t n)
      : number(n),
        up_sent(static_cast<std::uint16_t>(2 * n)),
        down_sent(static_cast<std::uint16_t>(2 * n + 1)),
        up_got(up_sent.id()),
        down_got(down_sent.id()) {}

  const std::uint16_t number;
  testing::PatternWriter up_sent;
  testing::PatternWriter down_sent;
  testing::PatternReader up_got;
  testing::PatternReader down_got;
  bool told = false;  ///< One of the two ends heard of a failure, or gave up: bytes may be missing.
};
using VisitPtr = std::shared_ptr<Visit>;

struct Scene;
using ScenePtr = std::shared_ptr<Scene>;
/// One end of a visit.
using VisitSide = Coro<> (*)(ScenePtr, VisitPtr, Stream);

/// What the tasks of a scenario with streams share, and hold as long as they live.
struct Scene {
  Scene(testing::Trial& t, Carrier over) : trial(t), carrier(over), lot(t.lot()) {}

  testing::Trial& trial;  // outlives its loop, and so all tasks
  const Carrier carrier;
  testing::Seed lot;
  std::shared_ptr<Server> server;
  std::vector<VisitPtr> visits;
  VisitSide serve = nullptr;
  VisitSide call = nullptr;
  std::size_t server_limit = StreamReader::kDefaultLimit;
  std::size_t client_limit = StreamReader::kDefaultLimit;
  std::size_t unnamed = 0;  ///< Connections that failed at the server before it knew which visit.

  /// For each wait that something harmful may make endless.
  Duration patience() const;
};

struct StreamPlay {
  VisitSide serve;  ///< In the server.
  VisitSide call;   ///< In the client.
  std::size_t visits = 2;
  std::size_t server_limit = StreamReader::kDefaultLimit;
  std::size_t client_limit = StreamReader::kDefaultLimit;
};

/// Clients visit a server, all at once; then all is healed, and one more visit must succeed. Either
/// end's failure must be one of those that may be, and what was sent must have arrived unless one
/// end was told. In a calm world nothing fails.
void play_streams(testing::Trial& trial, Carrier carrier, StreamPlay play);

// -- for scenarios that are different

/// Closes the server when a scope ends, however it does.
class Closing {
 public:
  explicit Closing(std::shared_ptr<Server> server) noexcept : server_(std::move(server)) {}
  Closing(const Closing&) = delete;
  Closing& operator=(const Closing&) = delete;
  ~Closing();

 private:
  std::shared_ptr<Server> server_;
};

/// Listens with that handler; throws as start_server. Scene::server is for the caller to set.
Coro<std::shared_ptr<Server>> listen(ScenePtr scene, StreamHandler handler);
/// Connects to the server.
Coro<Stream> dial(ScenePtr scene);
/// Runs `work`; what a program may be told of by an exception is reported, anything else is wrong.
/// True if there was none.
Coro<bool> reporting(testing::Trial* trial, Coro<> work);
/// Runs `work`, which must not fail.
Coro<> must(testing::Trial* trial, std::string what, Coro<> work);
/// Runs `work` as a task until nothing is left of it: no task, no transport.
void play_out(testing::Trial& trial, Coro<> work);
/// Closes the stream and waits for its end.
Coro<> leave(ScenePtr scene, Stream stream);

}  // namespace ferry::test
