// Files and pipes, each system call and each allocation failing once.
#include "call_trial.h"
#include "far_end.h"

#include <ferry/pipe.h>
#include <ferry/relay.h>
#include <ferry/sendfile.h>
#include <ferry/sock.h>
#include <ferry/testing/forwarding_kernel.h>

#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <stdexcept>
#include <utility>

namespace ferry::test {
namespace {

using testing::RecordingProtocol;

/// sendfile(2) refuses whatever it is given.
class NoSendfileKernel final : public testing::ForwardingKernel {
 public:
  using ForwardingKernel::ForwardingKernel;
  IoResult send_file(int, int, std::uint64_t, std::size_t) override { return {-1, EINVAL}; }
};

std::unique_ptr<Kernel> without_sendfile() {
  return std::make_unique<NoSendfileKernel>(make_fast_kernel());
}

/// Larger than what a socket takes at once.
const std::string& content() {
  static const std::string text = pattern(400'000);
  return text;
}

class File {
 public:
  File() : file_(std::tmpfile()) {
    if (!file_ || std::fwrite(content().data(), 1, content().size(), file_) != content().size()) {
      throw std::runtime_error("there is no file");
    }
    std::fflush(file_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { std::fclose(file_); }
  int fd() const { return ::fileno(file_); }

 private:
  std::FILE* file_;
};

/// What came is the beginning of the content, and all of it or somebody was told.
void expect_content(CallTrial& trial, const std::string& came) {
  if (!content().starts_with(came)) trial.complain("wrong bytes came");
  trial.expect(came.size() == content().size(),
               "only " + std::to_string(came.size()) + " bytes came");
}

void send_a_file(CallTrial& trial) {
  const File file;
  auto [mine, theirs] = stream_pair(trial.below());
  const auto near = trial.connect(std::move(mine));
  const auto far = trial.connect(std::move(theirs));
  if (!near || !far) return;
  const auto sent = sendfile(near->transport(), file.fd());
  if (trial.done(sent) && sent.result() != content().size()) {
    trial.complain("it says that it has sent " + std::to_string(sent.result()));
  }
  near->transport()->write("!");
  near->transport()->close();
  trial.run_until([&] { return near->lost() && far->lost(); });
  std::string came = far->data();
  if (came.ends_with('!')) came.pop_back();
  expect_content(trial, came);
}

void send_a_file_by_a_socket(CallTrial& trial) {
  const File file;
  auto [mine, theirs] = stream_pair(trial.below(), AF_UNIX);
  FarEnd far(trial.below(), std::move(theirs));
  {
    const auto sent = sock_sendfile(trial.loop(), mine.get(), file.fd());
    trial.run_until([&] {
      far.pump();
      return sent.done();
    });
    if (trial.done(sent) && sent.result() != content().size()) {
      trial.complain("it says that it has sent " + std::to_string(sent.result()));
    }
  }
  mine.reset();
  trial.run_until([&] {
    far.pump();
    return far.ended();
  });
  expect_content(trial, far.received());
}

FERRY_EACH_FAILS(AFileArrivesWholeOrSomebodyIsTold, .play = send_a_file)

FERRY_EACH_FAILS(AFileThatIsReadArrivesWholeOrSomebodyIsTold, .play = send_a_file,
                 .kernel = without_sendfile)

FERRY_EACH_FAILS(AFileSentByASocketArrivesWholeOrSomebodyIsTold, .play = send_a_file_by_a_socket)

FERRY_EACH_FAILS(AFileReadForASocketArrivesWholeOrSomebodyIsTold, .play = send_a_file_by_a_socket,
                 .kernel = without_sendfile)

void talk_through_a_pipe(CallTrial& trial) {
  int ends[2];
  if (!trial.below().pipe(ends[0], ends[1]).ok()) throw std::runtime_error("there is no pipe");
  Socket read_end(trial.below(), ends[0]);
  Socket write_end(trial.below(), ends[1]);
  const auto reader = trial.protocol();
  const auto writer = trial.protocol();
  // Each takes its end only if it does not throw.
  const auto factory = [](const std::shared_ptr<RecordingProtocol>& protocol) {
    return [protocol]() -> std::shared_ptr<Protocol> { return protocol; };
  };
  const auto reading = connect_read_pipe(trial.loop(), factory(reader), read_end.get());
  read_end.release();
  const auto writing = connect_write_pipe(trial.loop(), factory(writer), write_end.get());
  write_end.release();
  const bool reads = trial.done(reading);
  if (trial.done(writing)) {
    writer->transport()->write(content());
    writer->transport()->write_eof();
    trial.run_until([&] { return writer->lost(); });
  }
  if (!reads) return;
  trial.run_until([&] { return reader->lost(); });
  expect_content(trial, reader->data());
}

FERRY_EACH_FAILS(WhatGoesThroughAPipeArrivesOrSomebodyIsTold, .play = talk_through_a_pipe)

template <Splice splice>
void relay_both_ways(CallTrial& trial) {
  auto [a, far_a] = stream_pair(trial.below());
  auto [b, far_b] = stream_pair(trial.below(), AF_UNIX);
  FarEnd asks(trial.below(), std::move(far_a));
  FarEnd answers(trial.below(), std::move(far_b));
  const auto near_a = trial.connect(std::move(a));
  const auto near_b = trial.connect(std::move(b));
  if (!near_a || !near_b) return;
  trial.forget(near_a);
  trial.forget(near_b);
  const auto relayed = relay(near_a->transport(), near_b->transport(), {.splice = splice});
  asks.send(content());
  bool asked = false;
  bool answered = false;
  trial.run_until([&] {
    asks.pump();
    answers.pump();
    if (!asked && asks.unsent() == 0) {
      asked = true;
      asks.shutdown_write();
    }
    if (!answered && answers.eof()) {
      answered = true;
      answers.send("that was all");
      answers.shutdown_write();
    }
    return relayed.done();
  });
  if (!trial.done(relayed)) return;
  const RelayResult result = relayed.result();
  if (result.error) trial.tell("the result", result.error.code.message());
  trial.run_until([&] {
    asks.pump();
    answers.pump();
    return asks.ended() && answers.ended();
  });
  expect_content(trial, answers.received());
  trial.expect(asks.received() == "that was all", "there was no answer");
  trial.expect(result.a_to_b == content().size(), "it has counted wrongly");
  if (result.a_to_b < answers.received().size()) trial.complain("it has counted too few");
}

FERRY_EACH_FAILS(ARelayThatSplicesMovesAllOrSomebodyIsTold, .play = relay_both_ways<Splice::always>)

FERRY_EACH_FAILS(ARelayThatCopiesMovesAllOrSomebodyIsTold, .play = relay_both_ways<Splice::never>)

}  // namespace
}  // namespace ferry::test
