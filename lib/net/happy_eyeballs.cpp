#include "happy_eyeballs.h"

#include <ferry/error.h>

#include <algorithm>
#include <new>

namespace ferry {

std::vector<Address> interleave_families(std::vector<Address> addresses, std::size_t first_family) {
  if (first_family == 0 || addresses.empty()) return addresses;
  std::vector<std::vector<Address>> families;  // in the order of their first address
  for (Address& address : addresses) {
    auto family = std::find_if(families.begin(), families.end(), [&](const auto& members) {
      return members.front().family() == address.family();
    });
    if (family == families.end()) family = families.emplace(families.end());
    family->push_back(std::move(address));
  }
  std::vector<Address> order;
  const std::size_t ahead = std::min(first_family, families.front().size()) - 1;
  const auto first = families.front().begin();
  std::move(first, first + static_cast<std::ptrdiff_t>(ahead), std::back_inserter(order));
  for (std::size_t round = 0; order.size() < addresses.size(); ++round) {
    for (auto& family : families) {
      const std::size_t index = &family == &families.front() ? round + ahead : round;
      if (index < family.size()) order.push_back(std::move(family[index]));
    }
  }
  return order;
}

ConnectRace::ConnectRace(EventLoop& loop, std::vector<Address> remotes, std::vector<Address> locals,
                         std::optional<Duration> delay, Function<void(Outcome)> done)
    : loop_(loop),
      remotes_(std::move(remotes)),
      locals_(std::move(locals)),
      delay_(delay),
      done_(std::move(done)),
      errors_(remotes_.size()),
      delay_timer_(loop, [this] { start_next(); }) {}

Address ConnectRace::latest() const {
  return next_ == 0 ? Address() : remotes_[next_ - 1];
}

void ConnectRace::start_next() {
  delay_timer_.cancel();
  while (next_ < remotes_.size()) {
    const std::size_t index = next_++;
    std::unique_ptr<ConnectAttempt> attempt;
    try {
      runners_.reserve(runners_.size() + 1);
      attempt = std::make_unique<ConnectAttempt>(
          loop_, remotes_[index], [this](ConnectAttempt& finished) { on_finished(finished); });
    } catch (const std::bad_alloc&) {
      errors_[index] = {std::make_error_code(std::errc::not_enough_memory), "connect", {}};
      continue;
    }
    switch (attempt->start(locals_)) {
      case ConnectAttempt::Status::connected:
        return win(*attempt);
      case ConnectAttempt::Status::failed:
        errors_[index] = attempt->take_error();
        break;
      case ConnectAttempt::Status::pending:
        runners_.push_back({index, std::move(attempt)});
        if (delay_ && next_ < remotes_.size()) delay_timer_.set(*delay_);
        return;
    }
  }
  if (runners_.empty()) lose();
}

void ConnectRace::on_finished(ConnectAttempt& attempt) {
  if (attempt.status() == ConnectAttempt::Status::connected) return win(attempt);
  const auto runner = std::find_if(runners_.begin(), runners_.end(), [&](const Runner& other) {
    return other.attempt.get() == &attempt;
  });
  const bool latest = runner + 1 == runners_.end();
  errors_[runner->index] = attempt.take_error();
  runners_.erase(runner);
  // An older one that fails leaves the latest its time.
  if (latest) start_next();
}

void ConnectRace::win(ConnectAttempt& attempt) {
  Outcome outcome;
  outcome.remote = attempt.take_remote();
  outcome.socket = attempt.take_socket();
  // The others at once, also one that has connected and only waits to say so.
  delay_timer_.cancel();
  runners_.clear();
  std::exchange(done_, nullptr)(std::move(outcome));
}

void ConnectRace::lose() {
  Outcome outcome;
  std::erase_if(errors_, [](const Error& error) { return !error; });
  outcome.errors = std::move(errors_);
  std::exchange(done_, nullptr)(std::move(outcome));
}

}  // namespace ferry
