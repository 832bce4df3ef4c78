#pragma once

#include <cstdint>
#include <utility>

namespace ferry {

/// Counts the Refs to itself, within one thread, and goes with the last. `T` derives from it.
template <class T>
class Counted {
 public:
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 protected:
  Counted() = default;
  ~Counted() = default;

 private:
  template <class>
  friend class Ref;
  std::uint32_t references_ = 0;
};

/// A handle to a Counted: copies are handles to the same. Like std::shared_ptr, but of one thread,
/// so that a copy costs next to nothing.
template <class T>
class Ref {
 public:
  Ref() noexcept = default;
  explicit Ref(T* counted) noexcept : counted_(counted) {
    if (counted_) ++count();
  }
  Ref(const Ref& other) noexcept : Ref(other.counted_) {}
  Ref(Ref&& other) noexcept : counted_(std::exchange(other.counted_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(counted_, other.counted_);
    return *this;
  }
  ~Ref() {
    if (counted_ && --count() == 0) delete counted_;
  }

  explicit operator bool() const noexcept { return counted_ != nullptr; }
  T* get() const noexcept { return counted_; }
  T* operator->() const noexcept { return counted_; }
  T& operator*() const noexcept { return *counted_; }

  friend bool operator==(const Ref&, const Ref&) noexcept = default;

 private:
  std::uint32_t& count() const noexcept { return static_cast<Counted<T>*>(counted_)->references_; }

  T* counted_ = nullptr;
};

}  // namespace ferry
