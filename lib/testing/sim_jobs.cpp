#include "sim_jobs.h"

#include "sim_turns.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace ferry::testing {
namespace {

constexpr std::uint64_t kJob = 16;  // in the log

}  // namespace

SimExecutor::SimExecutor(SimTurns& turns, SimAgenda& agenda, Duration least, Duration most)
    : turns_(turns), agenda_(agenda), least_(least), most_(most) {}

TimePoint SimExecutor::draw() {
  return turns_.now() + turns_.draw(least_, most_);
}

void SimExecutor::submit_late(Duration more, Function<void()> job) {
  if (queue_->closed) throw std::logic_error("the executor takes no more jobs");
  const TimePoint due = draw() + more;
  const std::uint64_t number = queue_->next++;
  queue_->jobs.emplace(number, std::move(job));
  last_due_ = std::max(last_due_, due);
  agenda_.add(due, [queue = queue_, turns = &turns_, number] {
    auto entry = queue->jobs.extract(number);
    if (!entry) return;
    turns->note(kJob, number);
    entry.mapped()();
  });
}

void SimExecutor::submit_apart(Function<void()> job) {
  agenda_.add(std::max(draw(), last_due_), std::move(job));
}

void SimExecutor::shutdown() {
  queue_->closed = true;
  while (!queue_->jobs.empty()) queue_->jobs.extract(queue_->jobs.begin()).mapped()();
}

void SimExecutor::detach() noexcept {
  queue_->closed = true;
  // What a job drags along may call this again.
  std::exchange(queue_->jobs, {}).clear();
}

}  // namespace ferry::testing
