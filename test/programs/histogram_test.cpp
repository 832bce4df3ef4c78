#include "histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace ferry::bench {
namespace {

using std::chrono::nanoseconds;
using namespace std::chrono_literals;

TEST(Histogram, AnEmptyOneIsAllZero) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.max(), 0ns);
  EXPECT_EQ(histogram.percentile(50), 0ns);
}

TEST(Histogram, OneValueIsEveryPercentileWithinItsPrecision) {
  for (nanoseconds value : {0ns, 1ns, 127ns, 255ns, 256ns, 1000ns, nanoseconds(1ms),
                            nanoseconds(1s), nanoseconds(100s)}) {
    Histogram histogram;
    histogram.add(value);
    EXPECT_EQ(histogram.max(), value);
    for (double percent : {0.0, 50.0, 99.9, 100.0}) {
      const auto found = static_cast<double>(histogram.percentile(percent).count());
      const auto exact = static_cast<double>(value.count());
      EXPECT_NEAR(found, exact, exact * 0.004) << exact << " at " << percent;
    }
  }
}

TEST(Histogram, SmallValuesAreExact) {
  Histogram histogram;
  for (int i = 0; i < 256; ++i) histogram.add(nanoseconds(i));
  EXPECT_EQ(histogram.percentile(0), 0ns);
  EXPECT_EQ(histogram.percentile(50), 127ns);
  EXPECT_EQ(histogram.percentile(100), 255ns);
}

TEST(Histogram, PercentilesAreThoseOfTheSortedValuesWithinHalfAPercent) {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> durations(11, 2.5);  // about 60 us, with a long tail
  std::vector<nanoseconds> values;
  Histogram histogram;
  for (int i = 0; i < 200'000; ++i) {
    values.emplace_back(static_cast<std::int64_t>(durations(random)));
    histogram.add(values.back());
  }
  std::sort(values.begin(), values.end());
  for (double percent : {1.0, 10.0, 50.0, 90.0, 99.0, 99.9, 99.99}) {
    const auto rank =
        static_cast<std::size_t>(std::ceil(percent / 100 * static_cast<double>(values.size())));
    const auto exact = static_cast<double>(values[rank - 1].count());
    EXPECT_NEAR(static_cast<double>(histogram.percentile(percent).count()), exact, exact * 0.005);
  }
  EXPECT_EQ(histogram.max(), values.back());
  EXPECT_EQ(histogram.percentile(100), std::min(histogram.percentile(100), values.back()));
}

TEST(Histogram, NothingIsTooLongOrTooShort) {
  Histogram histogram;
  histogram.add(-5s);
  EXPECT_EQ(histogram.percentile(100), 0ns);
  histogram.add(nanoseconds::max());
  EXPECT_EQ(histogram.max(), nanoseconds::max());
  EXPECT_GT(histogram.percentile(100), 100s);
  EXPECT_EQ(histogram.count(), 2u);
}

TEST(Histogram, ClearForgetsAll) {
  Histogram histogram;
  histogram.add(1s);
  histogram.clear();
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.max(), 0ns);
}

}  // namespace
}  // namespace ferry::bench
