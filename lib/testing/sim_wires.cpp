#include "sim_wires.h"

#include "sim_names.h"
#include "sim_turns.h"

#include <algorithm>
#include <chrono>

namespace ferry::testing {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kPacket = 1448;  // Ethernet's 1500 bytes less the headers of IP and TCP

SimRoute unmapped(SimRoute route) {
  route.from = testing::unmapped(route.from);
  route.to = testing::unmapped(route.to);
  return route;
}

bool fits(const Address& pattern, const Address& address) {
  if (pattern.empty() || pattern == address) return true;
  return pattern.is_ip() && pattern.port() == 0 && address.is_ip() &&
         pattern == address.with_port(0);
}

bool covers_forward(const SimRoute& route, const Address& from, const Address& to) {
  return fits(route.from, from) && fits(route.to, to);
}

bool covers(const SimRoute& route, const Address& from, const Address& to) {
  return covers_forward(route, from, to) || (!route.one_way && covers_forward(route, to, from));
}

bool alive(const SimSocket* end) {
  return end && end->state == SimSocket::State::connected;
}

Duration time_for(std::size_t bytes, std::uint64_t bandwidth) {
  const std::uint64_t nanoseconds = std::uint64_t{bytes} * 1'000'000'000 / bandwidth;
  return Duration(static_cast<Duration::rep>(nanoseconds));
}

/// What a delivery is in the log.
enum Noted : unsigned { kBytes = 8, kFin, kRst, kDatagram, kLost, kCut };

}  // namespace

TimePoint SimWires::now() const noexcept {
  return turns_.now();
}

void SimWires::note(unsigned kind, const Address& from, const Address& to, std::size_t size) {
  turns_.note(kind, std::uint64_t{from.port()} << 16 ^ to.port());
  turns_.note(kind, size);
}

// -- what was set

void SimWires::activate() {
  if (std::exchange(active_, true)) return;
  if (join_all_) join_all_();
}

void SimWires::set_link(SimLink link, SimRoute route) {
  route = unmapped(std::move(route));
  activate();
  std::erase_if(links_, [&route](const LinkRule& rule) { return rule.route == route; });
  links_.push_back({std::move(route), link});
  ++link_version_;
}

SimLink SimWires::link_between(const Address& from, const Address& to) const {
  for (auto it = links_.rbegin(); it != links_.rend(); ++it) {
    if (covers(it->route, from, to)) return it->link;
  }
  return {};
}

const SimLink& SimWires::link_of(SimFlow& flow) {
  if (flow.link_version != link_version_) {
    flow.link = link_between(flow.from_address, flow.to_address);
    flow.link_version = link_version_;
  }
  return flow.link;
}

Duration SimWires::latency(const SimLink& link) {
  const Duration more = link.latency_max - link.latency_min;
  if (more <= Duration::zero()) return std::max(link.latency_min, Duration::zero());
  const std::size_t drawn = seed_.below(static_cast<std::size_t>(more.count()) + 1);
  return link.latency_min + Duration(static_cast<Duration::rep>(drawn));
}

bool SimWires::in_trouble(const Address& from, const Address& to, Trouble trouble) const {
  return std::any_of(rules_.begin(), rules_.end(), [&](const Rule& rule) {
    return rule.trouble == trouble && covers(rule.route, from, to);
  });
}

bool SimWires::between(const Address& from, const Address& to, Trouble trouble) const {
  return in_trouble(from, to, trouble) || in_trouble(to, from, trouble);
}

bool SimWires::blocked(const SimFlow& flow) const {
  return in_trouble(flow.from_address, flow.to_address, Trouble::stall) ||
         in_trouble(flow.from_address, flow.to_address, Trouble::partition);
}

std::uint64_t SimWires::begin(Trouble trouble, SimRoute route, std::uint64_t bytes, SimEnds ends) {
  activate();
  const std::uint64_t number = next_rule_++;
  rules_.push_back({number, trouble, unmapped(std::move(route)), bytes, ends});
  if (trouble == Trouble::cut) {
    for (const auto& [key, connection] : connections_) doom(*connection, rules_.back());
  }
  return number;
}

