#include "sim_sockets.h"

#include <netinet/in.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <tuple>
#include <vector>

namespace ferry::testing {

IoResult SimSockets::pipe(int& read_end, int& write_end) {
  if (open_ + 2 > options_.descriptor_limit) return fail(EMFILE);
  std::tie(read_end, write_end) = connected_pair(AF_UNIX, SOCK_STREAM);
  find(read_end)->pipe_end = SimSocket::PipeEnd::read;
  find(write_end)->pipe_end = SimSocket::PipeEnd::write;
  return done();
}

IoResult SimSockets::set_pipe_size(SimSocket& pipe, std::size_t bytes) {
  if (!pipe.is_pipe()) return fail(EBADF);
  const std::size_t size = std::bit_ceil(std::max(bytes, SimPage::kSize));
  if (!pipe.peer) return done(size);
  SimSocket& writer = pipe.pipe_end == SimSocket::PipeEnd::write ? pipe : *pipe.peer;
  if (writer.peer->pages.size() > size / SimPage::kSize) return fail(EBUSY);
  writer.peer->receive_size = size / 2;
  writer.send_size = size - size / 2;
  writer.unblock();
  return done(size);
}

IoResult SimSockets::read(SimSocket& socket, MutableBytes into) {
  return socket.pipe_end == SimSocket::PipeEnd::write ? fail(EBADF) : recv(socket, into);
}

IoResult SimSockets::write(SimSocket& socket, std::span<const BytesView> pieces) {
  if (socket.pipe_end == SimSocket::PipeEnd::read) return fail(EBADF);
  return socket.is_pipe() ? write_pipe(socket, pieces) : send(socket, pieces);
}

/// By pages, as Linux's pipe_write: so what fits into one is written as a whole or not at all.
IoResult SimSockets::write_pipe(SimSocket& pipe, std::span<const BytesView> pieces) {
  std::size_t size = 0;
  for (const BytesView& piece : pieces) size += piece.size();
  if (size == 0) return done();
  if (!pipe.peer) return fail(EPIPE);
  const std::size_t page = pipe.page_size();
  std::deque<SimPage>& pages = pipe.peer->pages;
  std::size_t left = size;
  // What is not a whole page goes behind what was written before, if all of it has room there.
  const std::size_t odd = size % page;
  if (!pages.empty() && pages.back().room >= odd) {
    pages.back().bytes += odd;
    pages.back().room -= odd;
    left -= odd;
  }
  for (std::size_t free = pipe.free_pages(); left > 0 && free > 0; --free) {
    const std::size_t part = std::min(left, page);
    pages.push_back({part, page - part});
    left -= part;
  }
  if (left > 0) pipe.send_blocked = true;
  if (left == size) return fail(EAGAIN);
  pipe.peer->append(pieces, size - left);
  return done(size - left);
}

IoResult SimSockets::splice(SimSocket& from, SimSocket& to, std::size_t count) {
  using End = SimSocket::PipeEnd;
  if (from.pipe_end == End::write || to.pipe_end == End::read) return fail(EBADF);
  if (from.is_pipe() == to.is_pipe() || from.is_datagram() || to.is_datagram()) return fail(EINVAL);
  return to.is_pipe() ? splice_in(from, to, count) : splice_out(from, to, count);
}

/// The pipe is looked at first, as Linux does: who is told EAGAIN cannot know what the socket has.
IoResult SimSockets::splice_in(SimSocket& socket, SimSocket& pipe, std::size_t count) {
  if (count == 0) return done();
  if (!pipe.peer) return fail(EPIPE);
  const std::size_t free = pipe.free_pages();
  if (free == 0) {
    pipe.send_blocked = true;
    return fail(EAGAIN);
  }
  if (socket.inbox.empty()) {
    std::byte nothing[1];
    return recv(socket, nothing);
  }
  // Each piece takes a page, as small as it may be; let them be alike.
  const std::size_t size = socket.inbox.size();
  const std::size_t piece = std::clamp<std::size_t>(
      size / std::max<std::size_t>(socket.arrivals, 1), 1, pipe.page_size());
  std::vector<std::byte> taken(std::min({count, size, free * piece}));
  const IoResult got = recv(socket, taken);
  for (std::size_t left = taken.size(); left > 0;) {
    const std::size_t part = std::min(left, piece);
    pipe.peer->pages.push_back({part, 0});
    left -= part;
  }
  const BytesView moved(taken);
  pipe.peer->append(std::span(&moved, 1), moved.size());
  return got;
}

IoResult SimSockets::splice_out(SimSocket& pipe, SimSocket& socket, std::size_t count) {
  if (pipe.inbox.empty()) {
    std::byte nothing[1];
    return recv(pipe, nothing);
  }
  const BytesView there = pipe.inbox.view().first(count);
  const IoResult sent = send(socket, std::span(&there, 1));
  if (!sent.ok()) return sent;
  std::vector<std::byte> taken(sent.count());
  return recv(pipe, taken);
}

}  // namespace ferry::testing
