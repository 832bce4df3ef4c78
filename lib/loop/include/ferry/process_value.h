#pragma once

#include <ferry/bytes.h>

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace ferry {

/// Where a ProcessValue is written to: bytes, appended.
class ValueWriter {
 public:
  explicit ValueWriter(std::string bytes = {}) noexcept : bytes_(std::move(bytes)) {}
  void append(BytesView bytes) { bytes_.append(bytes.text()); }
  std::size_t size() const noexcept { return bytes_.size(); }
  std::string take() noexcept { return std::move(bytes_); }

 private:
  std::string bytes_;
};

/// Where a ProcessValue is read from. The bytes belong to the caller.
class ValueReader {
 public:
  explicit ValueReader(BytesView bytes) noexcept : rest_(bytes) {}
  /// The next `count` bytes, good as long as the reader's. Throws std::length_error if there are
  /// not that many: reading does not mirror writing.
  BytesView take(std::size_t count) {
    if (count > rest_.size())
      throw std::length_error("ProcessValue: more is read than was written");
    const BytesView taken = rest_.first(count);
    rest_ = rest_.drop(count);
    return taken;
  }
  std::size_t remaining() const noexcept { return rest_.size(); }

 private:
  BytesView rest_;  // the caller's
};

/// How a type goes from one process to another that runs the same program (ProcessPool). There for
/// arithmetic and other trivially copyable types, strings, vectors and other containers, pairs,
/// tuples, arrays, optionals of them. For other types specialise it:
///
///     template <>
///     struct ferry::ProcessValue<Person> {
///       static void write(ValueWriter& out, const Person& person) {
///         write_value(out, person.name);
///         write_value(out, person.age);
///       }
///       static Person read(ValueReader& in) {
///         auto name = read_value<std::string>(in);
///         return Person(std::move(name), read_value<int>(in));
///       }
///     };
///
/// A trivially copyable struct goes as its bytes: a pointer in it points nowhere over there.
template <class T>
struct ProcessValue;

template <class T>
void write_value(ValueWriter& out, const T& value) {
  ProcessValue<T>::write(out, value);
}
template <class T>
T read_value(ValueReader& in) {
  return ProcessValue<T>::read(in);
}

template <class T>
inline constexpr bool kPointsElsewhere =
    std::is_pointer_v<T> || std::is_member_pointer_v<T> || std::is_null_pointer_v<T>;
template <class C, class Traits>
inline constexpr bool kPointsElsewhere<std::basic_string_view<C, Traits>> = true;
template <class T, std::size_t N>
inline constexpr bool kPointsElsewhere<std::span<T, N>> = true;
template <class T>
inline constexpr bool kPointsElsewhere<std::reference_wrapper<T>> = true;
template <>
inline constexpr bool kPointsElsewhere<BytesView> = true;
template <class T, std::size_t N>
inline constexpr bool kPointsElsewhere<std::array<T, N>> = kPointsElsewhere<T>;
template <class T>
inline constexpr bool kPointsElsewhere<std::optional<T>> = kPointsElsewhere<T>;

template <class T>
inline constexpr bool kIsPair = false;
template <class A, class B>
inline constexpr bool kIsPair<std::pair<A, B>> = true;

/// What goes as its bytes. Never a pair: whether one can depends on the library and on a const, and
/// a map's elements are written as pair<const K, V> and read as pair<K, V>.
template <class T>
concept PlainValue = std::is_trivially_copyable_v<T> && !kPointsElsewhere<T> && !kIsPair<T>;

/// What can be sent and received.
template <class T>
concept ProcessPortable = requires(ValueWriter& out, ValueReader& in, const T& value) {
  ProcessValue<T>::write(out, value);
  { ProcessValue<T>::read(in) } -> std::convertible_to<T>;
};

template <PlainValue T>
struct ProcessValue<T> {
  static void write(ValueWriter& out, const T& value) {
    out.append({reinterpret_cast<const std::byte*>(&value), sizeof value});
  }
  static T read(ValueReader& in) {
    std::array<std::byte, sizeof(T)> bytes;
    std::memcpy(bytes.data(), in.take(sizeof(T)).data(), sizeof(T));
    return std::bit_cast<T>(bytes);
  }
};

/// Contiguous and plain: a count, and all of it at once.
template <class Sequence>
struct BulkValue {
  using Element = typename Sequence::value_type;
  static void write(ValueWriter& out, const Sequence& value) {
    write_value(out, std::uint64_t{value.size()});
    if (value.empty()) return;
    out.append({reinterpret_cast<const std::byte*>(value.data()), value.size() * sizeof(Element)});
  }
  static Sequence read(ValueReader& in) {
    const auto count = read_value<std::uint64_t>(in);
    if (count > in.remaining() / sizeof(Element)) {
      throw std::length_error("ProcessValue: more is read than was written");
    }
    Sequence value(static_cast<std::size_t>(count), Element());
    if (count == 0) return value;
    const BytesView bytes = in.take(value.size() * sizeof(Element));
    std::memcpy(value.data(), bytes.data(), bytes.size());
    return value;
  }
};
template <class C, class Traits, class Allocator>
struct ProcessValue<std::basic_string<C, Traits, Allocator>>
    : BulkValue<std::basic_string<C, Traits, Allocator>> {};
template <PlainValue T, class Allocator>
requires(!std::same_as<T, bool> &&
         std::default_initializable<T>) struct ProcessValue<std::vector<T, Allocator>>
    : BulkValue<std::vector<T, Allocator>> {
};

/// What has a size, is walked through, and grows at its end: vectors of more than plain values,
/// lists, sets, maps.
template <class T>
concept GrowingContainer = !PlainValue<T> && requires(T & value, typename T::value_type&& element) {
  { value.size() } -> std::convertible_to<std::size_t>;
  value.insert(value.end(), std::move(element));
};

template <class T>
struct ContainerElement {
  using type = T;
};
template <class K, class V>
struct ContainerElement<std::pair<const K, V>> {
  using type = std::pair<K, V>;
};

template <GrowingContainer T>
struct ProcessValue<T> {
  using Element = typename ContainerElement<typename T::value_type>::type;
  static void write(ValueWriter& out, const T& value) {
    write_value(out, std::uint64_t{value.size()});
    for (auto&& element : value) write_value<typename T::value_type>(out, element);
  }
  static T read(ValueReader& in) {
    T value;
    for (auto count = read_value<std::uint64_t>(in); count > 0; --count) {
      value.insert(value.end(), read_value<Element>(in));
    }
    return value;
  }
};

template <class A, class B>
struct ProcessValue<std::pair<A, B>> {
  static void write(ValueWriter& out, const std::pair<A, B>& value) {
    write_value<std::remove_const_t<A>>(out, value.first);
    write_value(out, value.second);
  }
  static std::pair<A, B> read(ValueReader& in) {
    auto first = read_value<std::remove_const_t<A>>(in);
    return {std::move(first), read_value<B>(in)};
  }
};

template <class... T>
requires(!PlainValue<std::tuple<T...>>) struct ProcessValue<std::tuple<T...>> {
  static void write(ValueWriter& out, const std::tuple<T...>& value) {
    std::apply([&out](const T&... part) { (write_value(out, part), ...); }, value);
  }
  static std::tuple<T...> read(ValueReader& in) {
    return std::tuple<T...>{read_value<T>(in)...};  // in this order: braces
  }
};

template <class T, std::size_t N>
requires(!PlainValue<std::array<T, N>>) struct ProcessValue<std::array<T, N>> {
  static void write(ValueWriter& out, const std::array<T, N>& value) {
    for (const T& element : value) write_value(out, element);
  }
  static std::array<T, N> read(ValueReader& in) { return read(in, std::make_index_sequence<N>()); }

 private:
  template <std::size_t... I>
  static std::array<T, N> read(ValueReader& in, std::index_sequence<I...>) {
    return {(static_cast<void>(I), read_value<T>(in))...};
  }
};

template <class T>
requires(!PlainValue<std::optional<T>>) struct ProcessValue<std::optional<T>> {
  static void write(ValueWriter& out, const std::optional<T>& value) {
    write_value(out, value.has_value());
    if (value) write_value(out, *value);
  }
  static std::optional<T> read(ValueReader& in) {
    if (!read_value<bool>(in)) return std::nullopt;
    return read_value<T>(in);
  }
};

}  // namespace ferry