void SimWires::end(std::uint64_t number) noexcept {
  if (std::erase_if(rules_, [number](const Rule& rule) { return rule.number == number; }) == 0) {
    return;  // healed meanwhile
  }
  for (const auto& [key, connection] : connections_) {
    if (connection->cut && connection->cut->rule == number) connection->cut.reset();
    for (SimFlow* flow : {&connection->there, &connection->back}) {
      if (std::exchange(flow->held, false)) schedule(*flow);
    }
  }
  for (SimDatagram& datagram : std::exchange(held_, {})) fly(std::move(datagram), now());
}

void SimWires::end_all() {
  while (!rules_.empty()) end(rules_.back().number);
  tell_cut();
}

void SimWires::doom(SimConnection& connection, const Rule& rule) const {
  const SimFlow& there = connection.there;
  if (covers(rule.route, there.from_address, there.to_address) ||
      covers(rule.route, there.to_address, there.from_address)) {
    connection.cut = {rule.number, rule.bytes};
  }
}

std::size_t SimWires::cut(SimRoute route, SimEnds ends) {
  route = unmapped(std::move(route));
  activate();
  const std::uint64_t before = stats_.cut;
  for (const auto& [key, connection] : connections_) {
    const SimFlow& there = connection->there;
    if (covers(route, there.from_address, there.to_address) ||
        covers(route, there.to_address, there.from_address)) {
      cut(*connection, route, ends);
    }
  }
  return static_cast<std::size_t>(stats_.cut - before);
}

void SimWires::cut(SimConnection& connection, const SimRoute& route, SimEnds ends) {
  connection.cut.reset();
  SimFlow& there = connection.there;
  const bool forward = covers_forward(route, there.from_address, there.to_address);
  SimFlow& along = forward ? there : connection.back;
  if (!alive(along.to) && !alive(along.back->to)) return;
  ++stats_.cut;
  note(kCut, along.from_address, along.to_address, static_cast<std::size_t>(ends));
  // Who has something under way hears of it as well: it would be sent again, and refused.
  const bool tell_from = ends != SimEnds::to || !along.segments.empty();
  const bool tell_to = ends != SimEnds::from || !along.back->segments.empty();
  clear(along);
  clear(*along.back);
  if (tell_from && alive(along.back->to)) along.back->to->reset();
  if (tell_to && alive(along.to)) along.to->reset();
  connection.half_cut = alive(along.to) || alive(along.back->to);
}

void SimWires::tell_cut() {
  for (const auto& [key, connection] : connections_) {
    if (!std::exchange(connection->half_cut, false)) continue;
    for (SimFlow* flow : {&connection->there, &connection->back}) {
      if (alive(flow->to)) flow->to->reset();
    }
  }
}

SimNetworkStats SimWires::stats() const {
  SimNetworkStats stats = stats_;
  for (const auto& [key, connection] : connections_) {
    stats.in_flight += connection->there.bytes.size() + connection->back.bytes.size();
  }
  return stats;
}

// -- streams

void SimWires::join(SimSocket& client, SimSocket& server) {
  const std::uint64_t number = next_connection_++;
  auto& connection = *(connections_[number] = std::make_unique<SimConnection>());
  connection.number = number;
  connection.there.to = &server;
  connection.back.to = &client;
  connection.there.from_address = connection.back.to_address = unmapped(client.local);
  connection.there.to_address = connection.back.from_address = unmapped(client.remote);
  connection.there.back = &connection.back;
  connection.back.back = &connection.there;
  connection.there.connection = connection.back.connection = &connection;
  client.out = &connection.there;
  server.out = &connection.back;
  for (const Rule& rule : rules_) {
    if (rule.trouble == Trouble::cut) doom(connection, rule);
  }
}

void SimWires::leave(SimSocket& socket) noexcept {
  SimFlow& out = *std::exchange(socket.out, nullptr);
  out.back->to = nullptr;
  if (out.to) return;
  clear(out);
  clear(*out.back);
  connections_.erase(out.connection->number);
}

void SimWires::clear(SimFlow& flow) noexcept {
  flow.bytes.reset();
  flow.segments.clear();
  flow.held = false;
  flow.rst_sent = false;
  if (flow.event) agenda_.remove(*flow.event);
  flow.event.reset();
}

