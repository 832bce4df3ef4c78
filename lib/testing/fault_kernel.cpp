#include <ferry/testing/fault_kernel.h>

#include <ferry/resolver.h>

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <stdexcept>

namespace ferry::testing {

namespace {

struct Failures {
  std::string_view call;
  std::array<int, 16> errors;  // up to the first 0
};

/// Not EAGAIN, which is no failure but of posix_spawn, nor what only a wrong program gets (EBADF,
/// EFAULT). EINVAL: not of such a file, EMSGSIZE: as Kernel::recv_descriptors says.
constexpr Failures kFailures[] = {
    {"accept",
     {EMFILE, ECONNABORTED, ENFILE, ENOBUFS, ENOMEM, EPROTO, EPERM, ENETDOWN, EHOSTUNREACH,
      ETIMEDOUT, ENETUNREACH, EHOSTDOWN, ENOPROTOOPT, ECONNRESET}},
    {"bind", {EADDRINUSE, EADDRNOTAVAIL, EACCES, ENOMEM, ENOBUFS}},
    {"connect",
     {ECONNREFUSED, ETIMEDOUT, ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL, EACCES, EPERM, EADDRINUSE,
      ENOBUFS}},
    {"epoll_ctl", {ENOSPC, ENOMEM}},
    {"fcntl", {EMFILE}},
    {"getaddrinfo", {EAI_AGAIN, EAI_NONAME, EAI_FAIL, EAI_MEMORY, EAI_NODATA}},
    {"getnameinfo", {EAI_AGAIN, EAI_FAIL, EAI_MEMORY}},
    {"getpeername", {ENOTCONN, ENOBUFS}},
    {"getsockname", {ENOBUFS}},
    {"getsockopt", {ENOPROTOOPT}},
    {"listen", {EADDRINUSE}},
    {"lstat", {EACCES, ENOMEM}},
    {"pidfd_send_signal", {EPERM}},
    {"pipe2", {EMFILE, ENFILE}},
    {"posix_spawn", {EAGAIN, ENOMEM, EMFILE, ENFILE}},
    {"pread", {EIO}},
    {"read", {EIO, ENOMEM}},
    {"recv", {ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ENOMEM, ENOBUFS}},
    {"recvmmsg", {ECONNREFUSED, ENOMEM, EHOSTUNREACH, ENOBUFS}},
    {"recvmsg", {ECONNRESET, EMSGSIZE, ENOMEM, ENOBUFS}},
    {"send", {EPIPE, ECONNRESET, ENOBUFS, ENOMEM, ETIMEDOUT, EHOSTUNREACH, ENETDOWN}},
    {"sendfile", {EPIPE, ECONNRESET, EIO, EINVAL, ENOMEM, ETIMEDOUT, EHOSTUNREACH}},
    {"sendmmsg",
     {ENOBUFS, EPERM, EMSGSIZE, ENETUNREACH, ECONNREFUSED, ENOMEM, EACCES, EHOSTUNREACH, ENETDOWN}},
    {"sendmsg", {EPIPE, ECONNRESET, ENOBUFS, ENOMEM, ETIMEDOUT, EHOSTUNREACH, ENETDOWN}},
    {"setsockopt", {ENOPROTOOPT, ENOBUFS, ENOMEM}},
    {"shutdown", {ENOTCONN}},
    {"socket", {EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES, EAFNOSUPPORT}},
    {"splice", {ENOMEM, ECONNRESET}},
    {"unlink", {EACCES, EBUSY, EROFS, EIO}},
    {"writev", {EPIPE, EIO, ENOSPC}},
};

/// Of these the program may be told "not now", if it is told when it may try again: if it watches
/// the descriptor.
bool may_block(std::string_view call) {
  constexpr std::string_view kCalls[] = {"accept",  "read",   "recv",     "recvmmsg",
                                         "recvmsg", "send",   "sendfile", "sendmmsg",
                                         "sendmsg", "splice", "writev"};
  return std::find(std::begin(kCalls), std::end(kCalls), call) != std::end(kCalls);
}

/// A connect may hear so from the network, later.
bool from_network(std::string_view call, int error) {
  return call == "connect" && (error == ECONNREFUSED || error == ETIMEDOUT ||
                               error == ENETUNREACH || error == EHOSTUNREACH);
}

IoResult failure(int error) {
  return {-1, error};
}

/// The first `most` bytes of the pieces.
std::vector<BytesView> cut(std::span<const BytesView> pieces, std::size_t most) {
  std::vector<BytesView> result;
  for (const BytesView piece : pieces) {
    if (most == 0) break;
    result.push_back(piece.first(most));
    most -= result.back().size();
  }
  return result;
}

}  // namespace

/// A watch of the kernel below, which is asked afresh after a result that was made up.
class FaultKernel::Watch final : public FdWatch {
 public:
  Watch(FaultKernel& kernel, int fd, FdWatchPtr inner)
      : kernel_(kernel), inner_(std::move(inner)), fd_(fd) {
    kernel_.watches_.push_back(this);
  }
  void arm(Direction direction, Arm how) override {
    const bool made_up = std::exchange(made_up_[index(direction)], false);
    inner_->arm(direction, made_up ? Arm::if_ready : how);
  }
  void disarm(Direction direction) override { inner_->disarm(direction); }
  void close() noexcept override {
    std::erase(kernel_.watches_, this);
    delete this;
  }
  int fd() const noexcept { return fd_; }
  void made_up(Direction direction) noexcept { made_up_[index(direction)] = true; }

