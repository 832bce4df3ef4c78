#pragma once

#include <cstddef>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

namespace ferry {

template <class Signature>
class Function;

/// A move-only callable, like C++23's std::move_only_function: it may own what cannot be copied.
/// Callables of up to 48 bytes that move without throwing are stored in place; larger ones cost one
/// allocation. Calling an empty one is undefined. The whole object is 56 bytes.
template <class R, class... Args>
class Function<R(Args...)> {
 public:
  static constexpr std::size_t kInPlace = 48;

  Function() noexcept = default;
  Function(std::nullptr_t) noexcept {}

  /// A null pointer, or an empty Function or std::function of another type, makes an empty one.
  /// Throws what copying or moving `f` throws, and std::bad_alloc if it does not fit in place.
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, Function> &&
           std::is_constructible_v<std::decay_t<F>, F> &&
           std::is_invocable_r_v<R, std::decay_t<F>&, Args...>) Function(F&& f) {
    construct(std::forward<F>(f));
  }

  /// Makes the callable right here, without a move in between; as assigning Function(f).
  template <class F>
  requires std::is_constructible_v<Function, F>
  void emplace(F&& f) {
    if constexpr (std::is_same_v<std::remove_cvref_t<F>, Function>) {
      *this = std::forward<F>(f);
    } else {
      if (table_) [[unlikely]]
        reset();
      construct(std::forward<F>(f));
    }
  }

  Function(Function&& other) noexcept { take(other); }
  Function& operator=(Function&& other) noexcept {
    if (this != &other) {
      // `other` may belong to the callable held here, and that callable's destructor may look at
      // us: so it dies last.
      Function old(std::move(*this));
      take(other);
    }
    return *this;
  }
  Function& operator=(std::nullptr_t) noexcept {
    reset();
    return *this;
  }
  ~Function() { reset(); }

  explicit operator bool() const noexcept { return table_ != nullptr; }
  R operator()(Args... args) { return table_->invoke(storage_, std::forward<Args>(args)...); }

  /// Destroys the callable and all it owns.
  void reset() noexcept {
    if (const Table* table = std::exchange(table_, nullptr); table && table->destroy) {
      table->destroy(storage_);
    }
  }

 private:
  struct Table {
    R (*invoke)(void*, Args&&...);
    void (*relocate)(void* from, void* to) noexcept;  // null: the bytes may simply be copied
    void (*destroy)(void*) noexcept;                  // null: nothing to do
  };

  // Pointers and member pointers, and classes like std::function: nullptr empties them.
  template <class T>
  static constexpr bool kMayBeEmpty = std::is_pointer_v<T> || std::is_member_pointer_v<T> ||
                                      (std::is_class_v<T> &&
                                       std::is_assignable_v<T&, std::nullptr_t> &&
                                       std::is_constructible_v<bool, const T&>);
  template <class Target>
  static constexpr bool fits() {
    return sizeof(Target) <= kInPlace && alignof(Target) <= alignof(void*) &&
           std::is_nothrow_move_constructible_v<Target>;
  }
  // Not is_trivially_copyable: under g++ 12 a lambda that captures is not, once somebody has asked
  // whether it can be assigned.
  template <class Target>
  static constexpr bool moves_by_call() {
    return fits<Target>() && !(std::is_trivially_move_constructible_v<Target> &&
                               std::is_trivially_destructible_v<Target>);
  }
  template <class Target>
  static Target& target(void* storage) noexcept {
    if constexpr (fits<Target>()) {
      return *std::launder(static_cast<Target*>(storage));
    } else {
      return **std::launder(static_cast<Target**>(storage));
    }
  }
  template <class Target>
  static R invoke(void* storage, Args&&... args) {
    if constexpr (std::is_void_v<R>) {
      call(target<Target>(storage), std::forward<Args>(args)...);
    } else {
      return call(target<Target>(storage), std::forward<Args>(args)...);
    }
  }
  // std::invoke, without the weight of <functional>.
  template <class F, class... A>
  static decltype(auto) call(F& f, A&&... args) {
    return f(std::forward<A>(args)...);
  }
  template <class M, class T, class Object, class... Rest>
  static decltype(auto) call(M T::*& member, Object&& object, Rest&&... rest) {
    if constexpr (!std::is_base_of_v<T, std::remove_cvref_t<Object>>) {
      if constexpr (requires { *object; }) {
        return call(member, *std::forward<Object>(object), std::forward<Rest>(rest)...);
      } else {
        return call(member, object.get(), std::forward<Rest>(rest)...);  // a reference_wrapper
      }
    } else if constexpr (std::is_function_v<M>) {
      return (std::forward<Object>(object).*member)(std::forward<Rest>(rest)...);
    } else {
      return (std::forward<Object>(object).*member);
    }
  }
  template <class Target>
  static void relocate(void* from, void* to) noexcept {
    Target& source = target<Target>(from);
    ::new (to) Target(std::move(source));
    source.~Target();
  }
  template <class Target>
  static void destroy(void* storage) noexcept {
    if constexpr (fits<Target>()) {
      target<Target>(storage).~Target();
    } else {
      delete &target<Target>(storage);
    }
  }
  template <class Target>
  static constexpr bool kForgettable = fits<Target>() && std::is_trivially_destructible_v<Target>;
  template <class Target>
  static constexpr Table kTable{&invoke<Target>,
                                moves_by_call<Target>() ? &relocate<Target> : nullptr,
                                kForgettable<Target> ? nullptr : &destroy<Target>};

  template <class F>
  void construct(F&& f) {
    using Target = std::decay_t<F>;
    if constexpr (kMayBeEmpty<std::remove_cvref_t<F>>) {
      if (!f) return;
    }
    if constexpr (fits<Target>()) {
      ::new (static_cast<void*>(storage_)) Target(std::forward<F>(f));
    } else {
      ::new (static_cast<void*>(storage_)) Target*(new Target(std::forward<F>(f)));
    }
    table_ = &kTable<Target>;
  }

  void take(Function& other) noexcept {
    table_ = std::exchange(other.table_, nullptr);
    if (!table_) return;
    if (table_->relocate) {
      table_->relocate(other.storage_, storage_);
    } else {
      // The bytes behind a smaller callable are indeterminate: copying them is fine, std::byte may.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
      std::memcpy(storage_, other.storage_, kInPlace);
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
    }
  }

  alignas(void*) std::byte storage_[kInPlace];
  const Table* table_ = nullptr;
};

static_assert(sizeof(void*) != 8 || sizeof(Function<void()>) == 56);

}  // namespace ferry
