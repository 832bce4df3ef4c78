#include <ferry/fd.h>

#include <gtest/gtest.h>

#include <cerrno>
#include <type_traits>

#include <fcntl.h>
#include <unistd.h>

namespace ferry {
namespace {

int open_null() {
  return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}
bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) != -1;
}

TEST(Fd, DefaultHoldsNothing) {
  const Fd fd;
  EXPECT_FALSE(fd);
  EXPECT_EQ(fd.get(), -1);
}

TEST(Fd, ClosesWhenDestroyed) {
  const int number = open_null();
  ASSERT_GE(number, 0);
  {
    const Fd fd(number);
    EXPECT_TRUE(fd);
    EXPECT_EQ(fd.get(), number);
    EXPECT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
}

TEST(Fd, DescriptorZeroCountsAsHeld) {
  Fd fd(0);
  EXPECT_TRUE(fd);
  EXPECT_EQ(fd.release(), 0);
}

TEST(Fd, ReleaseGivesAwayWithoutClosing) {
  const int number = open_null();
  {
    Fd fd(number);
    EXPECT_EQ(fd.release(), number);
    EXPECT_FALSE(fd);
  }
  EXPECT_TRUE(is_open(number));
  ::close(number);
}

TEST(Fd, MoveHandsOverOwnership) {
  const int number = open_null();
  Fd first(number);
  Fd second(std::move(first));
  EXPECT_FALSE(first);  // NOLINT: moved-from is promised to be empty
  EXPECT_EQ(second.get(), number);
  EXPECT_TRUE(is_open(number));
  EXPECT_FALSE(std::is_copy_constructible_v<Fd>);
}

TEST(Fd, MoveAssignmentClosesWhatWasHeld) {
  const int one = open_null();
  const int two = open_null();
  Fd first(one);
  Fd second(two);
  first = std::move(second);
  EXPECT_FALSE(is_open(one));
  EXPECT_EQ(first.get(), two);
  EXPECT_TRUE(is_open(two));
}

TEST(Fd, SelfMoveAndResetToItselfKeepTheDescriptorOpen) {
  const int number = open_null();
  Fd fd(number);
  Fd& same = fd;
  fd = std::move(same);
  EXPECT_EQ(fd.get(), number);
  fd.reset(number);
  EXPECT_EQ(fd.get(), number);
  EXPECT_TRUE(is_open(number));
}

TEST(Fd, ResetReplacesAndCloses) {
  const int one = open_null();
  const int two = open_null();
  Fd fd(one);
  fd.reset(two);
  EXPECT_FALSE(is_open(one));
  EXPECT_TRUE(is_open(two));
  fd.reset();
  EXPECT_FALSE(is_open(two));
  EXPECT_FALSE(fd);
}

TEST(Fd, ClosingKeepsErrno) {
  const int number = open_null();
  ::close(number);
  errno = ECONNREFUSED;
  { const Fd already_closed(number); }
  EXPECT_EQ(errno, ECONNREFUSED);
}

}  // namespace
}  // namespace ferry
