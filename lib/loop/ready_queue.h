#pragma once

#include <ferry/function.h>
#include <ferry/handle.h>

#include <ferry/source_location.h>
#include <cstdint>
#include <memory>

namespace ferry {

/// A callback that waits for its turn. Its address is stable, so a Handle can point at it.
struct ReadySlot {
  Function<void()> callback;  // empty: cancelled
  SourceLocation where;
  std::uint64_t ticket = 0;  // 0: free, or running
};

/// The FIFO of ready callbacks: a chain of blocks that are recycled, so that in the steady state
/// nothing is allocated and a callback runs where it was put.
class ReadyQueue {
 public:
  ReadyQueue() { tail_ = head_ = new_block(); }
  ReadyQueue(const ReadyQueue&) = delete;
  ReadyQueue& operator=(const ReadyQueue&) = delete;
  ~ReadyQueue() {
    clear();
    free_chain(head_);
    free_chain(spare_);
  }

  bool empty() const noexcept { return size_ == 0; }
  std::size_t size() const noexcept { return size_; }

  /// A slot at the back, whose callback is to be put into it before anything runs.
  ReadySlot& push(SourceLocation where) {
    if (tail_index_ == kBlock) extend();
    ReadySlot& slot = tail_->slots[tail_index_++];
    slot.where = where;
    slot.ticket = ++last_ticket_;
    ++size_;
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
        queue.advance();
      }
    };
    ReadySlot& slot = head_->slots[head_index_];
    slot.ticket = 0;
    --size_;
    Finish finish{*this, slot};
    if (slot.callback) run(slot);
  }

  /// Destroys all callbacks without running them, also those that a destructor queues.
  void clear() {
    while (size_ > 0) run_front([](ReadySlot&) {});
  }

 private:
  static constexpr std::size_t kBlock = 64;
  struct Block {
    ReadySlot slots[kBlock];
    Block* next = nullptr;
  };

  Block* new_block() {
    if (Block* block = spare_) {
      spare_ = block->next;
      block->next = nullptr;
      return block;
    }
    return new Block;
  }
  void extend() {
    Block* block = new_block();
    tail_->next = block;
    tail_ = block;
    tail_index_ = 0;
  }
  void advance() noexcept {
    if (++head_index_ == tail_index_ && head_ == tail_) {
      head_index_ = tail_index_ = 0;  // empty: start over in a block that is in the cache
    } else if (head_index_ == kBlock) {
      Block* block = head_;
      head_ = block->next;
      head_index_ = 0;
      block->next = spare_;
      spare_ = block;
    }
  }
  static void free_chain(Block* block) noexcept {
    while (block) delete std::exchange(block, block->next);
  }

  Block* head_ = nullptr;
  Block* tail_ = nullptr;
  Block* spare_ = nullptr;
  std::size_t head_index_ = 0;
  std::size_t tail_index_ = 0;
  std::size_t size_ = 0;
  std::uint64_t last_ticket_ = 0;
};

}  // namespace ferry