 private:
  static std::size_t index(Direction direction) { return direction == Direction::read ? 0 : 1; }

  FaultKernel& kernel_;
  FdWatchPtr inner_;
  int fd_;
  bool made_up_[2] = {false, false};
};

FaultKernel::FaultKernel(std::unique_ptr<Kernel> inner) : ForwardingKernel(std::move(inner)) {}
FaultKernel::~FaultKernel() = default;

std::span<const int> FaultKernel::errors_of(std::string_view call) {
  for (const Failures& each : kFailures) {
    if (each.call != call) continue;
    const auto end = std::find(each.errors.begin(), each.errors.end(), 0);
    return {each.errors.begin(), static_cast<std::size_t>(end - each.errors.begin())};
  }
  return {};
}

std::string FaultKernel::text_of(std::string_view call, int error) {
  if (error == 0) return "a short count";
  if (call == "getaddrinfo" || call == "getnameinfo") return resolver_category().message(error);
  return std::strerror(error);
}

std::string InjectedFault::to_string() const {
  return std::string(call) + " #" + std::to_string(number) + " on " + std::to_string(fd) + ": " +
         FaultKernel::text_of(call, error);
}

// -- what is to go wrong

FaultGuard FaultKernel::inject(Fault fault) {
  if (!fault.call.empty() && errors_of(fault.call).empty()) {
    throw std::invalid_argument("FaultKernel::inject: no call is named '" +
                                std::string(fault.call) + "'");
  }
  rules_.push_back({fault, next_rule_});
  return FaultGuard(*this, next_rule_++);
}

FaultGuard::~FaultGuard() {
  if (kernel_) {
    kernel_->rules_.remove_if([this](const auto& rule) { return rule.number == number_; });
  }
}

void FaultKernel::fail_call(std::uint64_t number, std::size_t variant) {
  doomed_ = number;
  variant_ = variant;
}

void FaultKernel::storm(FaultStorm storm) {
  storm_ = storm;
  seed_ = Seed(storm.seed, "fault");
}

void FaultKernel::heal() {
  rules_.clear();
  doomed_.reset();
  storm_.reset();
}

FaultKernel::Verdict FaultKernel::judge(std::string_view call, int fd, std::size_t units) {
  // The errors are looked up only where they are asked for: this is done for each call.
  const std::uint64_t number = calls_++;
  if (doomed_ == number) {
    const std::vector<Verdict> all = ways(call, fd, units);
    variants_ = all.size();
    if (!all.empty()) return note(call, fd, all[variant_ % all.size()]);
  }
  for (Rule& rule : rules_) {
    const Fault& fault = rule.fault;
    if (fault.call.empty() ? errors_of(call).empty() : fault.call != call) continue;
    if (fault.fd != -1 && fault.fd != fd) continue;
    if (fault.error == 0 && units <= fault.count) continue;
    const std::uint64_t seen = rule.seen++;
    if (seen < fault.after || seen - fault.after >= fault.times) continue;
    if (fault.error != 0) return note(call, fd, {.error = fault.error, .later = fault.later});
    return note(call, fd, {.most = std::max<std::size_t>(fault.count, 1)});
  }
  if (storm_) {
    if (seed_.permille(storm_->errors)) {
      const std::span<const int> errors = errors_of(call);
      const int error = errors[seed_.below(errors.size())];
      const bool later = from_network(call, error) && seed_.permille(500);
      return note(call, fd, {.error = error, .later = later});
    }
    if ((units > 1 || may_block(call)) && seed_.permille(storm_->short_counts)) {
      const bool later = seed_.below(8) == 0 && may_block(call) && watched(fd);
      if (later) return note(call, fd, {.error = EAGAIN});
      if (units < 2) return {};
      // Half of them next to nothing: what is offered is often much more than what is there.
      const std::size_t most =
          seed_.permille(500) ? std::min<std::size_t>(units - 1, 16) : units - 1;
      return note(call, fd, {.most = seed_.between(1, most)});
    }
  }
  return {};
}

/// All that may come of a call, but that it does what it should.
std::vector<FaultKernel::Verdict> FaultKernel::ways(std::string_view call, int fd,
                                                    std::size_t units) const {
  std::vector<Verdict> all;
  const std::span<const int> errors = errors_of(call);
  for (const int error : errors) all.push_back({.error = error});
  for (const int error : errors) {
    if (from_network(call, error)) all.push_back({.error = error, .later = true});
  }
  if (units > 1) all.push_back({.most = 1});
  if (may_block(call) && watched(fd)) all.push_back({.error = EAGAIN});
  return all;
}

FaultKernel::Verdict FaultKernel::note(std::string_view call, int fd, Verdict verdict) {
  injected_.push_back({calls_ - 1, call, fd, verdict.error});
  return verdict;
}

bool FaultKernel::watched(int fd) const {
  return std::any_of(watches_.begin(), watches_.end(),
                     [fd](const Watch* watch) { return watch->fd() == fd; });
}

void FaultKernel::made_up(int fd, Direction direction) {
  for (Watch* watch : watches_) {
    if (watch->fd() == fd) watch->made_up(direction);
  }
}

/// A resolver whose look-ups may be made to fail.
class FaultKernel::Names final : public Resolver {
 public:
  Names(FaultKernel& kernel, std::shared_ptr<Resolver> inner)
      : kernel_(kernel), inner_(std::move(inner)) {}

