#include <ferry/testing/sim_kernel.h>

#include "sim_agenda.h"
#include "sim_hosts.h"
#include "sim_jobs.h"
#include "sim_sockets.h"
#include "sim_turns.h"
#include "sim_watch.h"
#include "sim_wires.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>

namespace ferry::testing {

SimKernel::SimKernel(SimOptions options)
    : turns_(std::make_unique<SimTurns>(options.start, options.seed)),
      wires_(std::make_unique<SimWires>(*turns_, options.seed)),
      network_(std::make_unique<SimNetwork>(*wires_)),
      sockets_(std::make_unique<SimSockets>(options, *wires_)),
      world_(std::make_unique<SimAgenda>()),
      hosts_(std::make_unique<SimHosts>()),
      options_(options) {
  turns_->set_settle([this] {
    world_->run_due(turns_->now());
    if (wires_->active()) wires_->settle();
    sockets_->settle();
    return std::min({world_->next(), wires_->next(), sockets_->next_connect()});
  });
  SimChooser* const lots = options.permute_schedule ? &turns_->lots() : nullptr;
  turns_->set_chooser(options.chooser ? options.chooser : lots, options.most_looks);
}

SimKernel::~SimKernel() {
  // What is dropped may own sockets, which are closed while all of this is there.
  world_->clear();
}

std::unique_ptr<Kernel> make_sim_kernel(SimOptions options) {
  return std::make_unique<SimKernel>(options);
}

// -- for tests

void SimKernel::advance(Duration time) {
  turns_->advance(time);
}
void SimKernel::at(TimePoint when, Function<void()> what) {
  world_->add(when, std::move(what));
}
void SimKernel::set_stuck(Function<bool()> stuck) {
  turns_->set_stuck(std::move(stuck));
}
void SimKernel::set_turn_cost(Duration cost) {
  turns_->set_turn_cost(cost);
}
bool SimKernel::raise_signal(int signal_number) {
  return turns_->raise_signal(signal_number);
}
void SimKernel::set_patience(Function<Duration()> patience) {
  turns_->set_patience(std::move(patience));
}
void SimKernel::set_turn_hook(Function<void()> hook) {
  turns_->set_hook(std::move(hook));
}
std::pair<int, int> SimKernel::connected_pair(int family, int type) {
  return sockets_->connected_pair(family, type);
}
void SimKernel::add_host(std::string name, std::vector<Address> addresses, Duration latency) {
  hosts_->add(std::move(name), std::move(addresses), latency);
}
void SimKernel::set_descriptor_limit(std::size_t limit) {
  sockets_->set_descriptor_limit(limit);
}

std::size_t SimKernel::unread(int fd) const {
  const SimSocket* socket = sockets_->find(fd);
  return socket ? socket->inbox.size() : 0;
}

SimRoute SimKernel::route(int fd) const {
  const SimSocket* socket = sockets_->find(fd);
  // Empty addresses would stand for everything.
  if (!socket || !socket->remote.is_ip()) throw std::logic_error("route of no connected socket");
  return {.from = socket->local, .to = socket->remote};
}

std::uint64_t SimKernel::log_hash() const noexcept {
  return turns_->log_hash();
}

void SimKernel::count(const char* name) {
  // The names are literals: to compare pointers is enough, but for those that are there twice.
  for (std::size_t i = 0; i < calls_.size(); ++i) {
    if (calls_[i].first != name) continue;
    ++calls_[i].second;
    // What is called often moves to the front.
    if (i > 0) std::swap(calls_[i], calls_[i - 1]);
    return;
  }
  calls_.emplace_back(name, 1);
}

SimStats SimKernel::stats() const {
  std::map<std::string_view, std::uint64_t> calls;
  for (const auto& [name, times] : calls_) calls[name] += times;
  return {.open_sockets = sockets_->open(),
          .watches = sockets_->watched(),
          .names = sockets_->names(),
          .files = sockets_->files(),
          .dropped_datagrams = sockets_->dropped(),
          .bad_descriptors = bad_descriptors_,
          .turns = turns_->turns(),
          .jumps = turns_->jumps(),
          .calls = std::move(calls)};
}

// -- time, turns, signals

void SimKernel::attach(Client& client) {
  turns_->attach(client);
}
TimePoint SimKernel::now() {
  return turns_->now();
}
void SimKernel::run() {
  turns_->run();
}
void SimKernel::stop() {
  turns_->stop();
}
void SimKernel::request_drain() {
  turns_->request_drain();
}
void SimKernel::wake() noexcept {
  turns_->wake();
}
void SimKernel::set_timer(TimePoint when) {
  turns_->set_timer(when);
}
void SimKernel::after_fork_in_child() {
  turns_->after_fork_in_child();
}
std::error_code SimKernel::watch_signal(int signal_number) {
  return turns_->watch_signal(signal_number);
}
std::error_code SimKernel::unwatch_signal(int signal_number) {
  return turns_->unwatch_signal(signal_number);
}

FdWatchPtr SimKernel::watch(int fd, FdWatch::Listener& listener, std::error_code& error) {
  error.clear();
  SimSocket* socket = sockets_->find(fd);
  if (!socket || socket->watch) {
    error.assign(socket ? EEXIST : EBADF, std::system_category());
    return nullptr;
  }
  return FdWatchPtr(new SimWatch(*turns_, *socket, listener));
}

// -- sockets

template <class Body>
IoResult SimKernel::call(const char* name, int fd, Body body) {
  count(name);
  if (SimSocket* socket = sockets_->find(fd)) return body(*socket);
  ++bad_descriptors_;
  return {.value = -1, .error = EBADF};
}

template <class Body>
IoResult SimKernel::socket_call(const char* name, int fd, Body body) {
  return call(name, fd, [&](SimSocket& socket) {
    return socket.is_pipe() ? IoResult{.value = -1, .error = ENOTSOCK} : body(socket);
  });
}

IoResult SimKernel::socket(int family, int type, int protocol) {
  count("socket");
  return sockets_->socket(family, type, protocol);
}
IoResult SimKernel::bind(int fd, const Address& address) {
  return socket_call("bind", fd,
                     [&](SimSocket& socket) { return sockets_->bind(socket, address); });
}
IoResult SimKernel::listen(int fd, int backlog) {
  return socket_call("listen", fd,
                     [&](SimSocket& socket) { return sockets_->listen(socket, backlog); });
}
IoResult SimKernel::accept(int fd, Address& peer) {
  return socket_call("accept", fd,
                     [&](SimSocket& socket) { return sockets_->accept(socket, peer); });
}
IoResult SimKernel::connect(int fd, const Address& address) {
  return socket_call("connect", fd,
                     [&](SimSocket& socket) { return sockets_->connect(socket, address); });
}
IoResult SimKernel::recv(int fd, MutableBytes into) {
  return socket_call("recv", fd, [&](SimSocket& socket) { return sockets_->recv(socket, into); });
}
IoResult SimKernel::send(int fd, BytesView bytes) {
  return socket_call(
      "send", fd, [&](SimSocket& socket) { return sockets_->send(socket, std::span(&bytes, 1)); });
}
IoResult SimKernel::send_pieces(int fd, std::span<const BytesView> pieces) {
  return socket_call("sendmsg", fd, [&](SimSocket& socket) {
    return sockets_->send(socket, pieces.first(std::min(pieces.size(), kMaxPieces)));
  });
}
IoResult SimKernel::read(int fd, MutableBytes into) {
  return call("read", fd, [&](SimSocket& socket) { return sockets_->read(socket, into); });
}
IoResult SimKernel::write_pieces(int fd, std::span<const BytesView> pieces) {
  return call("writev", fd, [&](SimSocket& socket) {
    return sockets_->write(socket, pieces.first(std::min(pieces.size(), kMaxPieces)));
  });
}
IoResult SimKernel::file_type(int fd) {
  return call("fstat", fd, [](SimSocket& socket) {
    return IoResult{.value = socket.is_pipe() ? S_IFIFO : S_IFSOCK};
  });
}
IoResult SimKernel::pipe(int& read_end, int& write_end) {
  count("pipe2");
  return sockets_->pipe(read_end, write_end);
}
IoResult SimKernel::set_pipe_size(int fd, std::size_t bytes) {
  return call("fcntl", fd, [&](SimSocket& pipe) { return SimSockets::set_pipe_size(pipe, bytes); });
}
IoResult SimKernel::splice_in(int socket, int pipe, std::size_t count) {
  return splice(socket, pipe, count);
}
IoResult SimKernel::splice_out(int pipe, int socket, std::size_t count) {
  return splice(pipe, socket, count);
}
IoResult SimKernel::splice(int from, int to, std::size_t count) {
  return call("splice", from, [&](SimSocket& source) {
    if (SimSocket* sink = sockets_->find(to)) return sockets_->splice(source, *sink, count);
    ++bad_descriptors_;
    return IoResult{.value = -1, .error = EBADF};
  });
}
IoResult SimKernel::send_file(int fd, int file, std::uint64_t offset, std::size_t count) {
  return call("sendfile", fd, [&](SimSocket& socket) {
    std::array<std::byte, 16 * 1024> bytes;
    const IoResult got =
        read_file(file, offset, MutableBytes(bytes).first(std::min(count, bytes.size())));
    if (!got.ok() || got.count() == 0) return got;
    const BytesView piece(bytes.data(), got.count());
    return sockets_->write(socket, std::span(&piece, 1));
  });
}
IoResult SimKernel::read_at(int file, std::uint64_t offset, MutableBytes into) {
  count("pread");
  return read_file(file, offset, into);
}
IoResult SimKernel::seek(int file, std::uint64_t offset) {
  count("lseek");
  return seek_file(file, offset);
}
IoResult SimKernel::duplicate(int file) {
  count("fcntl");
  return duplicate_file(file);
}
IoResult SimKernel::recv_datagrams(int fd, std::span<IncomingDatagram> into) {
  return socket_call("recvmmsg", fd, [&](SimSocket& socket) {
    return sockets_->recv_datagrams(socket, into.first(std::min(into.size(), kMaxDatagrams)));
  });
}
IoResult SimKernel::send_datagrams(int fd, std::span<const OutgoingDatagram> datagrams) {
  return socket_call("sendmmsg", fd, [&](SimSocket& socket) {
    return sockets_->send_datagrams(socket,
                                    datagrams.first(std::min(datagrams.size(), kMaxDatagrams)));
  });
}
IoResult SimKernel::set_membership(int fd, const Address& group, unsigned, bool join) {
  return socket_call("setsockopt", fd, [&](SimSocket& socket) {
    return SimSockets::set_membership(socket, group, join);
  });
}
IoResult SimKernel::find_socket_file(const Address& path, FileId& file) {
  count("lstat");
  return sockets_->find_socket_file(path, file);
}
IoResult SimKernel::remove_file(const Address& path) {
  count("unlink");
  return sockets_->remove_file(path);
}
IoResult SimKernel::shutdown(int fd, int how) {
  return socket_call("shutdown", fd,
                     [&](SimSocket& socket) { return sockets_->shutdown(socket, how); });
}
IoResult SimKernel::close(int fd) noexcept {
  return call("close", fd, [&](SimSocket& socket) { return sockets_->close(socket); });
}
IoResult SimKernel::local_address(int fd, Address& address) {
  return socket_call("getsockname", fd,
                     [&](SimSocket& socket) { return sockets_->local_address(socket, address); });
}
IoResult SimKernel::peer_address(int fd, Address& address) {
  return socket_call("getpeername", fd,
                     [&](SimSocket& socket) { return sockets_->peer_address(socket, address); });
}
IoResult SimKernel::set_option(int fd, int level, int name, int value) {
  return socket_call("setsockopt", fd, [&](SimSocket& socket) {
    return sockets_->set_option(socket, level, name, value);
  });
}
IoResult SimKernel::get_option(int fd, int level, int name, int& value) {
  return socket_call("getsockopt", fd, [&](SimSocket& socket) {
    return sockets_->get_option(socket, level, name, value);
  });
}
std::shared_ptr<Executor> SimKernel::make_executor() {
  if (!options_.simulate_threads) return Kernel::make_executor();
  return std::make_shared<SimExecutor>(*turns_, *world_, options_.job_time_min,
                                       options_.job_time_max);
}
std::shared_ptr<Resolver> SimKernel::make_resolver() {
  if (!options_.simulate_threads) return Kernel::make_resolver();
  return std::make_shared<SimResolver>(
      *hosts_, std::make_shared<SimExecutor>(*turns_, *world_, options_.job_time_min,
                                             options_.job_time_max));
}
IoResult SimKernel::adopt(int fd) {
  return call("fcntl", fd, [fd](SimSocket&) { return IoResult{.value = fd}; });
}

}  // namespace ferry::testing
