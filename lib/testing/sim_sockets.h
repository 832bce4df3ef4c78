#pragma once

#include "sim_names.h"
#include "sim_socket.h"
#include "sim_wires.h"

#include <ferry/kernel.h>
#include <ferry/testing/sim_kernel.h>

#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <vector>

namespace ferry::testing {

/// The table of descriptors, and the socket calls, with Linux's rules.
class SimSockets {
 public:
  SimSockets(const SimOptions& options, SimWires& wires);

  /// The open socket of that number; null if there is none.
  SimSocket* find(int fd) const noexcept;
  std::size_t open() const noexcept { return open_; }
  std::size_t watched() const noexcept;
  std::size_t names() const noexcept { return names_.size(); }
  std::size_t files() const noexcept { return names_.files(); }
  std::uint64_t dropped() const noexcept { return dropped_; }
  void set_descriptor_limit(std::size_t limit) { options_.descriptor_limit = limit; }
  /// TCP connects under way get on: they succeed, are refused, or try again when there is no room
  /// in the backlog.
  void settle();
  /// When one of them will get on by itself; TimePoint::max() if none will.
  TimePoint next_connect() const noexcept;
  std::pair<int, int> connected_pair(int family, int type);

  IoResult socket(int family, int type, int protocol);
  IoResult bind(SimSocket& socket, const Address& address);
  IoResult listen(SimSocket& socket, int backlog);
  IoResult accept(SimSocket& socket, Address& peer);
  IoResult connect(SimSocket& socket, const Address& address);
  IoResult recv(SimSocket& socket, MutableBytes into);
  IoResult read(SimSocket& socket, MutableBytes into);
  IoResult write(SimSocket& socket, std::span<const BytesView> pieces);
  IoResult pipe(int& read_end, int& write_end);
  static IoResult set_pipe_size(SimSocket& pipe, std::size_t bytes);
  IoResult splice(SimSocket& from, SimSocket& to, std::size_t count);
  static IoResult write_pipe(SimSocket& pipe, std::span<const BytesView> pieces);
  IoResult recv_datagrams(SimSocket& socket, std::span<IncomingDatagram> into);
  IoResult send_datagrams(SimSocket& socket, std::span<const OutgoingDatagram> datagrams);
  static IoResult set_membership(SimSocket& socket, const Address& group, bool join);
  IoResult find_socket_file(const Address& path, FileId& file) const;
  IoResult remove_file(const Address& path);
  IoResult send(SimSocket& socket, std::span<const BytesView> pieces);
  IoResult shutdown(SimSocket& socket, int how);
  IoResult close(SimSocket& socket);
  IoResult local_address(const SimSocket& socket, Address& address) const;
  IoResult peer_address(const SimSocket& socket, Address& address) const;
  IoResult set_option(SimSocket& socket, int level, int name, int value);
  IoResult get_option(SimSocket& socket, int level, int name, int& value) const;

 private:
  using State = SimSocket::State;
  /// A TCP connect under way.
  struct Attempt {
    SimSocket* socket;
    Address from;  // unmapped, as `to`
    Address to;
    TimePoint began;
    TimePoint due;       // when the answer will be there
    unsigned tries = 0;  // SYNs that were lost
  };

  static IoResult fail(int error) { return {.value = -1, .error = error}; }
  static IoResult done(std::size_t count = 0) {
    return {.value = static_cast<std::ptrdiff_t>(count)};
  }
  std::unique_ptr<SimSocket> make(int family, int type = SOCK_STREAM) const;
  /// The lowest free number, or -1 at the limit.
  int enter(std::unique_ptr<SimSocket> socket);
  void establish(SimSocket& listener, SimSocket& client);
  /// False if it is still under way.
  bool get_on(Attempt& attempt);
  /// False if the network lets no answer through yet, or never will: then the connect failed.
  bool answered(Attempt& attempt);
  /// Its SYN was lost: when the next one will be answered.
  void try_again(Attempt& attempt);
  static void fail_connect(SimSocket& socket, int error);
  IoResult connect_unix(SimSocket& socket, const Address& address);
  IoResult connect_tcp(SimSocket& socket, const Address& address);
  IoResult connect_datagram(SimSocket& socket, const Address& address);
  int send_datagram(SimSocket& socket, const OutgoingDatagram& datagram);
  int send_unix(SimSocket& socket, SimDatagram datagram, bool by_name);
  void deliver(SimSocket& receiver, SimDatagram datagram);
  static void part(SimSocket& socket);
  static void close_datagrams(SimSocket& socket);
  bool hears(const SimSocket& socket, const SimDatagram& datagram) const;
  /// False if nobody is there to get it.
  bool arrive(SimDatagram datagram);
  void refuse(const SimDatagram& datagram);
  /// The end of one side; its peer learns what Linux would tell it.
  void disconnect(SimSocket& socket);
  IoResult splice_in(SimSocket& socket, SimSocket& pipe, std::size_t count);
  IoResult splice_out(SimSocket& pipe, SimSocket& socket, std::size_t count);
  /// The same through the network.
  void leave(SimSocket& socket, bool hard);

  SimOptions options_;
  SimWires& wires_;
  SimNames names_;
  std::vector<std::unique_ptr<SimSocket>> table_;  // by fd - first_descriptor
  std::set<int> free_;                             // holes in it
  std::size_t open_ = 0;
  std::uint64_t dropped_ = 0;
  std::vector<Attempt> connecting_;
};

}  // namespace ferry::testing
