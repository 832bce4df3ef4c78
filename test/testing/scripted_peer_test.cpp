#include <ferry/testing/memory_pair.h>
#include <ferry/testing/recording_protocol.h>
#include <ferry/testing/scripted_peer.h>

#include "socket_pair.h"
#include "world.h"

#include <ferry/connect.h>

#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace ferry::test {
namespace {

using namespace std::chrono_literals;
using testing::MemoryPair;
using testing::RecordingProtocol;
using testing::ScriptedPeer;
using testing::SimLink;

using Protocols = std::shared_ptr<RecordingProtocol>;

/// A scripted server and a recording client, in both worlds.
class ScriptedPeerTest : public LoopTest {
 protected:
  void TearDown() override {
    peer = ScriptedPeer();
    client.reset();
    LoopTest::TearDown();
  }

  ScriptedPeer peer;
  Protocols client = std::make_shared<RecordingProtocol>();

  void start() { connect_to(peer.listen(loop())); }
  void connect_to(const Address& address) {
    ConnectOptions options;
    options.host = address.host();
    options.port = address.port();
    connecting_ = create_connection(
        loop(), [this]() -> std::shared_ptr<Protocol> { return client; }, std::move(options));
    run_until([&] { return client->made(); });
    connecting_ = {};
  }
  void reset_client() {
    loop().kernel().set_option(client->transport()->native_handle(), SOL_SOCKET, SO_LINGER, 0);
    client->abort();
  }
  void run_to_end() {
    run_until([&] { return peer.done(); }, 60s);
  }
  void expect_well() {
    run_to_end();
    EXPECT_EQ(peer.complaint(), "");
  }
  void expect_complaint(const std::string& complaint) {
    run_to_end();
    EXPECT_EQ(peer.complaint(), complaint);
  }

