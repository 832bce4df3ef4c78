// Datagrams and single operations on sockets, each system call and each allocation failing once.
#include "call_trial.h"
#include "counting_new.h"
#include "far_end.h"

#include <ferry/datagram.h>
#include <ferry/sock.h>

#include <sys/socket.h>

#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace ferry::test {
namespace {

const std::string& content() {
  static const std::string text = pattern(400'000);
  return text;
}

// -- single operations

/// Whatever happens: an operation ends before what it uses is gone.
template <class T>
class CancelledAtEnd {
 public:
  explicit CancelledAtEnd(Future<T> operation) : operation_(std::move(operation)) {}
  CancelledAtEnd(const CancelledAtEnd&) = delete;
  CancelledAtEnd& operator=(const CancelledAtEnd&) = delete;
  ~CancelledAtEnd() {
    if (!operation_.done()) operation_.cancel();
  }

 private:
  Future<T> operation_;
};

/// A socket of the test's own.
Socket open(CallTrial& trial, int type, const Address& at) {
  const IoResult opened = trial.below().socket(at.family(), type, 0);
  if (!opened.ok()) throw std::runtime_error("there is no socket");
  Socket made(trial.below(), opened.fd());
  if (!trial.below().bind(made.get(), at).ok()) throw std::runtime_error("it cannot be bound");
  return made;
}

Address name_of(CallTrial& trial, const Socket& socket) {
  Address name;
  trial.below().local_address(socket.get(), name);
  return name;
}

/// What comes until all has, or the end.
std::string receive(CallTrial& trial, int fd, const Future<void>& sent) {
  std::string came;
  std::vector<std::byte> room(50'000);
  while (came.size() < content().size()) {
    std::size_t count = 0;
    if (came.size() < content().size() / 2) {
      const auto received = sock_recv(trial.loop(), fd, room.size());
      if (!trial.run_until([&] { return received.done() || (sent.done() && sent.exception()); })) {
        break;
      }
      // Whoever sends was told, and there is nothing to be waited for.
      if (!received.done()) return received.cancel(), came;
      if (!trial.done(received)) break;
      const Buffer& bytes = received.result();
      count = bytes.size();
      came.append(BytesView(bytes).text());
    } else {
      const auto received = sock_recv_into(trial.loop(), fd, room);
      if (!trial.run_until([&] { return received.done() || (sent.done() && sent.exception()); })) {
        break;
      }
      if (!received.done()) return received.cancel(), came;
      if (!trial.done(received)) break;
      count = received.result();
      came.append(BytesView(room.data(), count).text());
    }
    if (count == 0) break;
  }
  return came;
}

void send_by_single_operations(CallTrial& trial) {
  RawListener listener(trial.below());
  const IoResult opened = trial.below().socket(AF_INET, SOCK_STREAM, 0);
  if (!opened.ok()) throw std::runtime_error("there is no socket");
  const Socket mine(trial.below(), opened.fd());
  const auto accepting = sock_accept(trial.loop(), listener.fd());
  const CancelledAtEnd accepting_ends(accepting);
  const auto connecting = sock_connect(trial.loop(), mine.get(), listener.address());
  if (!trial.done(connecting) || !trial.done(accepting)) return;
  const AcceptedSocket accepted = std::move(accepting.result());
  if (accepted.peer != name_of(trial, mine)) trial.complain("another peer");
  const auto sent = sock_sendall(trial.loop(), mine.get(), content());
  const CancelledAtEnd sent_ends(sent);
  const std::string came = receive(trial, accepted.socket.get(), sent);
  if (sent.done() || came.size() == content().size()) trial.done(sent);
  if (!content().starts_with(came)) trial.complain("wrong bytes came");
  trial.expect(came.size() == content().size(),
               "only " + std::to_string(came.size()) + " bytes came");
}

FERRY_EACH_FAILS(SingleOperationsSendAllOrSomebodyIsTold, .play = send_by_single_operations)

void send_datagrams_by_single_operations(CallTrial& trial) {
  const Socket a = open(trial, SOCK_DGRAM, Address::loopback(0));
  const Socket b = open(trial, SOCK_DGRAM, Address::loopback(0));
  const auto receiving = sock_recvfrom(trial.loop(), b.get(), 100);
  const CancelledAtEnd receiving_ends(receiving);
  const auto sent = sock_sendto(trial.loop(), a.get(), "question", name_of(trial, b));
  if (!trial.done(sent) || !trial.done(receiving)) return;
  const ReceivedDatagram& received = receiving.result();
  if (BytesView(received.data) != BytesView("question")) trial.complain("another question came");
  if (received.peer != name_of(trial, a)) trial.complain("another asks");
  std::byte room[100];
  Address from;
  const auto answer = sock_recvfrom_into(trial.loop(), a.get(), MutableBytes(room, 100), from);
  const CancelledAtEnd answer_ends(answer);
  const auto answered = sock_sendto(trial.loop(), b.get(), "answer", received.peer);
  if (!trial.done(answered) || !trial.done(answer)) return;
  if (BytesView(room, answer.result()) != BytesView("answer")) trial.complain("another answer");
  if (from != name_of(trial, b)) trial.complain("another answers");
}

FERRY_EACH_FAILS(SingleOperationsOnDatagramsGiveTheDatagramOrAnError,
                 .play = send_datagrams_by_single_operations)

// -- endpoints

class Receiver final : public DatagramProtocol {
 public:
  explicit Receiver(CallTrial& trial) : trial_(trial) {}
  void connection_made(std::shared_ptr<DatagramTransport> made) override {
    transport = std::move(made);
  }
  void datagram_received(BytesView data, const DatagramInfo& info) override {
    exempt([&] { received.emplace_back(data.text()); });
    if (answers) transport->sendto("re: " + received.back(), info.peer);
  }
  void error_received(std::error_code error) override {
    trial_.tell("error_received", error.message());
  }
  void connection_lost(std::error_code error) override {
    lost = true;
    if (error && error != errc::loop_closed) trial_.tell("connection_lost", error.message());
  }

  std::shared_ptr<DatagramTransport> transport;
  std::vector<std::string> received;
  bool answers = false;
  bool lost = false;

 private:
  CallTrial& trial_;
};

using Endpoint = std::shared_ptr<Receiver>;

Endpoint endpoint(CallTrial& trial, DatagramOptions options) {
  const auto made = std::make_shared<Receiver>(trial);
  const auto opened = create_datagram_endpoint(
      trial.loop(), [made]() -> std::shared_ptr<DatagramProtocol> { return made; },
      std::move(options));
  return trial.done(opened) ? made : nullptr;
}

/// Twenty questions, each with its answer.
void ask_and_answer(CallTrial& trial, const Endpoint& asks, const Endpoint& answers) {
  constexpr std::size_t kQuestions = 20;
  answers->answers = true;
  std::vector<std::string> questions;
  for (std::size_t i = 0; i < kQuestions; ++i) questions.push_back(std::to_string(i));
  const std::vector<BytesView> views(questions.begin(), questions.end());
  asks->transport->send_each(std::span(views).first(kQuestions / 2));
  for (std::size_t i = kQuestions / 2; i < kQuestions; ++i) asks->transport->sendto(questions[i]);
  // What was not sent at all somebody was told of; what was, arrives.
  trial.run_until([&] { return asks->received.size() >= kQuestions || trial.told(); });
  // What still comes, comes at once.
  if (trial.told()) trial.run_until([turns = 0]() mutable { return ++turns > 10; });
  trial.expect(asks->received.size() == kQuestions,
               "only " + std::to_string(asks->received.size()) + " answers came");
  std::size_t next = 0;
  for (const std::string& each : asks->received) {
    while (next < kQuestions && each != "re: " + questions[next]) ++next;
    if (next == kQuestions) trial.complain("an answer that is wrong or in the wrong place");
  }
  asks->transport->close();
  answers->transport->close();
  trial.run_until([&] { return asks->lost && answers->lost; });
}

void talk_by_unix_datagrams(CallTrial& trial) {
  const std::string a = unused_unix_address().path();
  const std::string b = unused_unix_address().path();
  const auto answers = endpoint(trial, {.local_path = a});
  if (!answers) return;
  const auto asks = endpoint(trial, {.local_path = b, .remote_path = a});
  if (!asks) return;
  ask_and_answer(trial, asks, answers);
}

FERRY_EACH_FAILS(UnixDatagramsArriveOrSomebodyIsTold, .play = talk_by_unix_datagrams)

}  // namespace
}  // namespace ferry::test
