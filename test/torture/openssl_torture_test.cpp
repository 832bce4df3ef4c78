#include "openssl_memory.h"
#include "trial.h"

#include <algorithm>

namespace ferry::test {

namespace {

/// Steps between the allocations that fail: all of them, unless a sanitizer makes that long.
constexpr std::size_t kStep = kSanitized ? 17 : 1;

struct Outcome {
  bool failed = false;
  std::ptrdiff_t grown = 0;
  std::string complaints;
};

/// Plays the scenario of TLS; from its handshakes on OpenSSL's n-th allocation fails.
Outcome run(std::size_t n) {
  const auto all = scenarios();
  const auto tls = std::find_if(all.begin(), all.end(), [](const Scenario& each) {
    return std::string_view(each.name) == "Tls";
  });
  const std::ptrdiff_t before = live_openssl_allocations();
  Outcome outcome;
  {
    Trial trial(World::sim);
    trial.on_begin = [n] { fail_openssl_allocation(n); };
    trial.play(*tls);
    fail_no_openssl_allocation();
    for (const std::string& each : trial.end()) outcome.complaints += "\n  " + each;
  }
  outcome.failed = openssl_allocation_failed();
  forget_openssl_failure();
  outcome.grown = live_openssl_allocations() - before;
  return outcome;
}

TEST(OpensslTorture, EachAllocationOfOpensslFailsOnce) {
  ASSERT_TRUE(openssl_memory_replaced());
  constexpr std::size_t kFar = 10'000'000;
  for (int i = 0; i < 2; ++i) ASSERT_EQ(run(kFar).complaints, "");
  std::size_t n = 0;
  for (;; n += kStep) {
    Outcome outcome = run(n);
    if (!outcome.failed) break;
    // What OpenSSL keeps for the process or the thread, good or bad, is there the second time.
    if (!outcome.complaints.empty() || outcome.grown > 0) outcome = run(n);
    EXPECT_EQ(outcome.complaints, "") << "allocation " << n;
    EXPECT_LE(outcome.grown, 0) << "allocation " << n;
    if (HasFailure()) return;
  }
  RecordProperty("allocations", static_cast<int>(n));
  EXPECT_GT(n, 100u);
}

}  // namespace

}  // namespace ferry::test
