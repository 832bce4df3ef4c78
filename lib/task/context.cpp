#include <ferry/context.h>

#include <ferry/task_core.h>

#include <algorithm>
#include <atomic>
#include <vector>

namespace ferry {

namespace {

struct Entry {
  std::uint64_t variable = 0;
  std::shared_ptr<const void> value;
};
/// Never changed once it is made, so that copies of a context share it.
using Entries = std::vector<Entry>;  // by variable

Entries::const_iterator place_of(const Entries& entries, std::uint64_t variable) {
  return std::lower_bound(
      entries.begin(), entries.end(), variable,
      [](const Entry& entry, std::uint64_t number) { return entry.variable < number; });
}

}  // namespace

/// Used by one thread at a time; counted by several, as it goes to another with a job.
struct ContextState {
  std::atomic<std::uint32_t> references = 1;
  std::shared_ptr<const Entries> entries;  // null: none
};

namespace {

thread_local constinit EnteredContext* t_entered = nullptr;
/// The context of this thread outside of tasks; null until something is set there.
thread_local constinit ContextRef* t_own = nullptr;

ContextRef& own_context() {
  struct Own {
    ContextRef context;
    Own() { t_own = &context; }
    ~Own() { t_own = nullptr; }
  };
  static thread_local Own own;
  return own.context;
}

ContextState* current_state() noexcept {
  const ContextRef* const slot = current_context_slot();
  return slot ? slot->get() : nullptr;
}

void put(ContextState& context, std::uint64_t variable, std::shared_ptr<const void> value) {
  auto changed =
      context.entries ? std::make_shared<Entries>(*context.entries) : std::make_shared<Entries>();
  const auto place = changed->begin() + (place_of(*changed, variable) - changed->cbegin());
  const bool there = place != changed->end() && place->variable == variable;
  if (there && value) {
    place->value = std::move(value);
  } else if (there) {
    changed->erase(place);
  } else if (value) {
    changed->insert(place, {variable, std::move(value)});
  }
  context.entries = std::move(changed);
}

}  // namespace

/// Where the current context is kept: what was entered in the step that runs, else the task's own,
/// else the thread's. Null: in the thread's, and there is none yet.
ContextRef* current_context_slot() noexcept {
  TaskCore* const task = TaskCore::current();
  if (t_entered && t_entered->task_ == task) return &t_entered->context_;
  return task ? &task->context_ref() : t_own;
}

void ContextRef::retain() const noexcept {
  state_->references.fetch_add(1, std::memory_order_relaxed);
}

void ContextRef::release() const noexcept {
  if (state_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete state_;
}

ContextState& ContextRef::made() {
  if (!state_) state_ = new ContextState;
  return *state_;
}

ContextRef ContextRef::inherited() {
  const ContextState* const current = current_state();
  if (!current || !current->entries) return {};
  ContextRef copy;
  copy.made().entries = current->entries;
  return copy;
}

EnteredContext::EnteredContext(ContextRef context) noexcept
    : context_(std::move(context)), task_(TaskCore::current()), outer_(t_entered) {
  t_entered = this;
}

EnteredContext::~EnteredContext() {
  t_entered = outer_;
}

std::shared_ptr<const void> find_in_context(const ContextState* context, std::uint64_t variable) {
  if (!context || !context->entries) return nullptr;
  const auto place = place_of(*context->entries, variable);
  if (place == context->entries->end() || place->variable != variable) return nullptr;
  return place->value;
}

std::shared_ptr<const void> find_in_current_context(std::uint64_t variable) {
  return find_in_context(current_state(), variable);
}

ContextChange set_in_current_context(std::uint64_t variable, std::shared_ptr<const void> value) {
  ContextRef* const slot = current_context_slot();
  ContextRef& context = slot ? *slot : own_context();
  ContextState& state = context.made();
  ContextChange change{context, find_in_context(&state, variable)};
  put(state, variable, std::move(value));
  return change;
}

void undo_in_current_context(std::uint64_t variable, const ContextChange& change) {
  if (change.where.get() != current_state()) {
    throw std::invalid_argument("ContextVar::reset: the token is another context's");
  }
  put(*change.where.get(), variable, change.before);
}

std::uint64_t next_context_variable() noexcept {
  static std::atomic<std::uint64_t> last = 0;
  return ++last;
}

Context Context::copy() const {
  ContextRef copy;
  ContextState& state = copy.made();
  if (ref_) state.entries = ref_.get()->entries;
  return Context(std::move(copy));
}

std::size_t Context::size() const noexcept {
  return ref_ && ref_.get()->entries ? ref_.get()->entries->size() : 0;
}

Context copy_context() {
  ContextRef copy = ContextRef::inherited();
  copy.made();
  return Context(std::move(copy));
}

}  // namespace ferry
