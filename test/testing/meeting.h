#pragma once

#include <ferry/server.h>
#include <ferry/testing/trial.h>

#include <memory>

namespace ferry::testing {

/// A server, and a client that is connected to it.
struct Meeting {
  std::shared_ptr<Server> server;
  std::shared_ptr<RecordingProtocol> client;
};

/// `prepare` sets up the server's protocols. What did not come about is null.
Meeting meet(Trial& trial, void (*prepare)(RecordingProtocol&, Trial&));
void take_down(Trial& trial, const Meeting& meeting);

/// A program that is right: 3000 bytes come back.
void good(Trial& trial);
/// One that takes what arrives at once for a message.
void naive(Trial& trial);

}  // namespace ferry::testing
