#include <ferry/testing/disturbance.h>

#include <ferry/testing/fault_kernel.h>
#include <ferry/testing/seed.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

namespace ferry::testing {

namespace {

using namespace std::chrono_literals;
using Kind = Disturbance::Kind;

/// Small values as often as big ones: as many between 1 and 10 as between 10 and 100.
std::uint64_t log_uniform(Seed& lot, std::uint64_t low, std::uint64_t high) {
  const double share = static_cast<double>(lot.below(1 << 20)) / (1 << 20);
  const double ratio = static_cast<double>(high) / static_cast<double>(low);
  return low + static_cast<std::uint64_t>(static_cast<double>(low) * (std::pow(ratio, share) - 1));
}

Duration some_time(Seed& lot, Duration low, Duration high) {
  return std::chrono::microseconds(log_uniform(lot, static_cast<std::uint64_t>(low / 1us),
                                               static_cast<std::uint64_t>(high / 1us)));
}

SimLink draw_link(Seed& lot, const Troubles& allowed) {
  SimLink link;
  if (lot.permille(700)) link.latency_min = some_time(lot, 10us, 50ms);
  if (lot.permille(400)) link.latency_max = link.latency_min + some_time(lot, 10us, 100ms);
  if (lot.permille(150)) link.bandwidth = log_uniform(lot, 100'000, 100'000'000);
  const std::size_t which = lot.below(60);
  if (which < 10) {
    link.pieces = SimLink::Pieces::random;
  } else if (which < 20) {
    link.pieces = SimLink::Pieces::fixed;
  } else if (which < 25) {
    link.pieces = SimLink::Pieces::boundary;
  } else if (which < 26) {
    link.pieces = SimLink::Pieces::single;  // dear
  }
  link.piece_size = log_uniform(lot, 1, 8192);
  const bool boundary = link.pieces == SimLink::Pieces::boundary;
  if (allowed.frame != 0 && boundary) link.piece_size = allowed.frame;
  if (allowed.least_piece > 1) {
    if (link.pieces == SimLink::Pieces::single) link.pieces = SimLink::Pieces::fixed;
    if (link.pieces == SimLink::Pieces::random) link.pieces = SimLink::Pieces::fixed;
    link.piece_size = std::max(link.piece_size, allowed.least_piece);
  }
  if (lot.permille(500)) {
    link.loss = static_cast<unsigned>(lot.below(200));
    link.duplication = static_cast<unsigned>(lot.below(100));
    link.reorder = static_cast<unsigned>(lot.below(200));
  }
  return link;
}

/// Those that hurt a program most often in real life come up most often.
constexpr std::array<std::string_view, 29> kCalls = {
    "accept",      "accept",   "accept",    "connect",     "connect",     "recv",
    "recv",        "recv",     "send",      "send",        "sendmsg",     "sendmsg",
    "socket",      "socket",   "epoll_ctl", "bind",        "listen",      "setsockopt",
    "shutdown",    "recvmmsg", "sendmmsg",  "getsockname", "getaddrinfo", "getsockopt",
    "getpeername", "pipe2",    "splice",    "fcntl",       "sendfile"};

Disturbance draw_error(Seed& lot) {
  Disturbance one{.kind = Kind::error};
  one.call = kCalls[lot.below(kCalls.size())];
  const auto errors = FaultKernel::errors_of(one.call);
  one.error = errors[lot.below(errors.size())];
  // Of some calls a program makes but a few.
  const bool few = one.call == "socket" || one.call == "bind" || one.call == "listen" ||
                   one.call == "getaddrinfo" || one.call == "pipe2" || one.call == "fcntl" ||
                   one.call == "sendfile";
  one.after = few ? lot.below(4) : log_uniform(lot, 1, 60) - 1;
  one.count = lot.permille(700) ? 1 : lot.between(2, 10);
  one.later = one.call == "connect" && lot.permille(500);
  return one;
}

Disturbance::Way draw_way(Seed& lot) {
  if (lot.permille(500)) return Disturbance::Way::both;
  return lot.permille(500) ? Disturbance::Way::to_server : Disturbance::Way::from_server;
}

Disturbance draw_harm(Seed& lot, const Troubles& allowed) {
  for (;;) {
    Disturbance one{.after = log_uniform(lot, 1, 600)};
    const std::size_t which = lot.below(12);
    if (which < 4 && allowed.calls) return draw_error(lot);
    if (which == 4 && allowed.calls) {
      one.kind = Kind::errors;
      one.count = log_uniform(lot, 2, 100);
      one.lasts = some_time(lot, 100us, 10s);
      return one;
    }
    if (which < 8 && allowed.network) {
      one.kind = which == 5 ? Kind::partition : which == 6 ? Kind::cut : Kind::cut_after;
      if (one.kind == Kind::partition) {
        one.lasts = some_time(lot, 100us, 100s);
        one.way = draw_way(lot);
      }
      if (one.kind == Kind::cut && lot.permille(500)) {
        one.ends = lot.permille(500) ? SimEnds::from : SimEnds::to;
        one.lasts = some_time(lot, 100us, 100s);
      }
      if (one.kind == Kind::cut_after) one.count = log_uniform(lot, 1, 20'000) - 1;
      return one;
    }
    if (which < 10 && allowed.descriptors) {
      one.kind = Kind::descriptors;
      one.after = log_uniform(lot, 1, 200);
      one.lasts = some_time(lot, 100us, 5s);
      return one;
    }
    if (which == 10 && allowed.clock) {
      one.kind = Kind::clock;
      one.lasts = some_time(lot, 100ms, 10min);
      return one;
    }
    if (!allowed.calls && !allowed.network && !allowed.descriptors && !allowed.clock) {
      return {.kind = Kind::schedule};
    }
  }
}

std::string milliseconds(Duration time) {
  std::string text = std::to_string(std::chrono::duration<double, std::milli>(time).count());
  return text.substr(0, text.find('.') + 4) + " ms";
}

const char* towards(Disturbance::Way way) {
  switch (way) {
    case Disturbance::Way::to_server:
      return " towards the server";
    case Disturbance::Way::from_server:
      return " from the server";
    default:
      return "";
  }
}

std::string describe(const SimLink& link) {
  std::string text = "latency " + milliseconds(link.latency_min);
  if (link.latency_max > link.latency_min) text += " to " + milliseconds(link.latency_max);
  if (link.bandwidth) text += ", " + std::to_string(link.bandwidth) + " bytes/s";
  switch (link.pieces) {
    case SimLink::Pieces::whole:
      break;
    case SimLink::Pieces::single:
      text += ", byte by byte";
      break;
    case SimLink::Pieces::boundary:
      text += ", in pieces that end near multiples of " + std::to_string(link.piece_size);
      break;
    default:
      text += ", in pieces of up to " + std::to_string(link.piece_size) + " bytes";
  }
  if (link.loss || link.duplication || link.reorder) {
    text += "; datagrams lost " + std::to_string(link.loss) + ", doubled " +
            std::to_string(link.duplication) + ", late " + std::to_string(link.reorder) +
            " of a thousand";
  }
  return text;
}

}  // namespace

std::string Disturbance::to_string() const {
  const std::string begin = "after " + std::to_string(after) + " calls: ";
  const std::string span = " for " + milliseconds(lasts);
  const std::string number = std::to_string(count);
  switch (kind) {
    case Kind::schedule:
      return "any order of what is ready at once";
    case Kind::link:
      return describe(link);
    case Kind::small_pipes:
      return "a connection holds " + number + " bytes";
    case Kind::slow_turns:
      return "a turn takes " + milliseconds(lasts);
    case Kind::short_counts:
      return number + " of a thousand counts are short";
    case Kind::stall:
      return begin + "nothing arrives" + towards(way) + span;
    case Kind::partition:
      return begin + "partition" + towards(way) + span;
    case Kind::cut:
      if (ends == SimEnds::both) return begin + "all connections are cut";
      return begin + "all connections are cut, and who " +
             (ends == SimEnds::from ? "accepted" : "connected") + " is not told" + span;
    case Kind::cut_after:
      return "each connection is cut after " + number + " bytes";
    case Kind::error:
      return begin + std::string(call) + (later ? " fails later, " : " fails ") + number +
             " times: " + FaultKernel::text_of(call, error);
    case Kind::errors:
      return begin + number + " of a thousand calls fail" + span;
    case Kind::descriptors:
      return begin + "no more descriptors" + span;
    case Kind::clock:
      return begin + "the clock jumps by " + milliseconds(lasts);
    case Kind::call:
      return "call number " + std::to_string(after) + " fails in its way number " + number;
  }
  return {};
}

std::vector<Disturbance> draw_disturbances(std::uint64_t seed, const Troubles& allowed) {
  // Not the streams of what happens then.
  std::vector<Disturbance> all;
  Seed schedule(seed, "schedule plan");
  if (schedule.permille(500)) all.push_back({.kind = Kind::schedule});
  if (schedule.permille(80)) {
    all.push_back({.kind = Kind::slow_turns, .lasts = some_time(schedule, 1us, 2ms)});
  }
  Seed net(seed, "net plan");
  if (allowed.network && net.permille(600)) {
    const SimLink link = draw_link(net, allowed);
    // A slow turn for each few bytes, and limits of time pass where nothing is wrong.
    if (link.pieces == SimLink::Pieces::single ||
        (link.pieces != SimLink::Pieces::whole && link.piece_size < 20)) {
      for (Disturbance& each : all) each.lasts = std::min<Duration>(each.lasts, 50us);
    }
    all.push_back({.kind = Kind::link, .link = link});
  }
  if (net.permille(300)) {
    const std::size_t size = log_uniform(net, 512, 64 * 1024);
    all.push_back({.kind = Kind::small_pipes, .count = std::max(size, allowed.least_piece)});
  }
  if (allowed.network && net.permille(150)) {
    all.push_back({.kind = Kind::stall,
                   .after = log_uniform(net, 1, 600),
                   .lasts = some_time(net, 100us, 800ms),
                   .way = draw_way(net)});
  }
  Seed fault(seed, "fault plan");
  if (allowed.calls && fault.permille(300)) {
    all.push_back({.kind = Kind::short_counts, .count = log_uniform(fault, 5, 400)});
  }
  if (fault.below(3) == 0) return all;
  for (std::size_t left = log_uniform(fault, 1, 5); left > 0; --left) {
    all.push_back(draw_harm(fault, allowed));
  }
  return all;
}

}  // namespace ferry::testing
