// Ring, in which a Queue keeps its items.

#include <ferry/ring.h>

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace ferry {
namespace {

TEST(Rings, ItemsComeOutInTheirOrderWhereverTheRingBegins) {
  for (int shift = 0; shift < 20; ++shift) {
    Ring<int> ring;
    for (int i = 0; i < shift; ++i) {
      ring.push_back(-1);
      EXPECT_EQ(ring.pop_front(), -1);
    }
    for (int i = 0; i < 100; ++i) ring.push_back(i);
    EXPECT_EQ(ring.size(), 100u);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(ring.pop_front(), i);
    EXPECT_TRUE(ring.empty());
  }
}

TEST(Rings, PushingAndPoppingByTurnsKeepsTheOrder) {
  Ring<int> ring;
  int pushed = 0;
  int popped = 0;
  for (int round = 0; round < 200; ++round) {
    for (int i = 0; i < round % 7 + 1; ++i) ring.push_back(pushed++);
    for (int i = 0; i < round % 5 + 1 && !ring.empty(); ++i) EXPECT_EQ(ring.pop_front(), popped++);
  }
  while (!ring.empty()) EXPECT_EQ(ring.pop_front(), popped++);
  EXPECT_EQ(popped, pushed);
}

TEST(Rings, ItemsNeedOnlyBeMovable) {
  Ring<std::unique_ptr<int>> ring;
  for (int i = 0; i < 50; ++i) ring.push_back(std::make_unique<int>(i));
  for (int i = 0; i < 50; ++i) EXPECT_EQ(*ring.pop_front(), i);
}

TEST(Rings, WhatIsLeftIsDestroyedWithIt) {
  const auto shared = std::make_shared<int>();
  {
    Ring<std::shared_ptr<int>> ring;
    for (int i = 0; i < 3000; ++i) ring.push_back(shared);
    EXPECT_EQ(shared.use_count(), 3001);
    for (int i = 0; i < 1500; ++i) ring.pop_front();
    EXPECT_EQ(shared.use_count(), 1501);
  }
  EXPECT_EQ(shared.use_count(), 1);
}

TEST(Rings, AfterACrowdItGoesOnAsBefore) {
  Ring<std::vector<int>> ring;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 5000; ++i) ring.push_back({i});
    for (int i = 0; i < 5000; ++i) EXPECT_EQ(ring.pop_front(), std::vector<int>{i});
    EXPECT_TRUE(ring.empty());
  }
}

}  // namespace
}  // namespace ferry
