#pragma once

#include <cstddef>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace ferry {

/// Several exceptions at once, like Python's ExceptionGroup: what a TaskGroup throws.
class ExceptionGroup : public std::runtime_error {
 public:
  ExceptionGroup(const std::string& message, std::vector<std::exception_ptr> exceptions);

  const std::vector<std::exception_ptr>& exceptions() const noexcept { return exceptions_; }
  /// Calls `f` with each exception of type E, those of groups inside this one too. Returns how
  /// many there were.
  template <class E, class F>
  std::size_t for_each(F&& f) const {
    std::size_t count = 0;
    for (const std::exception_ptr& each : exceptions_) {
      try {
        std::rethrow_exception(each);
      } catch (const ExceptionGroup& group) {
        count += group.for_each<E>(f);
      } catch (const E& found) {
        ++count;
        f(found);
      } catch (...) {
      }
    }
    return count;
  }
  /// Those that are of type E, and the rest; groups inside are split the same way.
  template <class E>
  std::pair<std::vector<std::exception_ptr>, std::vector<std::exception_ptr>> split() const {
    std::pair<std::vector<std::exception_ptr>, std::vector<std::exception_ptr>> parts;
    for (const std::exception_ptr& each : exceptions_) {
      try {
        std::rethrow_exception(each);
      } catch (const ExceptionGroup& group) {
        auto inner = group.split<E>();
        if (!inner.first.empty()) {
          parts.first.push_back(
              std::make_exception_ptr(ExceptionGroup(group.message_, std::move(inner.first))));
        }
        if (!inner.second.empty()) {
          parts.second.push_back(
              std::make_exception_ptr(ExceptionGroup(group.message_, std::move(inner.second))));
        }
      } catch (const E&) {
        parts.first.push_back(each);
      } catch (...) {
        parts.second.push_back(each);
      }
    }
    return parts;
  }

 private:
  std::string message_;
  std::vector<std::exception_ptr> exceptions_;
};

}  // namespace ferry
