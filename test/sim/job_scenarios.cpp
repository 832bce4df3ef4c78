// Jobs of the default executor whose tasks are cancelled, and out of time.

#include "bench.h"
#include "scenarios.h"

#include <array>
#include <atomic>
#include <chrono>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::Trial;

struct Oops : std::runtime_error {
  Oops() : std::runtime_error("oops") {}
};

struct JobBench final : Bench {
  using Bench::Bench;
  static constexpr std::size_t kJobs = 12;
  /// How often each ran. A thread of its own may do it where nothing is simulated.
  std::array<std::atomic<int>, kJobs> ran{};
  std::array<bool, kJobs> given{};
};
using JobBenchPtr = std::shared_ptr<JobBench>;

int run_job(std::atomic<int>* ran, int number, bool fails) {
  ++*ran;
  if (fails) throw Oops();
  return number;
}

Coro<> have_it_done(JobBenchPtr bench, std::size_t number) {
  if (bench->lot.permille(500)) co_await sleep(bench->pause());
  const bool fails = bench->lot.permille(200);
  const Future<int> job = to_thread(run_job, &bench->ran[number], static_cast<int>(number), fails);
  bench->given[number] = true;
  Duration limit{};
  try {
    int got = 0;
    if (bench->lot.permille(400)) {
      limit = bench->pause();
      got = co_await wait_for(Future<int>(job), limit);
    } else {
      got = co_await job;
    }
    if (fails || got != static_cast<int>(number)) bench->trial.complain("another job's result");
    if (bench->ran[number] != 1) bench->trial.complain("a result of a job that has not run");
  } catch (const Oops&) {
    if (!fails) bench->trial.complain("a job failed that should not");
  } catch (const TimeoutError&) {
    bench->timed_out(limit, "timeout of a job");
    // It may have failed just then: somebody has to look.
    static_cast<void>(job.state()->failure());
  } catch (const CancelledError&) {
    static_cast<void>(job.state()->failure());
    throw;
  }
}

Coro<> give_jobs(JobBenchPtr bench) {
  EventLoop& loop = get_running_loop();
  std::vector<Coro<>> work;
  for (std::size_t i = 0; i < JobBench::kJobs; ++i) work.push_back(have_it_done(bench, i));
  co_await work_at(bench, std::move(work), bench->lot.below(10));
  if (bench->lot.permille(500)) co_await sleep(20ms);
  co_await loop.shutdown_default_executor();
  for (std::size_t i = 0; i < JobBench::kJobs; ++i) {
    if (bench->ran[i] > 1) bench->trial.complain("a job ran twice");
    if (bench->given[i] && bench->ran[i] == 0) {
      bench->trial.reached("a job is cancelled before it runs");
    }
  }
  bool refused = false;
  try {
    static_cast<void>(to_thread([] { return 1; }));
  } catch (const std::logic_error&) {
    refused = true;
  }
  if (!refused) bench->trial.complain("a job after the executor's end");
}

void jobs(Trial& trial) {
  play_bench(trial, give_jobs(std::make_shared<JobBench>(trial)));
}

}  // namespace

void add_job_scenarios(std::vector<testing::Scenario>& all) {
  testing::Scenario scenario{.name = "jobs", .play = jobs, .troubles = kNoSockets};
  scenario.options.sim.job_time_max = 4ms;
  all.push_back(std::move(scenario));
}

}  // namespace ferry::test
