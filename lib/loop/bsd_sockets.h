#pragma once

#include "child_waiters.h"

#include <ferry/kernel.h>

namespace ferry {

/// The socket calls of Kernel on the operating system.
class BsdSockets : public Kernel {
 public:
  IoResult socket(int family, int type, int protocol) override;
  IoResult bind(int fd, const Address& address) override;
  IoResult listen(int fd, int backlog) override;
  IoResult accept(int fd, Address& peer) override;
  IoResult connect(int fd, const Address& address) override;
  IoResult recv(int fd, MutableBytes into) override;
  IoResult send(int fd, BytesView bytes) override;
  IoResult send_pieces(int fd, std::span<const BytesView> pieces) override;
  IoResult shutdown(int fd, int how) override;
  IoResult close(int fd) noexcept override;
  IoResult local_address(int fd, Address& address) override;
  IoResult peer_address(int fd, Address& address) override;
  IoResult set_option(int fd, int level, int name, int value) override;
  IoResult get_option(int fd, int level, int name, int& value) override;
  IoResult adopt(int fd) override;
  IoResult read(int fd, MutableBytes into) override;
  IoResult write_pieces(int fd, std::span<const BytesView> pieces) override;
  IoResult file_type(int fd) override;
  IoResult pipe(int& read_end, int& write_end) override;
  IoResult set_pipe_size(int fd, std::size_t bytes) override;
  IoResult splice_in(int socket, int pipe, std::size_t count) override;
  IoResult splice_out(int pipe, int socket, std::size_t count) override;
  IoResult is_blocking(int fd) override;
  IoResult duplicate(int fd) override;
  IoResult send_file(int fd, int file, std::uint64_t offset, std::size_t count) override;
  IoResult read_at(int file, std::uint64_t offset, MutableBytes into) override;
  IoResult seek(int file, std::uint64_t offset) override;
  IoResult spawn(const SpawnRequest& request, int& pid) override;
  IoResult reap(int process, bool wait, int& status) override;
  IoResult signal_process(int process, int number) override;
  IoResult set_blocking(int fd) override;
  IoResult recv_datagrams(int fd, std::span<IncomingDatagram> into) override;
  IoResult send_datagrams(int fd, std::span<const OutgoingDatagram> datagrams) override;
  IoResult set_membership(int fd, const Address& group, unsigned interface, bool join) override;
  IoResult send_descriptors(int fd, BytesView bytes, std::span<const int> descriptors) override;
  IoResult recv_descriptors(int fd, MutableBytes into, std::vector<Fd>& descriptors) override;
  IoResult peer_credentials(int fd, PeerCredentials& credentials) override;
  IoResult find_socket_file(const Address& path, FileId& file) override;
  IoResult remove_file(const Address& path) override;
  PeerCredentials own_credentials() override;

 private:
  ChildWaiters waiters_;
  bool quiet_writes_ = true;  // the system can be asked for a write without SIGPIPE
};

}  // namespace ferry