void SimWires::enter(SimFlow& flow, SimFlow::Segment::Kind kind, std::size_t size, bool alone) {
  const SimLink& link = link_of(flow);
  TimePoint departure = std::max(now(), flow.free_at);
  if (link.bandwidth != 0) departure += time_for(size, link.bandwidth);
  flow.free_at = departure;
  flow.last_due = std::max(flow.last_due, departure + latency(link));
  flow.segments.push_back({kind, alone, size, flow.last_due});
}

void SimWires::send(SimFlow& flow, std::span<const BytesView> pieces, std::size_t size) {
  const SimLink& link = link_of(flow);
  const bool alone = link.pieces != SimLink::Pieces::whole;
  std::size_t left = size;
  for (const BytesView& piece : pieces) {
    const BytesView part = piece.first(left);
    if (!part.empty()) flow.bytes.append(part);
    left -= part.size();
  }
  while (size > 0) {
    const std::size_t next = piece_of(flow, link, size);
    enter(flow, SimFlow::Segment::Kind::bytes, next, alone);
    flow.entered += next;
    size -= next;
  }
  start(flow);
}

std::size_t SimWires::piece_of(const SimFlow& flow, const SimLink& link, std::size_t left) {
  const std::size_t size = std::max<std::size_t>(link.piece_size, 1);
  switch (link.pieces) {
    case SimLink::Pieces::whole:
      return link.bandwidth != 0 ? std::min(left, kPacket) : left;
    case SimLink::Pieces::single:
      return 1;
    case SimLink::Pieces::random:
      return seed_.between(1, std::min(left, size));
    case SimLink::Pieces::fixed:
      return std::min(left, size);
    case SimLink::Pieces::boundary: {
      // From one byte before a multiple, too, on to the one behind it.
      const std::uint64_t multiple = ((flow.entered + 1) / size + 1) * size;
      const auto next = static_cast<std::size_t>(multiple - 1 - flow.entered) + seed_.below(3);
      return std::min(left, next);
    }
  }
  return left;
}

void SimWires::send_fin(SimFlow& flow) {
  enter(flow, SimFlow::Segment::Kind::fin);
  start(flow);
}

void SimWires::send_rst(SimFlow& flow) {
  if (std::exchange(flow.rst_sent, true)) return;
  enter(flow, SimFlow::Segment::Kind::rst);
  start(flow);
}

void SimWires::abort(SimFlow& flow) {
  // Nobody will send again what is lost on the way; the RST comes no sooner for that.
  if (!flow.rst_sent) clear(flow);
  if (alive(flow.to)) flow.to->drop_unsent();
  send_rst(flow);
}

void SimWires::refuse(SimFlow& flow) {
  if (!flow.rst_sent && alive(flow.to)) {
    const bool full = flow.to->inbox.size() >= flow.to->receive_size;
    flow.to->drop_unsent();
    std::size_t room = flow.to->receive_size - flow.to->inbox.size();
    std::size_t kept = 0;
    auto segment = flow.segments.begin();
    // Not even a FIN has a place behind what has none.
    for (; !full && segment != flow.segments.end() && segment->size <= room; ++segment) {
      room -= segment->size;
      kept += segment->size;
    }
    if (segment != flow.segments.end() && room > 0) {
      segment->size = room;
      kept += room;
      ++segment;
    }
    flow.segments.erase(segment, flow.segments.end());
    flow.bytes = Buffer(flow.bytes.view().first(kept));
  }
  send_rst(flow);
}

void SimWires::start(SimFlow& flow) {
  if (flow.held) return;
  // A piece is to be seen alone, so it comes in a turn of its own: at the earliest in the next.
  if (flow.segments.front().alone) return schedule(flow);
  pump(flow);
}

void SimWires::schedule(SimFlow& flow) {
  if (flow.event || flow.segments.empty()) return;
  flow.event = agenda_.add(std::max(flow.segments.front().due, now()), [this, &flow] {
    flow.event.reset();
    pump(flow);
  });
}

void SimWires::pump(SimFlow& flow) {
  while (!flow.event && !flow.segments.empty()) {
    const SimFlow::Segment segment = flow.segments.front();
    if (segment.due > now()) return schedule(flow);
    flow.held = blocked(flow);
    if (flow.held) {
      if (in_trouble(flow.from_address, flow.to_address, Trouble::partition)) note_stopped();
      return;
    }
    flow.segments.pop_front();
    deliver(flow, segment);
    if (segment.alone) return schedule(flow);
  }
}

