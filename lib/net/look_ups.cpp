#include "look_ups.h"

namespace ferry {

struct LookUps::State {
  std::vector<Future<std::vector<Address>>> futures;
  std::size_t pending = 0;
  Result result;
  Function<void(Result)> done;

  void finished(std::size_t index) {
    if (!done) return;
    try {
      result.error = futures[index].exception();
      if (!result.error) result.addresses[index] = futures[index].result();
    } catch (...) {
      result.error = std::current_exception();  // CancelledError, or no memory for a copy
    }
    --pending;
    if (!result.error && pending != 0) return;
    cancel();
    std::exchange(done, nullptr)(std::move(result));
  }

  void cancel() {
    for (auto& future : futures) future.cancel();
  }
};

LookUps::LookUps(EventLoop& loop, const std::vector<ResolveQuery>& queries,
                 Function<void(Result)> done)
    : state_(std::make_shared<State>()) {
  state_->pending = queries.size();
  state_->result.addresses.resize(queries.size());
  state_->done = std::move(done);
  try {
    for (const ResolveQuery& query : queries) {
      const std::size_t index = state_->futures.size();
      state_->futures.push_back(loop.getaddrinfo(query));
      state_->futures.back().add_done_callback([weak = std::weak_ptr(state_), index] {
        if (const auto state = weak.lock()) state->finished(index);
      });
    }
  } catch (...) {
    state_->done = nullptr;
    state_->cancel();
    throw;
  }
}

LookUps::~LookUps() {
  state_->done = nullptr;
  state_->cancel();
}

}  // namespace ferry
