#pragma once

#include <ferry/function.h>
#include <ferry/testing/sim_chooser.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::testing {

/// The answers of one run to all it asked, in order.
using SimChoices = std::vector<std::size_t>;

/// "0.2.1", and back; std::invalid_argument if the text is none. What is behind the last choice is
/// 0, so "" is the run that is not permuted.
std::string format_choices(const SimChoices& choices);
SimChoices parse_choices(std::string_view text);

struct ExploreOptions {
  std::uint64_t max_runs = 100'000;
  /// Asked after each run: true if it failed, and no more is to be tried. A run fails also by an
  /// exception. With GoogleTest: ::testing::Test::HasFailure.
  Function<bool()> failed{};
};

struct ExploreResult {
  std::uint64_t runs = 0;
  bool complete = false;    ///< All there is was run, and nothing failed.
  std::size_t longest = 0;  ///< Choices in one run, at most.
  /// Of the run that failed; `replay` repeats it.
  std::optional<SimChoices> failure{};
  std::exception_ptr exception{};  ///< What it threw, if it did.
};

/// Runs a small scenario in every way its choices allow, depth first, the one that is not permuted
/// first:
///
///     const ExploreResult result = explore([](SimChooser& chooser) {
///       EventLoop loop(std::make_unique<SimKernel>(SimOptions{.chooser = &chooser}));
///       ...
///     });
///     EXPECT_TRUE(result.complete);
///
/// A run must depend on nothing but its choices: std::logic_error if one asks another question than
/// before after the same answers.
ExploreResult explore(Function<void(SimChooser&)> run, ExploreOptions options = {});

/// Runs it once with those choices, and 0 from there on.
void replay(const SimChoices& choices, Function<void(SimChooser&)> run);

}  // namespace ferry::testing