  Future<std::vector<Address>> resolve(EventLoop& loop, const ResolveQuery& query) override {
    const int error = ask("getaddrinfo");
    if (error == 0) return inner_->resolve(loop, query);
    return fail<std::vector<Address>>(loop, error, query.host);
  }
  Future<NameInfo> name_of(EventLoop& loop, const Address& address, int flags) override {
    const int error = ask("getnameinfo");
    if (error == 0) return inner_->name_of(loop, address, flags);
    return fail<NameInfo>(loop, error, address.to_string());
  }

 private:
  int ask(std::string_view call) {
    const int error = kernel_.judge(call, -1).error;
    kernel_.told(call, -1, error == 0 ? IoResult{} : failure(error));
    return error;
  }
  template <class T>
  static Future<T> fail(EventLoop& loop, int error, const std::string& subject) {
    Future<T> future(loop);
    future.set_exception(
        std::make_exception_ptr(ResolveError({error, resolver_category()}, subject)));
    return future;
  }

  FaultKernel& kernel_;
  std::shared_ptr<Resolver> inner_;
};

std::shared_ptr<Resolver> FaultKernel::make_resolver() {
  return std::make_shared<Names>(*this, inner().make_resolver());
}

// -- the calls

template <class Call>
IoResult FaultKernel::plain(std::string_view name, int fd, Call call) {
  const Verdict verdict = judge(name, fd);
  return told(name, fd, verdict.harmed() ? failure(verdict.error) : call());
}

FdWatchPtr FaultKernel::watch(int fd, FdWatch::Listener& listener, std::error_code& error) {
  const Verdict verdict = judge("epoll_ctl", fd);
  if (verdict.harmed()) {
    error = {verdict.error, std::system_category()};
    told("epoll_ctl", fd, failure(verdict.error));
    return nullptr;
  }
  FdWatchPtr below = inner().watch(fd, listener, error);
  told("epoll_ctl", fd, below ? IoResult{} : failure(error.value()));
  return below ? FdWatchPtr(new Watch(*this, fd, std::move(below))) : nullptr;
}

IoResult FaultKernel::socket(int family, int type, int protocol) {
  return plain("socket", -1, [&] { return inner().socket(family, type, protocol); });
}
IoResult FaultKernel::bind(int fd, const Address& address) {
  return plain("bind", fd, [&] { return inner().bind(fd, address); });
}
IoResult FaultKernel::listen(int fd, int backlog) {
  return plain("listen", fd, [&] { return inner().listen(fd, backlog); });
}
IoResult FaultKernel::accept(int fd, Address& peer) {
  const Verdict verdict = judge("accept", fd);
  if (!verdict.harmed()) return told("accept", fd, inner().accept(fd, peer));
  made_up(fd, Direction::read);
  return told("accept", fd, failure(verdict.error));
}
IoResult FaultKernel::connect(int fd, const Address& address) {
  const Verdict verdict = judge("connect", fd);
  if (!verdict.harmed()) return told("connect", fd, inner().connect(fd, address));
  int type = 0;
  if (!verdict.later || !address.is_ip() ||
      !inner().get_option(fd, SOL_SOCKET, SO_TYPE, type).ok() || type != SOCK_STREAM) {
    return told("connect", fd, failure(verdict.error));
  }
  // A socket that is not connected counts as hung up: the program is told soon.
  late_errors_[fd] = std::make_shared<int>(verdict.error);
  made_up(fd, Direction::write);
  return told("connect", fd, failure(EINPROGRESS));
}

IoResult FaultKernel::recv(int fd, MutableBytes into) {
  const Verdict verdict = judge("recv", fd, into.size());
  if (verdict.harmed() || verdict.cut()) made_up(fd, Direction::read);
  if (verdict.harmed()) return told("recv", fd, failure(verdict.error));
  return told("recv", fd, inner().recv(fd, into.first(std::min(verdict.most, into.size()))));
}
IoResult FaultKernel::read(int fd, MutableBytes into) {
  const Verdict verdict = judge("read", fd, into.size());
  if (verdict.harmed() || verdict.cut()) made_up(fd, Direction::read);
  if (verdict.harmed()) return told("read", fd, failure(verdict.error));
  return told("read", fd, inner().read(fd, into.first(std::min(verdict.most, into.size()))));
}

IoResult FaultKernel::send(int fd, BytesView bytes) {
  const Verdict verdict = judge("send", fd, bytes.size());
  if (verdict.harmed() || verdict.cut()) made_up(fd, Direction::write);
  if (verdict.harmed()) return told("send", fd, failure(verdict.error));
  return told("send", fd, inner().send(fd, bytes.first(verdict.most)));
}
IoResult FaultKernel::send_pieces(int fd, std::span<const BytesView> pieces) {
  return write_some("sendmsg", fd, pieces, &Kernel::send_pieces);
}
IoResult FaultKernel::write_pieces(int fd, std::span<const BytesView> pieces) {
  return write_some("writev", fd, pieces, &Kernel::write_pieces);
}
IoResult FaultKernel::write_some(std::string_view name, int fd, std::span<const BytesView> pieces,
                                 IoResult (Kernel::*write)(int, std::span<const BytesView>)) {
  std::size_t size = 0;
  for (const BytesView piece : pieces) size += piece.size();
  const Verdict verdict = judge(name, fd, size);
  if (!verdict.harmed() && !verdict.cut()) return told(name, fd, (inner().*write)(fd, pieces));
  made_up(fd, Direction::write);
  if (verdict.harmed()) return told(name, fd, failure(verdict.error));
  return told(name, fd, (inner().*write)(fd, cut(pieces, verdict.most)));
}

IoResult FaultKernel::shutdown(int fd, int how) {
  return plain("shutdown", fd, [&] { return inner().shutdown(fd, how); });
}
IoResult FaultKernel::close(int fd) noexcept {
  late_errors_.erase(fd);
  return told("close", fd, inner().close(fd));
}
IoResult FaultKernel::local_address(int fd, Address& address) {
  return plain("getsockname", fd, [&] { return inner().local_address(fd, address); });
}
IoResult FaultKernel::peer_address(int fd, Address& address) {
  return plain("getpeername", fd, [&] { return inner().peer_address(fd, address); });
}
IoResult FaultKernel::set_option(int fd, int level, int name, int value) {
  return plain("setsockopt", fd, [&] { return inner().set_option(fd, level, name, value); });
}
IoResult FaultKernel::get_option(int fd, int level, int name, int& value) {
  return plain("getsockopt", fd, [&] {
    const auto late = late_errors_.find(fd);
    if (late == late_errors_.end() || level != SOL_SOCKET || name != SO_ERROR) {
      return inner().get_option(fd, level, name, value);
    }
    value = std::exchange(*late->second, 0);
    late_errors_.erase(late);
    return value != 0 ? IoResult{} : inner().get_option(fd, level, name, value);
  });
}
IoResult FaultKernel::pipe(int& read_end, int& write_end) {
  const Verdict verdict = judge("pipe2", -1);
  const IoResult made =
      verdict.harmed() ? failure(verdict.error) : inner().pipe(read_end, write_end);
  told("pipe2", made.ok() ? read_end : -1, made);
  return made.ok() ? told("pipe2", write_end, made) : made;
}
IoResult FaultKernel::set_pipe_size(int fd, std::size_t bytes) {
  return plain("fcntl", fd, [&] { return inner().set_pipe_size(fd, bytes); });
}
IoResult FaultKernel::duplicate(int fd) {
  return plain("fcntl", fd, [&] {
    const IoResult copy = inner().duplicate(fd);
    const auto late = late_errors_.find(fd);
    if (copy.ok() && late != late_errors_.end()) late_errors_[copy.fd()] = late->second;
    return copy;
  });
}
IoResult FaultKernel::set_membership(int fd, const Address& group, unsigned interface, bool join) {
  return plain("setsockopt", fd,
               [&] { return inner().set_membership(fd, group, interface, join); });
}

IoResult FaultKernel::splice_in(int socket, int pipe, std::size_t count) {
  const Verdict verdict = judge("splice", socket, count);
  if (verdict.harmed() || verdict.cut()) made_up(socket, Direction::read);
  if (verdict.harmed()) return told("splice", socket, failure(verdict.error));
  return told("splice", socket, inner().splice_in(socket, pipe, std::min(count, verdict.most)));
}
IoResult FaultKernel::splice_out(int pipe, int socket, std::size_t count) {
  const Verdict verdict = judge("splice", socket, count);
  if (verdict.harmed() || verdict.cut()) made_up(socket, Direction::write);
  if (verdict.harmed()) return told("splice", socket, failure(verdict.error));
  return told("splice", socket, inner().splice_out(pipe, socket, std::min(count, verdict.most)));
}

IoResult FaultKernel::recv_datagrams(int fd, std::span<IncomingDatagram> into) {
  const Verdict verdict = judge("recvmmsg", fd, into.size());
  if (verdict.harmed() || verdict.cut()) made_up(fd, Direction::read);
  if (verdict.harmed()) return told("recvmmsg", fd, failure(verdict.error));
  return told("recvmmsg", fd,
              inner().recv_datagrams(fd, into.first(std::min(into.size(), verdict.most))));
}
IoResult FaultKernel::send_datagrams(int fd, std::span<const OutgoingDatagram> datagrams) {
  const Verdict verdict = judge("sendmmsg", fd, datagrams.size());
  if (verdict.harmed() || verdict.cut()) made_up(fd, Direction::write);
  if (verdict.harmed()) return told("sendmmsg", fd, failure(verdict.error));
  const auto some = datagrams.first(std::min(datagrams.size(), verdict.most));
  return told("sendmmsg", fd, inner().send_datagrams(fd, some));
}

IoResult FaultKernel::send_file(int fd, int file, std::uint64_t offset, std::size_t count) {
  const Verdict verdict = judge("sendfile", fd, count);
  if (verdict.harmed() || verdict.cut()) made_up(fd, Direction::write);
  if (verdict.harmed()) return told("sendfile", fd, failure(verdict.error));
  return told("sendfile", fd, inner().send_file(fd, file, offset, std::min(count, verdict.most)));
}
IoResult FaultKernel::read_at(int file, std::uint64_t offset, MutableBytes into) {
  const Verdict verdict = judge("pread", file, into.size());
  if (verdict.harmed()) return told("pread", file, failure(verdict.error));
  const MutableBytes some = into.first(std::min(verdict.most, into.size()));
  return told("pread", file, inner().read_at(file, offset, some));
}

IoResult FaultKernel::spawn(const SpawnRequest& request, int& pid) {
  return plain("posix_spawn", -1, [&] { return inner().spawn(request, pid); });
}
IoResult FaultKernel::signal_process(int process, int number) {
  return plain("pidfd_send_signal", process,
               [&] { return inner().signal_process(process, number); });
}

IoResult FaultKernel::send_descriptors(int fd, BytesView bytes, std::span<const int> descriptors) {
  const Verdict verdict = judge("sendmsg", fd, bytes.size());
  if (verdict.harmed() || verdict.cut()) made_up(fd, Direction::write);
  if (verdict.harmed()) return told("sendmsg", fd, failure(verdict.error));
  return told("sendmsg", fd, inner().send_descriptors(fd, bytes.first(verdict.most), descriptors));
}
IoResult FaultKernel::recv_descriptors(int fd, MutableBytes into, std::vector<Fd>& descriptors) {
  const Verdict verdict = judge("recvmsg", fd, into.size());
  if (verdict.harmed() || verdict.cut()) made_up(fd, Direction::read);
  if (verdict.error == EMSGSIZE) {  // what came is lost
    std::vector<Fd> lost;
    const IoResult came = inner().recv_descriptors(fd, into, lost);
    return told("recvmsg", fd, lost.empty() ? came : failure(EMSGSIZE));
  }
  if (verdict.harmed()) return told("recvmsg", fd, failure(verdict.error));
  const MutableBytes some = into.first(std::min(verdict.most, into.size()));
  return told("recvmsg", fd, inner().recv_descriptors(fd, some, descriptors));
}
IoResult FaultKernel::peer_credentials(int fd, PeerCredentials& credentials) {
  return plain("getsockopt", fd, [&] { return inner().peer_credentials(fd, credentials); });
}
IoResult FaultKernel::find_socket_file(const Address& path, FileId& file) {
  return plain("lstat", -1, [&] { return inner().find_socket_file(path, file); });
}
IoResult FaultKernel::remove_file(const Address& path) {
  return plain("unlink", -1, [&] { return inner().remove_file(path); });
}

}  // namespace ferry::testing