 private:
  Future<Connection<>> connecting_;
};
INSTANTIATE_TEST_SUITE_P(Worlds, ScriptedPeerTest, ::testing::ValuesIn(kWorlds), world_name);

class ScriptedPeerSim : public ScriptedPeerTest {};
INSTANTIATE_TEST_SUITE_P(World, ScriptedPeerSim, ::testing::Values(World::sim), world_name);

// -- what goes well

TEST_P(ScriptedPeerTest, AServerFollowsItsScript) {
  peer.expect("HELLO\r\n").send("OK\r\n").expect("BYE\r\n").expect_eof().send("bye").shutdown();
  start();
  client->on_data = [&](BytesView) {
    client->write("BYE\r\n");
    client->transport()->write_eof();
    client->on_data = nullptr;
  };
  client->write("HELLO\r\n");
  expect_well();
  run_until([&] { return client->eof(); });
  EXPECT_EQ(client->data(), "OK\r\nbye");
}

TEST_P(ScriptedPeerTest, AClientFollowsItsScript) {
  testing::RecordingFactory<> made;
  made.prepare = [](RecordingProtocol& protocol) {
    protocol.on_data = [&protocol](BytesView data) { protocol.write(data); };
  };
  ListenOptions options;
  options.hosts = {"127.0.0.1"};
  const auto server =
      loop().run_until_complete(create_server(loop(), made.factory(), std::move(options)));
  peer.send("one").expect("one").send("two").expect("two").close();
  peer.connect(loop(), server->sockets()[0]);
  expect_well();
  run_until([&] { return made.at(0).lost(); });
  EXPECT_EQ(made.at(0).data(), "onetwo");
  EXPECT_FALSE(made.at(0).error());
  server->close();
}

TEST_P(ScriptedPeerTest, AClientConnectsToAUnixSocket) {
  const Address address = unused_unix_address();
  ScriptedPeer server;
  server.expect("x").send("y").expect_eof().close();
  server.listen(loop(), address);
  peer.send("x").expect("y").close();
  peer.connect(loop(), address);
  expect_well();
  run_until([&] { return server.done(); });
  EXPECT_EQ(server.complaint(), "");
}

TEST_P(ScriptedPeerTest, AnExpectationMayComeInAnyPieces) {
  peer.expect("abc").expect("def").expect("g").close();
  start();
  client->write("a");
  tick();
  client->write("bcd");
  tick();
  client->write("efg");
  expect_well();
}

TEST_P(ScriptedPeerTest, WhatIsTakenIsGivenToTheTest) {
  std::string head;
  std::string body;
  peer.take_until("\r\n\r\n", &head).take(5, &body).take(2).expect("!").close();
  start();
  client->write("GET /\r\nDate: to");
  tick();
  client->write("day\r\n\r");
  tick();
  client->write("\n12345xx!");
  expect_well();
  EXPECT_EQ(head, "GET /\r\nDate: today\r\n\r\n");
  EXPECT_EQ(body, "12345");
}

TEST_P(ScriptedPeerTest, ACallMayAddWhatComesNext) {
  std::string word;
  peer.take(3, &word).call([&] { peer.send("you said " + word).send("!"); }).expect("bye").close();
  start();
  client->write("yes");
  run_until([&] { return client->data() == "you said yes!"; });
  client->write("bye");
  expect_well();
}

TEST_P(ScriptedPeerTest, AScriptAtItsEndGoesOnWhenStepsAreAdded) {
  peer.expect("a");
  start();
  client->write("a");
  expect_well();
  peer.send("b");
  EXPECT_FALSE(peer.done());
  run_until([&] { return client->data() == "b"; });
  peer.expect("c").close();
  client->write("c");
  expect_well();
}

TEST_P(ScriptedPeerTest, FinishedIsAFuture) {
  peer.expect("a").close();
  const Address address = peer.listen(loop());
  const Future<bool> finished = peer.finished(loop());
  connect_to(address);
  client->write("a");
  EXPECT_TRUE(loop().run_until_complete(finished));
  EXPECT_TRUE(loop().run_until_complete(peer.finished(loop()))) << "it is at its end already";
}

TEST_P(ScriptedPeerTest, AResetArrivesAsSuch) {
  peer.expect("a").reset();
  start();
  client->write("a");
  expect_well();
  run_until([&] { return client->lost(); });
  EXPECT_EQ(client->error(), std::errc::connection_reset);
  EXPECT_FALSE(client->eof());
}

TEST_P(ScriptedPeerTest, AResetMayBeExpected) {
  peer.expect("a").call([&] { reset_client(); }).expect_reset();
  start();
  client->write("a");
  expect_well();
}

TEST_P(ScriptedPeerTest, APeerThatWaitsDoesNotRead) {
  peer.expect("a").wait(20ms).take(10'000'000).close();
  start();
  client->keep_data = false;
  client->write("a");
  std::size_t written = 0;
  run_until([&] {
    while (!client->writing_paused() && written < 10'000'000) {
      client->write(std::string(10'000, 'x'));
      written += 10'000;
    }
    return client->writing_paused() || written == 10'000'000;
  });
  EXPECT_LT(written, 10'000'000u) << "the kernel has not so much room";
  run_until([&] {
    while (!client->writing_paused() && written < 10'000'000) {
      client->write(std::string(10'000, 'x'));
      written += 10'000;
    }
    return peer.done();
  });
  expect_well();
}

TEST_P(ScriptedPeerTest, ASendIsDoneWhenAllIsTaken) {
  const std::string much(10'000'000, 'y');
  peer.send(much).close();
  client->on_made = [&] { client->pause_reading(); };
  start();
  run_for(10ms);
  EXPECT_FALSE(peer.done());
  client->resume_reading();
  expect_well();
  run_until([&] { return client->lost(); });
  EXPECT_TRUE(client->data() == much);
}

TEST_P(ScriptedPeerSim, EachSendIsAWriteOfItsOwnAndSlowOnesComeInPieces) {
  peer.send("ab").wait(0s).send("cd").wait(50ms).send_slowly("12345", 10ms, 2).close();
  const TimePoint begun = loop().time();
  start();
  expect_well();
  run_until([&] { return client->lost(); });
  EXPECT_EQ(client->events(), (std::vector<std::string>{"made", "data:2", "data:2", "data:2",
                                                        "data:2", "data:1", "eof", "lost:ok"}));
  EXPECT_EQ(loop().time() - begun, 80ms);
}

TEST_P(ScriptedPeerSim, ItIsOneOfTwoThatAreJoinedInMemory) {
  peer.expect("question").send_slowly("answer", 1s).expect_eof().close();
  const auto near = std::make_shared<RecordingProtocol>();
  MemoryPair pair(near, peer.protocol(), {.link = SimLink{.pieces = SimLink::Pieces::single}});
  near->write("question");
  EXPECT_TRUE(pair.run_until([&] { return near->bytes() == 6; }));
  EXPECT_EQ(pair.elapsed(), 5s);
  near->close();
  EXPECT_TRUE(pair.run());
  EXPECT_EQ(peer.complaint(), "");
  EXPECT_EQ(near->summary(), "made data:6 lost:ok");
}

// -- what goes wrong

TEST_P(ScriptedPeerTest, AWrongByteIsShownWithItsPlace) {
  peer.expect("first\r\n").expect("HELLO\r\n").send("OK\r\n");
  start();
  client->write("first\r\nHELP\r\n");
  expect_complaint(
      "step 2 of 3, expect \"HELLO\\r\\n\": byte 3 is another one (byte 10 of all that came)\n"
      "  expected \"HELLO\\r\\n\"\n"
      "  got      \"HELP\\r\\n\"");
  run_until([&] { return client->lost(); });
  EXPECT_EQ(client->data(), "") << "no step after it is done";
}

TEST_P(ScriptedPeerTest, OfLongBytesThePlaceIsShown) {
  std::string text(1000, '.');
  text += "abc\n" + std::string(1000, '.');
  peer.expect(text);
  start();
  text[1001] = '\x01';
  client->write(text);
  run_to_end();
  const std::string complaint = peer.complaint();
  EXPECT_NE(complaint.find("byte 1001 is another one"), std::string::npos) << complaint;
  const std::string before = "...\"" + std::string(19, '.');
  EXPECT_NE(complaint.find("\n  expected " + before + "abc\\n..."), std::string::npos) << complaint;
  EXPECT_NE(complaint.find("\n  got      " + before + "a\\x01c\\n..."), std::string::npos)
      << complaint;
}

TEST_P(ScriptedPeerTest, AWrongByteIsToldBeforeTheRestHasCome) {
  peer.expect("HELLO\r\n");
  start();
  client->write("HA");
  run_to_end();
  EXPECT_NE(peer.complaint().find("byte 1 is another one"), std::string::npos);
}

TEST_P(ScriptedPeerTest, AnEarlyEndIsAComplaint) {
  peer.expect("HELLO\r\n");
  start();
  client->write("HE");
  client->transport()->write_eof();
  expect_complaint(
      "step 1 of 1, expect \"HELLO\\r\\n\": the other side ended after 2 bytes of 7: \"HE\"");
}

TEST_P(ScriptedPeerTest, ALossIsAComplaint) {
  peer.expect("a").call([&] { reset_client(); }).take(3);
  start();
  client->write("a");
  expect_complaint(
      "step 3 of 3, take 3 bytes: the connection was lost (Connection reset by peer) after 0 "
      "bytes of 3");
}

TEST_P(ScriptedPeerTest, BytesInPlaceOfTheEndAreAComplaint) {
  peer.expect("a").expect_eof();
  start();
  client->write("abc\n");
  expect_complaint("step 2 of 2, expect the end: 3 bytes, \"bc\\n\", came");
}

TEST_P(ScriptedPeerTest, AnOrderlyEndInPlaceOfAResetIsAComplaint) {
  peer.expect_reset();
  start();
  client->close();
  expect_complaint("step 1 of 1, expect a reset: it ended in an orderly way");
}

TEST_P(ScriptedPeerTest, BytesAfterTheLastStepAreAComplaint) {
  peer.expect("a");
  start();
  client->write("abc");
  expect_complaint("2 bytes, \"bc\", came after the last step");
}

TEST_P(ScriptedPeerTest, StepsThatAreNotDoneAreAComplaint) {
  EXPECT_EQ(peer.complaint(), "");
  peer.expect("abc").send("d");
  EXPECT_EQ(peer.complaint(), "no connection was made");
  start();
  client->write("ab");
  run_until([&] { return client->transport()->get_write_buffer_size() == 0; });
  run_for(10ms);
  EXPECT_FALSE(peer.done());
  EXPECT_EQ(peer.complaint(),
            "step 1 of 2, expect \"abc\": not done; 2 bytes, \"ab\", came so far");
}

TEST_P(ScriptedPeerTest, SendingAfterTheEndIsAComplaint) {
  peer.close().send("x");
  start();
  expect_complaint("step 2 of 2, send \"x\": the connection is over");
}

TEST_P(ScriptedPeerTest, SendingAfterShutdownIsAComplaint) {
  peer.shutdown().send("x");
  start();
  run_to_end();
  EXPECT_NE(peer.complaint().find("step 2 of 2, send \"x\": "), std::string::npos);
}

TEST_P(ScriptedPeerTest, WhatACallThrowsIsAComplaint) {
  peer.call([] { throw std::runtime_error("no more"); }).send("x");
  start();
  expect_complaint("step 1 of 2, call: no more");
}

TEST_P(ScriptedPeerTest, ARefusedConnectIsAComplaint) {
  const Address nobody = RawListener(loop().kernel()).address();
  peer.send("x");
  peer.connect(loop(), nobody);
  run_to_end();
  EXPECT_NE(peer.complaint().find("Connection refused"), std::string::npos) << peer.complaint();
  EXPECT_NE(peer.complaint().find(nobody.to_string()), std::string::npos) << peer.complaint();
}

TEST_P(ScriptedPeerSim, SilenceIsNoByteAndNoEnd) {
  const TimePoint begun = loop().time();
  peer.expect("a").expect_silence(3s).send("b").expect_eof().expect_silence(1s).close();
  start();
  client->write("a");
  run_until([&] { return client->data() == "b"; });
  EXPECT_EQ(loop().time() - begun, 3s);
  client->transport()->write_eof();
  expect_well();
  EXPECT_EQ(loop().time() - begun, 4s);
}

TEST_P(ScriptedPeerTest, WhatBreaksTheSilenceIsAComplaint) {
  peer.expect("a").expect_silence(1h);
  start();
  client->write("ab");
  expect_complaint("step 2 of 2, expect silence for 3600 s: 1 byte, \"b\", came");
  ScriptedPeer other;
  other.expect_silence(1h);
  const Address address = other.listen(loop());
  client = std::make_shared<RecordingProtocol>();
  connect_to(address);
  client->close();
  run_until([&] { return other.done(); });
  EXPECT_EQ(other.complaint(), "step 1 of 1, expect silence for 3600 s: the other side ended");
}

TEST_P(ScriptedPeerSim, EachStepHasALimitOfTime) {
  peer = ScriptedPeer(500ms);
  peer.expect("abc");
  start();
  client->write("a");
  expect_complaint("step 1 of 1, expect \"abc\": no more than 1 byte, \"a\", within 500 ms");
  for (const int steps : {1, 2}) {
    ScriptedPeer waits(500ms);
    if (steps == 2) waits.wait(10s);
    waits.expect("abc");
    const Address address = waits.listen(loop());
    client = std::make_shared<RecordingProtocol>();
    connect_to(address);
    const TimePoint begun = loop().time();
    run_until([&] { return waits.done(); }, 1min);
    EXPECT_EQ(loop().time() - begun, steps == 2 ? 10'500ms : 500ms);
    EXPECT_NE(waits.complaint().find("nothing came within 500 ms"), std::string::npos);
  }
}

TEST_P(ScriptedPeerSim, AnOtherSideThatDoesNotReadIsAComplaint) {
  peer.send(std::string(100'000, 'x'));
  client->on_made = [&] { client->pause_reading(); };
  start();
  run_to_end();
  const std::string complaint = peer.complaint();
  EXPECT_NE(complaint.find("the other side took too little within 10 s: 34464 bytes are left"),
            std::string::npos)
      << complaint;
}

TEST_P(ScriptedPeerSim, AConnectionThatDoesNotComeIsAComplaint) {
  peer.expect("x");
  peer.listen(loop());
  const TimePoint begun = loop().time();
  expect_complaint("no connection within 10 s");
  EXPECT_EQ(loop().time() - begun, 10s);
  ScriptedPeer other(1s);
  other.connect(loop(), *Address::ip("192.0.2.1", 80));
  other.expect("x");
  run_until([&] { return other.done(); });
  EXPECT_EQ(other.complaint(), "no connection within 1 s");
}

// -- lifetimes

TEST_P(ScriptedPeerTest, ItMayGoAtAnyTime) {
  { ScriptedPeer().listen(loop()); }
  { ScriptedPeer().connect(loop(), RawListener(loop().kernel()).address()); }
  {
    ScriptedPeer gone;
    gone.expect("a").wait(1h);
    connect_to(gone.listen(loop()));
    client->write("a");
    tick(10);
  }
  run_until([&] { return client->lost(); });
}

TEST_P(ScriptedPeerTest, ItMayGoInsideItsOwnCall) {
  auto own = std::make_unique<ScriptedPeer>();
  own->wait(1ms).call([&] { own.reset(); }).send("x");
  connect_to(own->listen(loop()));
  run_until([&] { return client->lost(); });
  EXPECT_EQ(client->data(), "");
}

TEST_P(ScriptedPeerTest, TheLoopMayGoFirst) {
  ScriptedPeer listening;
  listening.expect("x");
  listening.listen(loop());
  peer.expect("x").wait(1h);
  start();
  close_loop();
  EXPECT_NE(peer.complaint().find("step 1 of 2, expect \"x\": the connection was lost"),
            std::string::npos)
      << peer.complaint();
  EXPECT_EQ(listening.complaint(), "no connection was made");
}

}  // namespace
}  // namespace ferry::test
