#include "disturber.h"

#include <algorithm>

namespace ferry::testing {

using Kind = Disturbance::Kind;

Trial::Disturber::Disturber(Trial& trial, std::vector<Disturbance> all) : trial_(trial) {
  storm_.seed = trial.lot("fault").next();
  for (const Disturbance& one : all) {
    switch (one.kind) {
      case Kind::stall:
      case Kind::partition:
      case Kind::cut:
      case Kind::errors:
      case Kind::descriptors:
      case Kind::clock:
        harms_later_ |= trial.sim_ && one.kind == Kind::partition;
        if (trial.sim_ || one.kind == Kind::errors) waiting_.push_back(one);
        break;
      default:
        start_at_once(one);
    }
  }
  std::stable_sort(waiting_.begin(), waiting_.end(),
                   [](const auto& a, const auto& b) { return a.after > b.after; });
}

void Trial::Disturber::start_at_once(const Disturbance& one) {
  SimKernel* sim = trial_.sim_;
  switch (one.kind) {
    case Kind::error:
      faults_.push_back(trial_.faults_->inject({.call = one.call,
                                                .error = one.error,
                                                .after = one.after,
                                                .times = one.count,
                                                .later = one.later}));
      return;
    case Kind::call:
      return trial_.faults_->fail_call(one.after, one.count);
    case Kind::short_counts:
      storm_.short_counts = static_cast<unsigned>(one.count);
      return blow();
    case Kind::link:
      if (sim) sim->network().set_link(one.link);
      return;
    case Kind::slow_turns:
      if (sim) sim->set_turn_cost(one.lasts);
      return;
    case Kind::cut_after:
      if (!sim) return;
      troubles_.push_back(sim->network().cut_after(one.count));
      harms_later_ = true;
      return;
    default:
      return;  // the kernel was made with it
  }
}

void Trial::Disturber::count_calls() {
  while (!waiting_.empty() && trial_.faults_->calls() >= waiting_.back().after) {
    const Disturbance one = waiting_.back();
    waiting_.pop_back();
    // Not inside the call: what is cut there is in nobody's hands.
    if (trial_.sim_) {
      trial_.sim_->at(trial_.sim_->now(), [this, one] { begin(one); });
    } else {
      begin(one);
    }
  }
}

void Trial::Disturber::begin(const Disturbance& one) {
  if (trial_.healed_) return;
  SimKernel* sim = trial_.sim_;
  switch (one.kind) {
    case Kind::stall:
      return keep(sim->network().stall(route(one.way)), one.lasts);
    case Kind::partition:
      return keep(sim->network().partition(route(one.way)), one.lasts);
    case Kind::cut:
      if (sim->network().cut({}, one.ends) > 0) trial_.harmed_ = true;
      if (one.ends == SimEnds::both) return;
      return sim->at(sim->now() + one.lasts, [sim] { sim->network().tell_cut(); });
    case Kind::errors:
      storm_.errors = static_cast<unsigned>(one.count);
      blow();
      if (!sim) return;
      sim->at(sim->now() + one.lasts, [this] {
        storm_.errors = 0;
        if (!trial_.healed_) blow();
      });
      return;
    case Kind::descriptors:
      trial_.harmed_ = true;
      return forbid_descriptors(one.lasts);
    case Kind::clock:
      trial_.harmed_ = true;
      return sim->advance(one.lasts);
    default:
      return;
  }
}

SimRoute Trial::Disturber::route(Disturbance::Way way) const {
  SimRoute route;
  if (way == Disturbance::Way::both || trial_.server_.port() == 0) return route;
  (way == Disturbance::Way::to_server ? route.to : route.from) = trial_.server_;
  route.one_way = true;
  return route;
}

void Trial::Disturber::forbid_descriptors(Duration time) {
  SimKernel& sim = *trial_.sim_;
  sim.set_descriptor_limit(sim.stats().open_sockets);
  sim.at(sim.now() + time,
         [this] { trial_.sim_->set_descriptor_limit(trial_.options_.sim.descriptor_limit); });
}

void Trial::Disturber::blow() {
  trial_.faults_->storm(storm_);
  // The next one is another one.
  storm_.seed = Seed(storm_.seed, "next").next();
}

template <class Guard>
void Trial::Disturber::keep(Guard guard, Duration time) {
  troubles_.push_back(std::move(guard));
  const auto place = std::prev(troubles_.end());
  trial_.sim_->at(trial_.sim_->now() + time, [place] { place->end(); });
}

bool Trial::Disturber::has_harmed() const {
  if (!harms_later_) return false;
  const SimNetworkStats stats = trial_.sim_->network().stats();
  return stats.cut + stats.stopped > 0;
}

void Trial::Disturber::heal() {
  waiting_.clear();
  trial_.faults_->heal();
  if (!trial_.sim_) return;
  trial_.sim_->network().heal();
  trial_.sim_->set_descriptor_limit(trial_.options_.sim.descriptor_limit);
}

}  // namespace ferry::testing
