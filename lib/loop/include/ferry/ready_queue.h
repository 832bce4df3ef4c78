#pragma once

#include <ferry/function.h>
#include <ferry/handle.h>
#include <ferry/source_location.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace ferry {

/// A callback that waits for its turn. Its address is stable, so a Handle can point at it.
struct ReadySlot {
  Function<void()> callback;  // empty: cancelled
  SourceLocation where;
  std::uint64_t ticket = 0;  // 0: free, or running
};

/// An EventLoop's own: the FIFO of ready callbacks, public only so that call_soon can be inlined.
/// A chain of blocks that are recycled, so that in the steady state nothing is allocated and a
/// callback runs where it was put.
class ReadyQueue {
 public:
  ReadyQueue() {
    front_block_ = back_block_ = new Block;
    rewind();
  }
  ReadyQueue(const ReadyQueue&) = delete;
  ReadyQueue& operator=(const ReadyQueue&) = delete;
  ~ReadyQueue() {
    clear();
    free_chain(front_block_);
    free_chain(spare_);
  }

  bool empty() const noexcept { return pushed_ == taken_; }
  std::size_t size() const noexcept { return static_cast<std::size_t>(pushed_ - taken_); }
  /// How many were ever put in and taken out; the ticket of a slot is its number.
  std::uint64_t pushed() const noexcept { return pushed_; }
  std::uint64_t taken() const noexcept { return taken_; }

  /// A slot at the back, whose callback is to be put into it before anything runs.
  ReadySlot& push(SourceLocation where) {
    if (back_ == back_block_->end()) [[unlikely]]
      extend();
    ReadySlot& slot = *back_++;
    slot.where = where;
    slot.ticket = ++pushed_;
    return slot;
  }

  /// Takes the oldest callback out of the queue and runs it by `run(slot)`; also if that throws, it
  /// is destroyed and gone.
  template <class Run>
  void run_front(Run&& run) {
    struct Finish {
      ReadyQueue& queue;
      ReadySlot& slot;
      ~Finish() {
        slot.callback.reset();
        if (++queue.front_ == queue.front_block_->end()) [[unlikely]]
          queue.next_block();
      }
    };
    ReadySlot& slot = *front_;
    slot.ticket = 0;
    ++taken_;
    Finish finish{*this, slot};
    if (slot.callback) run(slot);
  }

  /// If it is empty: starts over at the beginning of a block that is in the cache.
  void rewind() noexcept {
    if (empty() && front_block_ == back_block_) front_ = back_ = front_block_->slots;
  }

  /// Destroys all callbacks without running them, also those that a destructor queues.
  void clear() {
    while (!empty()) run_front([](ReadySlot&) {});
  }

 private:
  struct Block {
    ReadySlot slots[64];
    Block* next = nullptr;
    ReadySlot* end() noexcept { return slots + 64; }
  };

  void extend() {
    Block* block = spare_ ? std::exchange(spare_, spare_->next) : new Block;
    block->next = nullptr;
    back_block_->next = block;
    back_block_ = block;
    back_ = block->slots;
  }
  void next_block() noexcept {
    if (front_block_ == back_block_) {
      front_ = back_ = front_block_->slots;
      return;
    }
    Block* block = std::exchange(front_block_, front_block_->next);
    front_ = front_block_->slots;
    block->next = std::exchange(spare_, block);
  }
  static void free_chain(Block* block) noexcept {
    while (block) delete std::exchange(block, block->next);
  }

  ReadySlot* front_ = nullptr;
  ReadySlot* back_ = nullptr;
  Block* front_block_ = nullptr;
  Block* back_block_ = nullptr;
  Block* spare_ = nullptr;
  std::uint64_t pushed_ = 0;
  std::uint64_t taken_ = 0;
};

}  // namespace ferry