void SimWires::deliver(SimFlow& flow, SimFlow::Segment segment) {
  ++stats_.deliveries;
  switch (segment.kind) {
    case SimFlow::Segment::Kind::bytes:
      return deliver_bytes(flow, segment.size);
    case SimFlow::Segment::Kind::fin:
      note(kFin, flow.from_address, flow.to_address, 0);
      if (alive(flow.to)) {
        flow.to->fin_received = true;
        flow.to->edge_read();
      } else if (flow.to) {
        send_rst(*flow.back);
      }
      return;
    case SimFlow::Segment::Kind::rst:
      note(kRst, flow.from_address, flow.to_address, 0);
      if (alive(flow.to)) flow.to->reset();
      return;
  }
}

void SimWires::deliver_bytes(SimFlow& flow, std::size_t size) {
  note(kBytes, flow.from_address, flow.to_address, size);
  if (!alive(flow.to) || flow.to->is_deaf()) {
    flow.bytes.consume(size);
    refuse(*flow.back);
    if (alive(flow.to)) flow.to->reset();
    return;
  }
  auto& cut_later = flow.connection->cut;
  const Rule* rule = nullptr;
  std::size_t count = size;
  if (cut_later) {
    rule = &*std::find_if(rules_.begin(), rules_.end(),
                          [&](const Rule& each) { return each.number == cut_later->rule; });
    if (covers(rule->route, flow.from_address, flow.to_address)) {
      count = static_cast<std::size_t>(std::min<std::uint64_t>(size, cut_later->bytes));
      cut_later->bytes -= count;
    } else {
      rule = nullptr;
    }
  }
  if (count > 0) {
    const BytesView arrived = flow.bytes.view();
    flow.to->append(std::span(&arrived, 1), count);
    stats_.bytes += count;
  }
  flow.bytes.consume(size);
  if (rule && cut_later->bytes == 0) cut(*flow.connection, rule->route, rule->ends);
}

// -- connects and datagrams

Duration SimWires::round_trip(const Address& from, const Address& to) {
  return latency(link_between(from, to)) + latency(link_between(to, from));
}

void SimWires::send_datagram(SimDatagram datagram) {
  const SimLink link = link_between(unmapped(datagram.from), unmapped(datagram.to));
  Path& path = paths_[{datagram.from, datagram.to}];
  TimePoint departure = std::max(now(), path.free_at);
  if (link.bandwidth != 0) departure += time_for(datagram.bytes.size(), link.bandwidth);
  path.free_at = departure;
  const bool stopped =
      in_trouble(unmapped(datagram.from), unmapped(datagram.to), Trouble::partition);
  if (stopped) note_stopped();
  if (seed_.permille(link.loss) || stopped) {
    ++stats_.lost;
    return note(kLost, datagram.from, datagram.to, datagram.bytes.size());
  }
  const bool twice = seed_.permille(link.duplication);
  if (twice) ++stats_.duplicated;
  for (int copy = twice ? 2 : 1; copy > 0; --copy) {
    TimePoint due = std::max(path.last_due, departure + latency(link));
    if (seed_.permille(link.reorder)) {
      const Duration most = std::max<Duration>(link.latency_max, 1ms);
      due += Duration(seed_.between(1, static_cast<std::size_t>(most.count())));
      ++stats_.reordered;
    } else {
      path.last_due = due;
    }
    ++path.under_way;
    if (due <= now() && path.under_way == 1) {
      land(datagram);
    } else {
      fly(datagram, due);
    }
  }
}

void SimWires::fly(SimDatagram datagram, TimePoint due) {
  agenda_.add(due, [this, flying = std::move(datagram)]() mutable { land(std::move(flying)); });
}

void SimWires::land(SimDatagram datagram) {
  const Address from = unmapped(datagram.from);
  const Address to = unmapped(datagram.to);
  if (in_trouble(from, to, Trouble::stall)) return held_.push_back(std::move(datagram));
  --paths_[{datagram.from, datagram.to}].under_way;
  if (in_trouble(from, to, Trouble::partition)) {
    note_stopped();
    ++stats_.lost;
    return note(kLost, from, to, datagram.bytes.size());
  }
  ++stats_.deliveries;
  ++stats_.datagrams;
  note(kDatagram, from, to, datagram.bytes.size());
  sink_(std::move(datagram));
}

}  // namespace ferry::testing
