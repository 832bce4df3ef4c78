#pragma once

#include <ferry/address.h>
#include <ferry/connect.h>
#include <ferry/event_loop.h>
#include <ferry/protocol.h>
#include <ferry/server.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace ferry::testing {

class Script;

/// The other side of one connection, which does what a script says, for tests of what a client or a
/// server puts on the wire and how it bears what it is sent:
///
///     ScriptedPeer peer;
///     peer.expect("HELLO\r\n").send("OK\r\n").wait(50ms).send_slowly("BYE\r\n").expect_eof().close();
///     my_client.connect(peer.listen(loop));
///     loop.run_until_complete(peer.finished(loop));
///     EXPECT_EQ(peer.complaint(), "");
///
/// It is a server (`listen`), a client (`connect`), or one of two joined in memory (`protocol`), on
/// any loop, simulated or real. Steps are done one after the other; each `send` is a write of its
/// own. What the connection brings is read only while a step expects something, and after the last
/// one: a peer that waits is one that does not read. The first step that is not as the script says
/// ends the script and aborts the connection.
///
/// Steps may be added as long as it lives; a script that was at its end goes on then. For the
/// loop's thread. The destructor aborts the connection if it is open.
class ScriptedPeer {
 public:
  /// How long the connection may take to come, and then each step that depends on the other side;
  /// on the loop's clock.
  explicit ScriptedPeer(Duration limit = std::chrono::seconds(10));
  ScriptedPeer(ScriptedPeer&&) noexcept;
  ScriptedPeer& operator=(ScriptedPeer&&) noexcept;
  ~ScriptedPeer();

  // -- the script: what comes
  /// These bytes are what comes next, in whatever pieces.
  ScriptedPeer& expect(BytesView bytes);
  /// So many bytes, whatever they are. `into`, if there is one, gets them, and must live till then.
  ScriptedPeer& take(std::size_t size, std::string* into = nullptr);
  /// Whatever comes, up to the first `end` and with it.
  ScriptedPeer& take_until(std::string_view end, std::string* into = nullptr);
  /// The other side sends no more: nothing but its FIN comes next.
  ScriptedPeer& expect_eof();
  /// The other side resets the connection, without a FIN before.
  ScriptedPeer& expect_reset();
  /// For so long nothing comes, no end either.
  ScriptedPeer& expect_silence(Duration time);

  // -- what is sent
  /// Done when the kernel has taken it all.
  ScriptedPeer& send(BytesView bytes);
  /// In pieces of that size, with a pause after each.
  ScriptedPeer& send_slowly(BytesView bytes, Duration pause = std::chrono::milliseconds(1),
                            std::size_t piece = 1);
  /// FIN. Reading goes on.
  ScriptedPeer& shutdown();
  /// Closes, as Transport does; done when the connection is over.
  ScriptedPeer& close();
  /// RST: closes with SO_LINGER 0 (socket(7)).
  ScriptedPeer& reset();

  // -- what else
  /// Does nothing for so long; reads nothing.
  ScriptedPeer& wait(Duration time);
  /// Calls something. Steps that `f` adds to this script come right behind this one. What it throws
  /// is a complaint.
  ScriptedPeer& call(Function<void()> f);

  // -- the connection, one of them
  /// Listens for one connection; gives the address, with the port it got. Throws
  /// std::system_error.
  Address listen(EventLoop& loop, const Address& at = Address::loopback(0), ProtocolWrap wrap = {});
  void connect(EventLoop& loop, const Address& to, ProtocolWrap wrap = {});
  /// Its protocol, to be joined by somebody else: `MemoryPair pair(client, peer.protocol())`.
  std::shared_ptr<Protocol> protocol() const;
  /// Null before the connection.
  std::shared_ptr<Transport> transport() const;

  // -- the outcome
  /// All steps are done, or one went wrong.
  bool done() const noexcept;
  /// Done when `done`; true if all is well so far.
  Future<bool> finished(EventLoop& loop);
  /// What is wrong: a step that went wrong, steps that are not done, bytes that came after the
  /// last one. Empty if nothing is.
  std::string complaint() const;

 private:
  std::shared_ptr<Script> script_;
};

}  // namespace ferry::testing
