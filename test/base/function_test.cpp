#include <ferry/function.h>

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace ferry {
namespace {

// A callable of exactly `Size` bytes that counts what happens to its kind. Function allocates large
// callables with `new Target`, so the operator new of the class sees each allocation.
struct Counts {
  int alive = 0;
  int moves = 0;
};

template <std::size_t Size, bool NothrowMove = true>
class Counted {
 public:
  explicit Counted(Counts& counts) : counts_(&counts) { ++counts_->alive; }
  Counted(Counted&& other) noexcept(NothrowMove) : counts_(other.counts_) {
    filler_ = other.filler_;
    ++counts_->alive;
    ++counts_->moves;
  }
  ~Counted() { --counts_->alive; }

  int operator()(int add) { return filler_.back() += static_cast<unsigned char>(add); }

  static void* operator new(std::size_t size) {
    ++allocations;
    return ::operator new(size);
  }
  static void* operator new(std::size_t, void* place) noexcept { return place; }
  static void operator delete(void* memory) { ::operator delete(memory); }

  static inline int allocations = 0;

 private:
  Counts* counts_;
  std::array<unsigned char, Size - sizeof(Counts*)> filler_{};
};

int twice(int x) {
  return 2 * x;
}

TEST(Function, IsFiftySixBytesForEverySignature) {
  EXPECT_EQ(sizeof(Function<void()>), 56U);
  EXPECT_EQ(sizeof(Function<std::string(int, std::unique_ptr<int>, const char*)>), 56U);
}

TEST(Function, DefaultAndNullAreEmpty) {
  EXPECT_FALSE(Function<void()>());
  EXPECT_FALSE(Function<void()>(nullptr));
  Function<int()> function = [] { return 1; };
  EXPECT_TRUE(function);
  function = nullptr;
  EXPECT_FALSE(function);
}

TEST(Function, AnEmptyCallableMakesAnEmptyFunction) {
  struct Thing {
    int member() { return 1; }
    int field = 0;
  };
  int (*pointer)(int) = nullptr;
  int (Thing::*method)() = nullptr;
  int Thing::*field = nullptr;
  EXPECT_FALSE(Function<int(int)>(pointer));
  EXPECT_FALSE(Function<int(Thing&)>(method));
  EXPECT_FALSE(Function<int(Thing&)>(field));
  EXPECT_FALSE(Function<int(int)>(std::function<int(int)>()));
  EXPECT_FALSE(Function<long(int)>(Function<int(int)>()));
  EXPECT_FALSE(Function<int(int)>(std::function<int(long)>()));
}

TEST(Function, CallsPointersFunctionsMembersAndOtherFunctions) {
  struct Thing {
    long plus(int x) { return field + x; }
    long field = 40;
  } thing;
  EXPECT_EQ(Function<int(int)>(&twice)(4), 8);
  EXPECT_EQ(Function<int(int)>(twice)(5), 10);
  EXPECT_EQ(Function<long(Thing&, int)>(&Thing::plus)(thing, 2), 42);
  EXPECT_EQ(Function<long(Thing&)>(&Thing::field)(thing), 40);
  EXPECT_EQ(Function<int(int)>(std::function<int(int)>(&twice))(6), 12);
  Function<int(int)> inner = &twice;
  EXPECT_EQ(Function<long(int)>(std::move(inner))(7), 14);
}

TEST(Function, CapturelessLambdaIsNeverEmpty) {
  Function<int()> function = [] { return 3; };
  ASSERT_TRUE(function);
  Function<int()> moved = std::move(function);
  EXPECT_EQ(moved(), 3);
}

TEST(Function, TakesOnlyWhatCanBeCalledAndStored) {
  EXPECT_FALSE((std::is_constructible_v<Function<void(int)>, std::string>));
  EXPECT_FALSE((std::is_constructible_v<Function<int()>, void (*)()>));
  EXPECT_TRUE((std::is_constructible_v<Function<void()>, int (*)()>));
  auto owner = [p = std::make_unique<int>(1)] { return *p; };
  EXPECT_FALSE((std::is_constructible_v<Function<int()>, decltype(owner)&>));
  EXPECT_TRUE((std::is_constructible_v<Function<int()>, decltype(owner)>));
  EXPECT_FALSE(std::is_copy_constructible_v<Function<void()>>);
  EXPECT_FALSE(std::is_copy_assignable_v<Function<void()>>);
  EXPECT_TRUE(std::is_nothrow_move_constructible_v<Function<void()>>);
  EXPECT_TRUE(std::is_nothrow_move_assignable_v<Function<void()>>);
}

TEST(Function, AllocatesOnceAndOnlyForWhatDoesNotFitInPlace) {
  Counts counts;
  Counted<48>::allocations = 0;
  Counted<56>::allocations = 0;
  {
    Function<int(int)> in_place = Counted<48>(counts);
    Function<int(int)> on_heap = Counted<56>(counts);
    EXPECT_EQ(in_place(1), 1);
    EXPECT_EQ(on_heap(2), 2);
    EXPECT_EQ(counts.alive, 2);
  }
  EXPECT_EQ(Counted<48>::allocations, 0);
  EXPECT_EQ(Counted<56>::allocations, 1);
  EXPECT_EQ(counts.alive, 0);
}

// Byte-aligned, so that 49 bytes are possible; shows its own address when called.
template <std::size_t Size>
struct Place {
  std::array<char, Size> filler{};
  const void* operator()() const { return this; }
};

template <class Owner>
bool lies_inside(const Owner& owner, const void* place) {
  const auto begin = reinterpret_cast<std::uintptr_t>(&owner);
  const auto at = reinterpret_cast<std::uintptr_t>(place);
  return at >= begin && at < begin + sizeof owner;
}

TEST(Function, TheLimitIsExactForByteAlignedCallables) {
  Function<const void*()> at_limit = Place<48>();
  Function<const void*()> beyond = Place<49>();
  EXPECT_TRUE(lies_inside(at_limit, at_limit()));
  EXPECT_FALSE(lies_inside(beyond, beyond()));
}

TEST(Function, OverAlignedCallablesGoToAlignedMemory) {
  struct alignas(64) Wide {
    std::uintptr_t operator()() const { return reinterpret_cast<std::uintptr_t>(this); }
  };
  Function<std::uintptr_t()> function = Wide();
  EXPECT_EQ(function() % 64, 0U);
  Function<std::uintptr_t()> moved = std::move(function);
  EXPECT_EQ(moved() % 64, 0U);
}

TEST(Function, CallablesWhoseMoveMayThrowAreNotMovedWithTheFunction) {
  Counts counts;
  {
    Function<int(int)> function = Counted<24, false>(counts);
    const int moves = counts.moves;
    Function<int(int)> other = std::move(function);
    Function<int(int)> third;
    third = std::move(other);
    EXPECT_EQ(counts.moves, moves);
    EXPECT_EQ(third(5), 5);
    EXPECT_EQ(counts.alive, 1);
  }
  EXPECT_EQ(counts.alive, 0);
}

template <class Size>
class FunctionOfSize : public testing::Test {};

using Sizes =
    testing::Types<std::integral_constant<std::size_t, 16>, std::integral_constant<std::size_t, 48>,
                   std::integral_constant<std::size_t, 56>,
                   std::integral_constant<std::size_t, 400>>;
TYPED_TEST_SUITE(FunctionOfSize, Sizes);

TYPED_TEST(FunctionOfSize, MovesItsStateAndDestroysItOnce) {
  Counts counts;
  {
    Function<int(int)> first = Counted<TypeParam::value>(counts);
    EXPECT_EQ(counts.alive, 1);
    EXPECT_EQ(first(3), 3);
    Function<int(int)> second(std::move(first));
    EXPECT_FALSE(first);  // NOLINT: moved-from is promised to be empty
    EXPECT_EQ(counts.alive, 1);
    EXPECT_EQ(second(4), 7);
    Function<int(int)> third = Counted<TypeParam::value>(counts);
    EXPECT_EQ(counts.alive, 2);
    third = std::move(second);
    EXPECT_EQ(counts.alive, 1);
    EXPECT_FALSE(second);  // NOLINT
    EXPECT_EQ(third(1), 8);
    Function<int(int)>& same = third;
    third = std::move(same);
    EXPECT_EQ(third(1), 9);
    third.reset();
    EXPECT_FALSE(third);
    EXPECT_EQ(counts.alive, 0);
    third.reset();
    third = Counted<TypeParam::value>(counts);
    EXPECT_EQ(counts.alive, 1);
  }
  EXPECT_EQ(counts.alive, 0);
}

TYPED_TEST(FunctionOfSize, TriviallyCopyableStateMovesWhole) {
  struct Plain {
    std::array<unsigned char, TypeParam::value> bytes;
    bool operator()(unsigned seed) const {
      for (std::size_t i = 0; i < bytes.size(); ++i) {
        if (bytes[i] != static_cast<unsigned char>(seed + i)) return false;
      }
      return true;
    }
  } plain{};
  for (std::size_t i = 0; i < plain.bytes.size(); ++i) {
    plain.bytes[i] = static_cast<unsigned char>(9 + i);
  }
  Function<bool(unsigned)> function = plain;
  for (int i = 0; i < 3; ++i) {
    Function<bool(unsigned)> other = std::move(function);
    function = std::move(other);
  }
  EXPECT_TRUE(function(9));
}

TEST(Function, OwnsMoveOnlyCaptures) {
  auto shared = std::make_shared<int>(7);
  std::weak_ptr<int> watch = shared;
  Function<int()> function = [owner = std::move(shared), extra = std::make_unique<int>(5)] {
    return *owner + *extra;
  };
  Function<int()> moved = std::move(function);
  EXPECT_EQ(moved(), 12);
  EXPECT_FALSE(watch.expired());
  moved = nullptr;
  EXPECT_TRUE(watch.expired());
}

TEST(Function, PassesArgumentsAndResultsWithoutCopying) {
  Function<std::unique_ptr<int>(std::unique_ptr<int>)> function = [](std::unique_ptr<int> p) {
    ++*p;
    return p;
  };
  EXPECT_EQ(*function(std::make_unique<int>(1)), 2);
  Function<int&(int&)> same = [](int& x) -> int& { return x; };
  int number = 0;
  EXPECT_EQ(&same(number), &number);
  Function<void(std::string &&)> take = [](std::string text) { EXPECT_EQ(text, "moved"); };
  take(std::string("moved"));
}

TEST(Function, DiscardsAResultWhereVoidIsAsked) {
  int calls = 0;
  Function<void()> function = [&calls] { return ++calls; };
  function();
  EXPECT_EQ(calls, 1);
}

TEST(Function, KeepsStateBetweenCalls) {
  Function<int()> function = [n = 0]() mutable { return ++n; };
  function();
  function();
  EXPECT_EQ(function(), 3);
}

TEST(Function, ExceptionsOfTheCallablePassThroughAndItStaysCallable) {
  Function<int(bool)> function = [owner = std::make_unique<int>(1)](bool fail) {
    if (fail) throw std::runtime_error("on purpose");
    return *owner;
  };
  EXPECT_THROW(function(true), std::runtime_error);
  EXPECT_EQ(function(false), 1);
}

TEST(Function, AThrowingCopyLeavesNothingBehind) {
  struct Fragile {
    Fragile() = default;
    Fragile(const Fragile& other) : guard(other.guard) { throw std::runtime_error("copy"); }
    void operator()() {}
    std::shared_ptr<int> guard = std::make_shared<int>();
  } fragile;
  EXPECT_THROW(Function<void()>{fragile}, std::runtime_error);
  EXPECT_EQ(fragile.guard.use_count(), 1);
}

TEST(Function, MayBeReplacedByWhatItsOwnCallableHolds) {
  auto holder = std::make_unique<Function<int()>>([] { return 2; });
  Function<int()>* inner = holder.get();
  Function<int()> function = [holder = std::move(holder)] { return 1; };
  function = std::move(*inner);
  EXPECT_EQ(function(), 2);
}

TEST(Function, ADestructorThatLooksAtTheFunctionSeesItsNewState) {
  struct Watcher {
    explicit Watcher(Function<int()>* f, std::vector<int>* s) : function(f), seen(s) {}
    Watcher(Watcher&& other) noexcept
        : function(std::exchange(other.function, nullptr)), seen(other.seen) {}
    ~Watcher() {
      if (function) seen->push_back(*function ? (*function)() : -1);
    }
    int operator()() { return 1; }
    Function<int()>* function;
    std::vector<int>* seen;
  };
  std::vector<int> seen;
  Function<int()> function;
  function = Watcher(&function, &seen);
  function = [] { return 2; };
  function = Watcher(&function, &seen);
  function.reset();
  EXPECT_EQ(seen, (std::vector<int>{2, -1}));
}

TEST(Function, ManyInAVectorSurviveItsGrowth) {
  std::vector<Function<std::size_t()>> functions;
  for (std::size_t i = 0; i < 1000; ++i) {
    if (i % 3 == 0) {
      functions.emplace_back([i] { return i; });
    } else if (i % 3 == 1) {
      functions.emplace_back([p = std::make_unique<std::size_t>(i)] { return *p; });
    } else {
      functions.emplace_back([i, pad = std::array<char, 100>{}] { return i + pad.size() - 100; });
    }
  }
  for (std::size_t i = 0; i < 1000; ++i) EXPECT_EQ(functions[i](), i);
}

}  // namespace
}  // namespace ferry
