#pragma once

#include <ferry/server.h>
#include <ferry/testing/recording_protocol.h>
#include <ferry/testing/trial.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace ferry::test {

/// What happens to a connection, or is done to it.
enum class Event : std::uint8_t {
  // -- of a system call
  reset,       ///< Receiving fails with ECONNRESET,
  end,         ///< finds the end of the stream.
  blocked,     ///< Sending finds no room,
  short_send,  ///< is cut short by a fault,
  broken,      ///< fails for good,
  no_buffers,  ///< for want of memory.
  accept_no_descriptors,
  accept_aborted,
  accept_no_memory,
  connect_refused,
  connect_failed,
  socket_failed,
  // -- of the program
  close,
  abort,
  write,
  write_eof,
  pause_reading,
  resume_reading,
  // -- a callback
  pause_writing,
  resume_writing,
  data,
  eof,
  lost,
  lost_with_error,
};

/// Looks on from outside while a trial runs, and tells it (Trial::reached) when something happens
/// to a connection that is in a situation where that is rare: "RST in handshake". It knows what the
/// system calls gave by their descriptor, and what the program does by being told.
class Watching {
 public:
  /// `encrypted`: what is connected but not made yet is in its handshake.
  Watching(testing::Trial& trial, bool encrypted);
  Watching(const Watching&) = delete;
  Watching& operator=(const Watching&) = delete;
  ~Watching();

  /// Watches over that connection as well; it must live as long.
  void add(testing::ConnectionRecord& record);
  /// Before the program's call; in the callback.
  void tell(testing::ConnectionRecord& record, Event event);
  /// From now on that server, which is closed, waits for its connections to end.
  void set_draining(std::shared_ptr<const Server> server) noexcept {
    draining_ = std::move(server);
  }
  /// How many connects are under way.
  std::size_t connecting() const noexcept;

  /// All names it knows.
  static std::vector<const char*> names();

 private:
  struct Known {
    testing::ConnectionRecord* record;
    bool eof_sent = false;
    bool aborted = false;
  };
  enum class Phase : std::uint8_t { fresh, connecting, connected };

  void on_call(std::string_view call, int fd, const IoResult& result);
  void on_stream_call(int fd, Event event);
  void on_failed_send(int fd, int error);
  void happened(Event event, unsigned situation);
  Known* known(const testing::ConnectionRecord& record);
  unsigned situation(const Known& known) const;

  testing::Trial& trial_;
  bool encrypted_;
  std::shared_ptr<const Server> draining_;
  std::size_t injected_ = 0;  // of the faults so many have been looked at
  std::vector<Known> known_;
  std::map<int, Phase> descriptors_;
};

}  // namespace ferry::test
