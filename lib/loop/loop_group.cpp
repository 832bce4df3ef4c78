#include <ferry/loop_group.h>

#include "loop_state.h"
#include "worker_thread.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace ferry {

/// Shared with whoever has work for the loops; knows of the loops by their mailboxes alone, which
/// outlive them.
class LoopGroup::Crew final : public LoopCrew, public std::enable_shared_from_this<Crew> {
 public:
  explicit Crew(const std::vector<std::unique_ptr<Member>>& members);

  std::size_t size() const noexcept override { return places_.size(); }
  bool alive(std::size_t index) const noexcept override { return places_[index]->alive; }
  bool stopping() const noexcept override { return stopping_; }
  bool post(std::size_t index, Function<void(EventLoop&)> callback) override {
    Place& place = *places_.at(index);
    return place.mailbox.post([loop = place.loop, callback = std::move(callback)]() mutable {
      callback(*loop);  // called by that loop: it exists
    });
  }
  bool post(std::size_t index, ReservedLetter& letter) noexcept override {
    return places_[index]->mailbox.post(letter);
  }
  std::size_t load(std::size_t index) const noexcept override { return places_[index]->load; }
  void add_load(std::size_t index) noexcept override { ++places_[index]->load; }
  void remove_load(std::size_t index) noexcept override { --places_[index]->load; }
  std::optional<std::size_t> add_to_least_loaded() noexcept override;

  /// Tells all loops, once; they end though there be no memory.
  void stop() noexcept;
  void set_dead(std::size_t index) noexcept { places_[index]->alive = false; }

 private:
  struct Place {
    Place(EventLoop& l) : loop(&l), mailbox(l.mailbox()) {}
    EventLoop* loop;
    Mailbox mailbox;
    std::atomic<std::size_t> load = 0;
    std::atomic<bool> alive = true;
    ReservedLetter stop;
  };

  std::vector<std::unique_ptr<Place>> places_;
  std::atomic<bool> stopping_ = false;
  std::atomic<std::size_t> first_looked_at_ = 0;
};

struct LoopGroup::Member {
  Member(std::size_t i, LoopOptions options) : index(i), loop(options) {}

  std::size_t index;
  EventLoop loop;
  std::thread thread;
  std::promise<void> ready;    // set up, or why not
  std::exception_ptr failure;  // what ended it; for others once its thread has ended
};

LoopGroup::Crew::Crew(const std::vector<std::unique_ptr<Member>>& members) {
  for (const auto& member : members) places_.push_back(std::make_unique<Place>(member->loop));
}

void LoopGroup::Crew::stop() noexcept {
  if (stopping_.exchange(true)) return;
  for (const auto& place : places_) {
    place->stop.callback = [crew = shared_from_this(), loop = place->loop] { loop->stop(); };
    place->mailbox.post(place->stop);
  }
}

std::optional<std::size_t> LoopGroup::Crew::add_to_least_loaded() noexcept {
  if (stopping_) return std::nullopt;
  const std::size_t first = first_looked_at_++;  // equals have their turn
  for (;;) {
    Place* least = nullptr;
    std::size_t found = 0;
    std::size_t load = 0;
    for (std::size_t i = 0; i < places_.size(); ++i) {
      const std::size_t index = (first + i) % places_.size();
      Place& place = *places_[index];
      const std::size_t its = place.load;
      if (!place.alive || (least && its >= load)) continue;
      least = &place;
      found = index;
      load = its;
    }
    if (!least) return std::nullopt;
    if (least->load.compare_exchange_weak(load, load + 1)) return found;
  }
}

namespace {

std::size_t count_of(const LoopGroupOptions& options) {
  if (options.loops != 0) return options.loops;
  return std::max(std::thread::hardware_concurrency(), 1U);
}

}  // namespace

LoopGroup::LoopGroup(LoopGroupOptions options) : options_(std::move(options)) {
  for (std::size_t i = 0; i < count_of(options_); ++i) {
    members_.push_back(std::make_unique<Member>(i, options_.loop));
  }
  crew_ = std::make_shared<Crew>(members_);
}

LoopGroup::~LoopGroup() {
  stop();
  for (const auto& member : members_) {
    if (member->thread.get_id() == std::this_thread::get_id()) {
      fatal(nullptr, "a LoopGroup was destroyed on one of its own threads");
    }
  }
  join_threads();
}

void LoopGroup::start() {
  if (std::exchange(started_, true)) {
    throw std::logic_error("LoopGroup::start: the group was started before");
  }
  try {
    for (const auto& member : members_) {
      member->thread = start_worker_thread(options_.name + "-" + std::to_string(member->index),
                                           [this, m = member.get()] { run(*m); });
    }
    for (const auto& member : members_) member->ready.get_future().get();
  } catch (...) {
    stop();
    join_threads();
    throw;
  }
}

void LoopGroup::stop() noexcept {
  crew_->stop();
}

void LoopGroup::join() {
  for (const auto& member : members_) {
    if (member->thread.get_id() == std::this_thread::get_id()) {
      throw std::logic_error("LoopGroup::join: called on one of the group's own threads");
    }
  }
  join_threads();
  std::exception_ptr first;
  for (const auto& member : members_) {
    std::exception_ptr failure = std::exchange(member->failure, nullptr);
    if (!first) first = std::move(failure);
  }
  if (first) std::rethrow_exception(first);
}

void LoopGroup::join_threads() {
  for (const auto& member : members_) {
    if (member->thread.joinable()) member->thread.join();
  }
}

EventLoop& LoopGroup::loop(std::size_t index) const {
  return members_.at(index)->loop;
}

std::shared_ptr<LoopCrew> LoopGroup::crew() const noexcept {
  return crew_;
}

bool LoopGroup::post(std::size_t index, Function<void(EventLoop&)> callback) {
  return crew_->post(index, std::move(callback));
}

void LoopGroup::run(Member& member) {
  try {
    if (options_.setup) options_.setup(member.loop, member.index);
  } catch (...) {
    // Comes out of `start`, and is no failure of a loop that ran.
    crew_->set_dead(member.index);
    member.loop.close();
    member.ready.set_exception(std::current_exception());
    return;
  }
  member.ready.set_value();
  try {
    member.loop.run_forever();
  } catch (...) {
    member.failure = std::current_exception();
  }
  ended(member);
}

void LoopGroup::ended(Member& member) noexcept {
  const bool deliberate = crew_->stopping() && !member.failure;
  // Before it closes: what it has not begun yet goes to the others then.
  crew_->set_dead(member.index);
  member.loop.close();
  if (deliberate) return;
  if (options_.on_loop_ended) return options_.on_loop_ended(member.index, member.failure);
  ExceptionContext context;
  context.message = report_text([&] {
    return "loop " + std::to_string(member.index) + " of " + options_.name + " has ended";
  });
  context.exception = member.failure;
  member.loop.log(LogLevel::error, context.to_string());
}

}  // namespace ferry
