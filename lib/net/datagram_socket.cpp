#include "datagram_socket.h"

#include "datagram_call.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <stdexcept>
#include <utility>

namespace ferry {

void DatagramProtocol::connection_made(std::shared_ptr<DatagramTransport>) {}
void DatagramProtocol::datagram_received(BytesView, const DatagramInfo&) {}
void DatagramProtocol::error_received(std::error_code) {}
void DatagramProtocol::connection_lost(std::error_code) {}
void DatagramProtocol::pause_writing() {}
void DatagramProtocol::resume_writing() {}

std::shared_ptr<DatagramSocket> DatagramSocket::start(EventLoop& loop, DatagramStart start) {
  auto socket = std::make_shared<DatagramSocket>(loop, start);
  DatagramSocket& s = *socket;
  // Without its name the socket would not know whom it may send to.
  const IoResult named = loop.kernel().local_address(s.fd_, s.sockname_);
  if (!named.ok()) throw IoError({named.code(), "getsockname", s.remote_});
  s.plain_ = !s.sockname_.is_ip();
  std::error_code error;
  s.watch_ = loop.kernel().watch(s.fd_, s, error);
  if (error) throw IoError({error, "watch", s.sockname()});
  s.set_options(start.receive_info, start.segmentation);
  loop.claim_descriptor(s.fd_);
  loop.call_soon([socket, made = std::move(start.made)]() mutable {
    socket->make_connection(std::move(made));
  });
  // Nothing can fail any more: from here on the loop owns it.
  s.watch_->arm(Direction::read, FdWatch::Arm::if_ready);
  s.self_ = socket;
  return socket;
}

DatagramSocket::DatagramSocket(EventLoop& loop, DatagramStart& start)
    : LoopResource(loop, Kind::transport),
      protocol_(std::move(start.protocol)),
      connected_(start.connected),
      plain_(false),
      retry_(loop,
             [this] {
               if (readable_ && made_ && is_reading()) receive_or_retry(/*drain=*/true);
               if (lost()) return;
               const Cork cork(*this);
               send_queue();
             }),
      remote_(std::move(start.remote)) {
  // Last: what is taken before an exception nobody would close.
  fd_ = start.socket.release();
  file_ = std::move(start.file);
}

DatagramSocket::~DatagramSocket() {
  // Only if it never started: the loop lets go of no other one before connection_lost.
  if (fd_ < 0) return;
  watch_.reset();
  loop().release_descriptor(fd_);
  loop().kernel().close(fd_);
}

/// What a kernel refuses it refuses for good: the socket does without.
void DatagramSocket::set_options(bool receive_info, bool segmentation) {
  if (plain_) return;
  Kernel& kernel = loop().kernel();
  if (segmentation) {
    kernel.set_option(fd_, IPPROTO_UDP, UDP_GRO, 1);
    int segment = 0;
    joins_ = kernel.get_option(fd_, IPPROTO_UDP, UDP_SEGMENT, segment).ok();
  }
  if (!receive_info) return;
  knows_local_ = true;
  if (sockname_.family() == AF_INET6) {
    kernel.set_option(fd_, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    kernel.set_option(fd_, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
  } else {
    kernel.set_option(fd_, IPPROTO_IP, IP_PKTINFO, 1);
  }
  // An IPv6 socket may hear from IPv4 as well.
  kernel.set_option(fd_, IPPROTO_IP, IP_RECVTOS, 1);
}

void DatagramSocket::make_connection(Function<void()> made) {
  if (lost()) return;
  made_ = true;
  call("connection_made", [this](DatagramProtocol& p) { p.connection_made(self_); });
  if (made) loop().run_callback(made);
  if (readable_ && is_reading()) receive_later();
}

// -- ending

void DatagramSocket::close() {
  if (closing_) return;
  closing_ = true;
  held_.clear();
  if (corks_ == 0 && queue_.empty()) end_soon();
}

void DatagramSocket::abort() {
  if (lost()) return;
  closing_ = true;
  held_.clear();
  queue_.clear();
  end_soon();
}

/// connection_lost, from the loop.
void DatagramSocket::end_soon() {
  if (ending_) return;
  ending_ = true;
  call_without_fail([socket = self_] { socket->lose({}); });
}

void DatagramSocket::on_overdue() {
  const auto self = self_;
  if (ending_) return lose({});
  if (read_queued_) receive_again();
}

void DatagramSocket::lose(std::error_code error) {
  if (lost()) return;
  const auto self = self_;
  closing_ = ending_ = true;
  retry_.cancel();
  queue_.clear();
  if (made_) call("connection_lost", [&](DatagramProtocol& p) { p.connection_lost(error); });
  queue_.clear();
  held_.clear();
  sockname();  // somebody may still ask
  watch_.reset();
  loop().release_descriptor(fd_);
  loop().kernel().close(std::exchange(fd_, -1));
  file_.remove();
  leave_loop();
  protocol_.reset();
  self_.reset();
}

void DatagramSocket::on_loop_close() {
  if (!closing_ && loop().debug()) {
    loop().log(LogLevel::warning, report_text([this] {
                 return "unclosed datagram socket " + sockname().to_string();
               }));
  }
  lose(closing_ ? std::error_code() : make_error_code(errc::loop_closed));
}

// -- what it is

/// A socket that was not bound has a port from its first datagram on.
const Address& DatagramSocket::sockname() const noexcept {
  if (fd_ >= 0 && sockname_.is_ip() && sockname_.port() == 0) {
    loop().kernel().local_address(fd_, sockname_);
  }
  return sockname_;
}

void DatagramSocket::set_protocol(std::shared_ptr<DatagramProtocol> protocol) {
  if (!protocol) throw std::invalid_argument("the protocol is null");
  if (lost()) return;
  if (callbacks_ > 0) replaced_.reserve(replaced_.size() + 1);
  std::swap(protocol_, protocol);
  if (callbacks_ > 0) replaced_.push_back(std::move(protocol));
}

void DatagramSocket::report_error(std::error_code error) {
  if (!made_) return;
  call("error_received", [error](DatagramProtocol& p) { p.error_received(error); });
}

void DatagramSocket::join_group(const Address& group, unsigned interface) {
  set_membership(group, interface, true);
}

void DatagramSocket::leave_group(const Address& group, unsigned interface) {
  set_membership(group, interface, false);
}

void DatagramSocket::set_membership(const Address& group, unsigned interface, bool join) {
  if (lost()) return;
  const IoResult r = loop().kernel().set_membership(fd_, group, interface, join);
  if (!r.ok()) throw IoError({r.code(), join ? "join_group" : "leave_group", group});
}

}  // namespace ferry
