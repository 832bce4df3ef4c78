// staggered_race: the first of several that succeeds, started one after the other.

#include "task_fixture.h"

#include <ferry/staggered_race.h>

namespace ferry::test {
namespace {

class Races : public SimTaskTest {
 protected:
  using Start = Function<Coro<std::string>()>;

  /// Succeeds or, if `what` begins with "!", fails after `delay`; notes its start and cancellation.
  static Coro<std::string> racer(Log* log, Duration delay, std::string what) {
    log->push_back("start " + what);
    try {
      co_await sleep(delay);
    } catch (const CancelledError&) {
      log->push_back("cancelled " + what);
      throw;
    }
    if (what.front() == '!') throw TestError(what);
    co_return what;
  }
  Start entry(Duration delay, std::string what) {
    return [log = &log_, delay, what] { return racer(log, delay, what); };
  }
  StaggeredResult<std::string> race(std::vector<Start> starts, std::optional<Duration> delay = {}) {
    return run(staggered_race(std::move(starts), delay));
  }
  static std::string text(const std::exception_ptr& error) {
    if (!error) return "none";
    try {
      std::rethrow_exception(error);
    } catch (const CancelledError&) {
      return "cancelled";
    } catch (const std::exception& e) {
      return e.what();
    }
  }

  Log log_;
};

TEST_F(Races, C0200_OfNothingNobodyWins) {
  const auto result = race({});
  EXPECT_FALSE(result.winner || result.value);
  EXPECT_TRUE(result.exceptions.empty());
}

TEST_F(Races, C0200_TheOnlyOneWins) {
  std::vector<Start> starts;
  starts.push_back(entry(1ms, "a"));
  const auto result = race(std::move(starts));
  EXPECT_EQ(result.value, "a");
  EXPECT_EQ(result.winner, 0U);
  ASSERT_EQ(result.exceptions.size(), 1U);
  EXPECT_EQ(result.exceptions[0], nullptr);
}

TEST_F(Races, C0200_AFailureStartsTheNextAtOnce) {
  std::vector<Start> starts;
  starts.push_back(entry(1ms, "!a"));
  starts.push_back(entry(1ms, "b"));
  starts.push_back(entry(1ms, "c"));
  const TimePoint begin = loop().time();
  const auto result = race(std::move(starts), 1h);
  EXPECT_EQ(loop().time() - begin, 2ms);
  EXPECT_EQ(result.value, "b");
  EXPECT_EQ(result.winner, 1U);
  ASSERT_EQ(result.exceptions.size(), 2U);
  EXPECT_EQ(text(result.exceptions[0]), "!a");
  EXPECT_EQ(log_, (Log{"start !a", "start b"}));
}

TEST_F(Races, C0200_TheSecondStartsAfterTheDelayAndTheLoserIsCancelled) {
  std::vector<Start> starts;
  starts.push_back(entry(1h, "a"));
  starts.push_back(entry(5ms, "b"));
  const TimePoint begin = loop().time();
  const auto result = race(std::move(starts), 100ms);
  EXPECT_EQ(loop().time() - begin, 105ms);
  EXPECT_EQ(result.winner, 1U);
  ASSERT_EQ(result.exceptions.size(), 2U);
  EXPECT_EQ(text(result.exceptions[0]), "cancelled");
  EXPECT_EQ(text(result.exceptions[1]), "none");
  EXPECT_EQ(log_, (Log{"start a", "start b", "cancelled a"}));
}

TEST_F(Races, C0200_IfAllFailTheErrorsStandInTheOrderOfTheStarts) {
  std::vector<Start> starts;
  starts.push_back(entry(30ms, "!a"));
  starts.push_back(entry(1ms, "!b"));
  starts.push_back([]() -> Coro<std::string> { throw TestError("not even a coroutine"); });
  const auto result = race(std::move(starts), 10ms);
  EXPECT_FALSE(result.winner || result.value);
  ASSERT_EQ(result.exceptions.size(), 3U);
  EXPECT_EQ(text(result.exceptions[0]), "!a");
  EXPECT_EQ(text(result.exceptions[1]), "!b");
  EXPECT_EQ(text(result.exceptions[2]), "not even a coroutine");
}

TEST_F(Races, WithoutADelayThereIsOneAtATime) {
  std::vector<Start> starts;
  starts.push_back(entry(1h, "!a"));
  starts.push_back(entry(1ms, "b"));
  EXPECT_EQ(race(std::move(starts)).value, "b");
}

TEST_F(Races, OneThatWinsBeforeTheDelayIsAlone) {
  std::vector<Start> starts;
  starts.push_back(entry(1ms, "a"));
  starts.push_back(entry(1ms, "b"));
  EXPECT_EQ(race(std::move(starts), 10ms).exceptions.size(), 1U);
  EXPECT_EQ(log_, (Log{"start a"}));
}

TEST_F(Races, CancellingItAtAnyTimeCancelsAllThatRun) {
  const int cancelled = cancel_at_each_turn(
      [this] {
        log_.clear();
        std::vector<Start> starts;
        starts.push_back(entry(5ms, "a"));
        starts.push_back(entry(5ms, "b"));
        return start(staggered_race(std::move(starts), 2ms));
      },
      [this](const auto& task) {
        EXPECT_TRUE(all_tasks(loop()).empty());
        if (task.cancelled()) {
          EXPECT_EQ(cancel_message(task), "stop");
        } else {
          EXPECT_EQ(task.result().value, "a");
        }
      });
  EXPECT_GT(cancelled, 3);
}

TEST_F(Races, ARaceThatIsCancelledAgainStillWaitsForItsLosers) {
  // The racers use what lies in the race's own list.
  struct Slow {
    std::shared_ptr<Log> log;
    Coro<std::string> operator()() const {
      try {
        co_await sleep(1h);
      } catch (const CancelledError&) {
      }
      co_await sleep(10ms);
      log->push_back("cleaned up");
      co_return "late";
    }
  };
  auto log = std::make_shared<Log>();
  std::vector<Slow> starts{Slow{log}};
  const Task<StaggeredResult<std::string>> task = start(staggered_race(std::move(starts)));
  tick(3);
  EXPECT_TRUE(task.cancel("once"));
  tick(3);
  EXPECT_FALSE(task.done());
  EXPECT_TRUE(task.cancel("twice"));
  finish(task);
  EXPECT_TRUE(task.cancelled());
  EXPECT_EQ(*log, Log{"cleaned up"});
}

}  // namespace
}  // namespace ferry::test
