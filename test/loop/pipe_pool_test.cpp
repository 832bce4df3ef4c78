#include "socket_pair.h"
#include "world.h"

#include <ferry/pipe_pool.h>

#include <sys/socket.h>

#include <tuple>
#include <vector>

namespace ferry::test {
namespace {

class PipePoolTest : public LoopTest {
 protected:
  /// Puts a byte into `pipe`, by way of `near`.
  void fill(PooledPipe& pipe) {
    ASSERT_EQ(loop().kernel().send(far_.get(), "x").value, 1);
    run_until([&] { return pipe.fill(near_.get()).value == 1; });
  }
  void SetUp() override {
    LoopTest::SetUp();
    std::tie(near_, far_) = stream_pair(loop().kernel(), AF_UNIX);
  }
  void TearDown() override {
    near_.reset();
    far_.reset();
    LoopTest::TearDown();
  }

  Socket near_;
  Socket far_;
};

TEST_P(PipePoolTest, KeepsEmptyPipesForTheNextUser) {
  PipePool& pool = loop().pipe_pool();
  EXPECT_EQ(pool.idle(), 0u);
  {
    PooledPipe pipe = pool.take();
    ASSERT_TRUE(pipe);
    EXPECT_EQ(pool.lent(), 1u);
    fill(pipe);
    EXPECT_EQ(pipe.held(), 1u);
    ASSERT_EQ(pipe.empty_into(near_.get()).value, 1);
    EXPECT_EQ(pipe.held(), 0u);
  }
  EXPECT_EQ(pool.lent(), 0u);
  EXPECT_EQ(pool.idle(), 1u);
  const PooledPipe again = pool.take();
  EXPECT_EQ(pool.idle(), 0u);
}

TEST_P(PipePoolTest, ClosesOneThatHoldsBytes) {
  PipePool& pool = loop().pipe_pool();
  PooledPipe pipe = pool.take();
  fill(pipe);
  pipe = {};
  EXPECT_EQ(pool.lent(), 0u);
  EXPECT_EQ(pool.idle(), 0u);
}

TEST_P(PipePoolTest, LendsAndKeepsNoMoreThanItsBounds) {
  PipePool& pool = loop().pipe_pool();
  std::vector<PooledPipe> pipes;
  for (std::size_t i = 0; i < PipePool::kMostLent; ++i) {
    pipes.push_back(pool.take());
    ASSERT_TRUE(pipes.back()) << i;
  }
  EXPECT_FALSE(pool.take());
  pipes.pop_back();
  EXPECT_TRUE(pool.take());
  pipes.clear();
  EXPECT_EQ(pool.lent(), 0u);
  EXPECT_EQ(pool.idle(), PipePool::kMostIdle);
}

TEST_P(PipePoolTest, GivesNoneWhereThereAreNoDescriptors) {
  if (!simulated()) GTEST_SKIP() << "the limit would hold for this whole program";
  sim_kernel().set_descriptor_limit(3);
  EXPECT_FALSE(loop().pipe_pool().take());
  EXPECT_EQ(loop().pipe_pool().lent(), 0u);
  sim_kernel().set_descriptor_limit(4);
  EXPECT_TRUE(loop().pipe_pool().take());
}

TEST_P(PipePoolTest, EmptyPipeLeavesItToTheSocketToHaveNothing) {
  PooledPipe pipe = loop().pipe_pool().take();
  EXPECT_TRUE(pipe.fill(near_.get()).would_block());
  far_.reset();
  EXPECT_EQ(pipe.fill(near_.get()).value, 0);
}

TEST_P(PipePoolTest, WhatItHoldsCanBeCopiedOut) {
  PooledPipe pipe = loop().pipe_pool().take();
  fill(pipe);
  std::byte into[8];
  ASSERT_EQ(pipe.read(into).value, 1);
  EXPECT_EQ(into[0], std::byte{'x'});
  EXPECT_EQ(pipe.held(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Worlds, PipePoolTest, ::testing::ValuesIn(kWorlds), world_name);

}  // namespace
}  // namespace ferry::test
