// Every callback x everything a program may do in it. Afterwards the contract was kept, the
// connection ended, and nothing is left.
#include "far_side.h"
#include "stream_fixture.h"
#include "subject.h"

#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace ferry::test {

/// One test of the table, in the middle.
struct Scene {
  EventLoop& loop;
  Story& story;
  /// Takes the subject's place in some tests.
  Story& successor;
  std::shared_ptr<Protocol>& held;
  std::shared_ptr<RecordingProtocol>& other;
};

struct Action {
  const char* name;
  void (*run)(Scene&);
};

/// A copy: an action may drop the story's reference while it uses the transport.
std::shared_ptr<Transport> transport_of(Scene& scene) {
  return scene.story.transport;
}

void close(Scene& scene) {
  const auto transport = transport_of(scene);
  const auto scope = scene.story.checker.close();
  transport->close();
}

void abort(Scene& scene) {
  const auto transport = transport_of(scene);
  const auto scope = scene.story.checker.abort();
  transport->abort();
}

void write(Scene& scene, std::size_t size) {
  const auto transport = transport_of(scene);
  const auto scope = scene.story.checker.write();
  transport->write(pattern(size));
}

void replace_protocol(Scene& scene) {
  const auto transport = transport_of(scene);
  scene.successor.checker.adopt();
  if (scene.story.checker.writing_paused()) {
    const auto scope = scene.successor.checker.pause_writing();
  }
  scene.successor.transport = transport;
  transport->set_protocol(std::make_shared<Subject>(scene.successor));
  scene.held.reset();
  scene.story.transport.reset();
}

struct NotAStdException {};

const Action kActions[] = {
    {"DoNothing", [](Scene&) {}},
    {"Close", close},
    {"CloseTwice", [](Scene& s) { close(s), close(s); }},
    {"Abort", abort},
    {"CloseThenAbort", [](Scene& s) { close(s), abort(s); }},
    {"Write", [](Scene& s) { write(s, 10); }},
    {"WriteMuch", [](Scene& s) { write(s, 1'000'000); }},
    {"WriteThenClose", [](Scene& s) { write(s, 200'000), close(s); }},
    {"WriteThenAbort", [](Scene& s) { write(s, 200'000), abort(s); }},
    {"CloseThenWrite", [](Scene& s) { close(s), write(s, 200'000); }},
    {"Writelines",
     [](Scene& s) {
       const std::string big = pattern(100'000);
       const auto scope = s.story.checker.write();
       transport_of(s)->writelines({"a", big, "", big, "b"});
     }},
    {"WriteEof", [](Scene& s) { transport_of(s)->write_eof(); }},
    {"WriteThenWriteEofThenClose",
     [](Scene& s) {
       write(s, 100'000);
       transport_of(s)->write_eof();
       close(s);
     }},
    {"PauseReading",
     [](Scene& s) {
       const auto scope = s.story.checker.pause_reading();
       transport_of(s)->pause_reading();
     }},
    {"PauseAndResumeReading",
     [](Scene& s) {
       transport_of(s)->pause_reading();
       transport_of(s)->resume_reading();
     }},
    {"LowerTheWriteLimits",
     [](Scene& s) {
       const auto scope = s.story.checker.write();  // as write, it may call pause_writing
       transport_of(s)->set_write_buffer_limits(0);
     }},
    {"DropTheTransport", [](Scene& s) { s.story.transport.reset(); }},
    {"DropTheProtocol", [](Scene& s) { s.held.reset(); }},
    {"DropBothAndClose",
     [](Scene& s) {
       close(s);
       s.held.reset();
       s.story.transport.reset();
     }},
    {"DropBothAndAbort",
     [](Scene& s) {
       abort(s);
       s.held.reset();
       s.story.transport.reset();
     }},
    {"ReplaceTheProtocol", replace_protocol},
    {"CloseAndReplaceTheProtocol", [](Scene& s) { transport_of(s)->close(), replace_protocol(s); }},
    {"AbortAndReplaceTheProtocol", [](Scene& s) { transport_of(s)->abort(), replace_protocol(s); }},
    {"ReplaceTheProtocolByItself",
     [](Scene& s) { transport_of(s)->set_protocol(transport_of(s)->get_protocol()); }},
    {"StopTheLoop", [](Scene& s) { s.loop.stop(); }},
    {"CloseAndStopTheLoop", [](Scene& s) { close(s), s.loop.stop(); }},
    {"CloseTheLoop", [](Scene& s) { EXPECT_THROW(s.loop.close(), std::logic_error); }},
    {"RunTheLoop", [](Scene& s) { EXPECT_THROW(s.loop.run_forever(), std::logic_error); }},
    {"Throw", [](Scene&) { throw std::runtime_error("thrown by the test"); }},
    {"ThrowSomethingElse", [](Scene&) { throw NotAStdException(); }},
    {"CloseAndThrow", [](Scene& s) { close(s), throw std::runtime_error("thrown by the test"); }},
    {"AbortAndThrow", [](Scene& s) { abort(s), throw std::runtime_error("thrown by the test"); }},
    {"WriteAndThrow",
     [](Scene& s) { write(s, 200'000), throw std::runtime_error("thrown by the test"); }},
    {"PauseReadingAndThrow",
     [](Scene& s) {
       const auto scope = s.story.checker.pause_reading();
       transport_of(s)->pause_reading();
       throw std::runtime_error("thrown by the test");
     }},
    {"ReplaceAndThrow",
     [](Scene& s) { replace_protocol(s), throw std::runtime_error("thrown by the test"); }},
    {"CloseAnother", [](Scene& s) { s.other->close(); }},
    {"AbortAnotherAndDropIt", [](Scene& s) { s.other->abort(), s.other.reset(); }},
};

struct TableEntry {
  StreamWorld world;
  bool tls;
  Stage stage;
  const Action* action;
};

std::vector<TableEntry> table() {
  std::vector<TableEntry> entries;
  for (const StreamWorld& world : kStreamWorlds) {
    for (const bool tls : {false, true}) {
      if (tls && world.wire != Wire::tcp) continue;  // it asks nothing of what is below
      for (const Stage stage : kStages) {
        for (const Action& action : kActions) entries.push_back({world, tls, stage, &action});
      }
    }
  }
  return entries;
}

class LifetimeTable : public StreamFixture, public ::testing::WithParamInterface<TableEntry> {
 protected:
  World world() const override { return GetParam().world.world; }
  Wire wire() const override { return GetParam().world.wire; }

  bool named(const char* part) const {
    return std::string(GetParam().action->name).find(part) != std::string::npos;
  }
  /// Connects `held`, connection_made having returned, unless its story goes on before that.
  std::unique_ptr<FarSide> connect(const std::shared_ptr<Protocol>& held, const Story& story);
  /// Makes the callback happen.
  void provoke(Story& story, Stage stage, FarSide& far);
};

std::unique_ptr<FarSide> LifetimeTable::connect(const std::shared_ptr<Protocol>& held,
                                                const Story& story) {
  ConnectedSockets sockets = connect_sockets();
  auto far = GetParam().tls ? tls_far_side(sockets.far) : plain_far_side(sockets.far);
  const auto connected = connect_accepted_socket(
      loop(), [held] { return held; }, sockets.near, far->wrap());
  run_until([&] {
    far->pump();
    return connected.done() || story.acted;
  });
  return far;
}

void LifetimeTable::provoke(Story& story, Stage stage, FarSide& far) {
  switch (stage) {
    case Stage::made:
      return;
    case Stage::data:
    case Stage::get_buffer:
    case Stage::buffer_updated:
      return far.send("some bytes");
    case Stage::eof:
      return far.send_eof();
    case Stage::lost: {
      {
        const auto scope = story.checker.close();
        story.transport->close();
      }
      return far.send_eof();  // which TLS waits for
    }
    case Stage::pause:
    case Stage::resume: {
      kernel().block_sends();
      {
        const auto scope = story.checker.write();
        // The action may drop the story's reference.
        const auto transport = story.transport;
        transport->write(pattern(transport->get_write_buffer_limits().high + 1));
      }
      if (stage == Stage::resume) kernel().release_sends();
      return;
    }
  }
}

TEST_P(LifetimeTable, NothingIsLeft) {
  const Stage stage = GetParam().stage;
  Story story;
  Story successor;
  story.stage = stage;
  successor.stage = Stage::made;  // which it never hears
  story.keep_open_on_eof = named("Write") || named("Replace");
  auto other = recording();
  Link bystander = open(other);
  std::shared_ptr<Protocol> held = make_subject(story);
  const std::weak_ptr<Protocol> protocol = held;
  std::weak_ptr<Transport> transport;
  Scene scene{loop(), story, successor, held, other};
  story.act = [&] {
    transport = story.transport;
    GetParam().action->run(scene);
  };

  const std::unique_ptr<FarSide> far = connect(held, story);
  if (!story.acted) transport = story.transport;
  held.reset();
  if (named("Drop")) held = protocol.lock();
  // From the loop, as a program would.
  loop().call_soon([&] { provoke(story, stage, *far); });
  run_until([&] {
    far->pump();
    return story.acted;
  });
  ASSERT_TRUE(story.acted);
  kernel().release_sends();
  settle();

  // The end: the peer leaves; whoever does not hear of it, as it does not read, is aborted.
  far->pump();
  far->close();
  settle();
  if (const auto still = transport.lock(); still && !still->is_closing()) {
    const auto scope = story.checker.abort();
    still->abort();
  }
  held.reset();
  run_until([&] { return story.checker.lost() || successor.checker.lost(); });
  tick();

  const bool replaced = named("ReplaceTheProtocol") && !named("ByItself");
  const bool replaced_and_threw = named("ReplaceAndThrow");
  if ((replaced || replaced_and_threw) && stage != Stage::lost) {
    EXPECT_EQ(story.checker.violations(), std::vector<std::string>());
    EXPECT_EQ(successor.checker.final_violations(), std::vector<std::string>());
    EXPECT_TRUE(successor.checker.lost());
  } else {
    EXPECT_EQ(story.checker.final_violations(), std::vector<std::string>());
  }
  const bool threw = named("Throw");
  EXPECT_EQ(take_exceptions().size(), threw ? 1u : 0u);
  EXPECT_EQ(story.act_returned, !threw);
  if (threw && stage != Stage::lost && !named("Close") && !named("Abort")) {
    EXPECT_EQ(replaced_and_threw ? successor.error : story.error, errc::protocol_failed);
  }
  story.transport.reset();
  successor.transport.reset();
  EXPECT_TRUE(protocol.expired()) << "the protocol leaked";
  EXPECT_TRUE(transport.expired()) << "the transport leaked";
  if (other && !other->lost()) {
    other->write("still alive");
    run_until_received(*bystander.peer, 11);
    EXPECT_EQ(bystander.peer->received(), "still alive");
    other->abort();
  }
  tick();
  bystander.transport.reset();
  EXPECT_EQ(loop().stats().transports, 0u);
  EXPECT_EQ(loop().stats().operations, 0u);
  take_log();
}

INSTANTIATE_TEST_SUITE_P(Callback, LifetimeTable, ::testing::ValuesIn(table()),
                         [](const ::testing::TestParamInfo<TableEntry>& entry) {
                           const StreamWorld& world = entry.param.world;
                           return stream_world_name({world, 0}) + (entry.param.tls ? "Tls_" : "_") +
                                  to_string(entry.param.stage) + "_" + entry.param.action->name;
                         });

}  // namespace ferry::test
