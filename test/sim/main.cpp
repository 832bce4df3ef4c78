// sim: runs the scenarios in the worlds of many seeds, each in a deterministic simulation.
//
//     sim --seeds 20000 --rare               all in turn; every rare state must be met
//     sim --scenario echo-tcp --seed 17      one world again
//     sim --torture                          each call of each fails once, the first in all ways
//     sim --starve                           each allocation while the loop runs fails
//     sim --real --storm 100 --seconds 60    on the real kernel, where a tenth of all calls fails
//
// A crash or a hang is a failure as any other: the seeds run in processes of their own.

#include "scenarios.h"
#include "ways.h"
#include "worker.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fnmatch.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using ferry::test::Job;
using ferry::test::NextSeed;
using ferry::test::Progress;
using ferry::testing::Scenario;

constexpr const char kUsage[] =
    "usage: sim [--seeds N] [--first N] [--seed N] [--scenario PATTERN,PATTERN...] [--without "
    "N,N...]\n"
    "           [--jobs N] [--until-failure] [--failures N] [--rare] [--once] [--no-shrink]\n"
    "           [--real] [--torture] [--call N,WAY] [--starve] [--allocation N] [--storm PERMILLE] "
    "[--seconds N] [--list] "
    "[--times] [--tap]\n";

struct Arguments {
  Job job;
  std::size_t jobs = std::max(1u, std::thread::hardware_concurrency());
  std::size_t failures = 5;  // then it is enough
  bool rare = false;
  bool list = false;
  bool times = false;
  bool tap = false;  // the Test Anything Protocol: a line for each scenario and each state
};

std::vector<std::string> names(const std::string& text) {
  std::vector<std::string> all;
  for (std::size_t at = 0; at < text.size(); at += all.back().size() + 1) {
    all.push_back(text.substr(at, text.find(',', at) - at));
  }
  return all;
}

/// The scenarios' names that fit the patterns (fnmatch(3)), each of which must fit one; behind "^"
/// stands what is left out of those before.
std::vector<std::string> matching(const std::vector<std::string>& patterns,
                                  const std::vector<Scenario>& all) {
  std::vector<std::string> found;
  for (const std::string& pattern : patterns) {
    if (pattern.starts_with('^')) {
      std::erase_if(found, [&pattern](const std::string& name) {
        return fnmatch(pattern.c_str() + 1, name.c_str(), 0) == 0;
      });
      continue;
    }
    const std::size_t before = found.size();
    for (const Scenario& each : all) {
      if (fnmatch(pattern.c_str(), each.name.c_str(), 0) == 0) found.push_back(each.name);
    }
    if (found.size() == before) {
      throw std::invalid_argument("no scenario is called '" + pattern + "'");
    }
  }
  return found;
}

std::vector<std::size_t> numbers(const std::string& text) {
  std::vector<std::size_t> all;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t used = 0;
    all.push_back(std::stoul(text.substr(at), &used));
    at += used + 1;
  }
  return all;
}

Arguments parse(const std::vector<std::string>& words) {
  Arguments arguments;
  Job& job = arguments.job;
  for (std::size_t at = 0; at < words.size(); ++at) {
    const std::string& word = words[at];
    const auto value = [&]() -> const std::string& {
      if (++at >= words.size()) throw std::invalid_argument(word + " wants a value");
      return words[at];
    };
    const auto number = [&] { return std::stoull(value()); };
    if (word == "--seeds") {
      job.seeds = number();
    } else if (word == "--first") {
      job.first = number();
    } else if (word == "--seed") {
      job.first = number();
      job.seeds = 1;
    } else if (word == "--scenario") {
      job.only = names(value());
    } else if (word == "--without") {
      job.without = numbers(value());
    } else if (word == "--jobs") {
      arguments.jobs = std::max<std::size_t>(1, number());
    } else if (word == "--until-failure") {
      arguments.failures = 1;
      job.shrink = false;
    } else if (word == "--failures") {
      arguments.failures = number();
    } else if (word == "--rare") {
      arguments.rare = true;
    } else if (word == "--once") {
      job.twice = false;
    } else if (word == "--no-shrink") {
      job.shrink = false;
    } else if (word == "--real") {
      job.real = true;
    } else if (word == "--torture") {
      job.torture = true;
      job.first = 1;
    } else if (word == "--starve") {
      job.starve = true;
      job.first = 1;
    } else if (word == "--allocation") {
      job.only_allocation = number();
    } else if (word == "--call") {
      const std::vector<std::size_t> which = numbers(value());
      job.only_call.emplace(which.at(0), which.at(1));
    } else if (word == "--storm") {
      job.storm = static_cast<unsigned>(number());
    } else if (word == "--seconds") {
      job.end = std::time(nullptr) + static_cast<std::time_t>(number());
    } else if (word == "--list") {
      arguments.list = true;
    } else if (word == "--times") {
      arguments.times = true;
    } else if (word == "--tap") {
      arguments.tap = true;
    } else {
      throw std::invalid_argument("what is " + word + "?");
    }
  }
  return arguments;
}

/// In memory that the processes to come share. It stays until the end.
template <class T>
T& make_shared_by_processes() {
  void* memory =
      mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("mmap failed");
  return *new (memory) T{};
}

/// A process that works off its share of the seeds, and is replaced if it dies.
class Worker {
 public:
  Worker(const Job& job, NextSeed& next)
      : job_(job), next_(&next), progress_(&make_shared_by_processes<Progress>()) {}
  Worker(Worker&& other) noexcept = default;
  Worker& operator=(Worker&&) = delete;

  Progress& progress() const { return *progress_; }
  pid_t pid() const { return pid_; }

  void start() {
    std::fflush(nullptr);
    pid_ = fork();
    if (pid_ < 0) throw std::runtime_error("fork failed");
    if (pid_ != 0) return;
    int code = 0;
    try {
      ferry::test::work(job_, *next_, *progress_);
    } catch (const std::exception& error) {
      progress_->fail(progress_->index, error.what());
      code = 2;
    }
    std::fflush(nullptr);
    _exit(code);  // what the library keeps for a thread's life is not to be looked at
  }

  /// What went wrong, after the process has ended; empty: nothing, no seed is left.
  std::string ended(int status, const std::vector<Scenario>& all) {
    pid_ = 0;
    const std::uint64_t index = progress_->failed ? progress_->failed_at : progress_->index;
    failed_index_ = index;
    const bool failed = progress_->failed.exchange(false);
    if (failed) return progress_->text.data();
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
    ++progress_->done;
    const std::size_t which = ferry::test::scenario_of(job_, all, index);
    std::string how = "exit code " + std::to_string(WEXITSTATUS(status));
    if (WIFSIGNALED(status)) {
      how = WTERMSIG(status) == SIGPROF || WTERMSIG(status) == SIGALRM
                ? "it hangs"
                : strsignal(WTERMSIG(status));
    }
    ferry::testing::SeedFailure failure{.scenario = all[which].name,
                                        .seed = job_.once_each() ? job_.first : job_.first + index,
                                        .complaints = {how},
                                        .without = job_.without};
    failure.how = ferry::test::how_to_replay(job_);
    if (!job_.once_each() && job_.storm == 0) {
      failure.disturbances =
          ferry::testing::disturbances_of(all[which], failure.seed, job_.without);
    }
    if (job_.starve) failure.how += " --allocation " + std::to_string(progress_->call);
    if (job_.torture) {
      failure.how +=
          " --call " + std::to_string(progress_->call) + "," + std::to_string(progress_->way);
    }
    return failure.to_string(failure.arguments());
  }
  std::uint64_t failed_index() const { return failed_index_; }
  std::size_t failed_scenario(const std::vector<Scenario>& all) const {
    return ferry::test::scenario_of(job_, all, failed_index());
  }
  bool more() const { return *next_ < job_.seeds; }

 private:
  const Job& job_;
  NextSeed* next_;
  Progress* progress_;
  std::uint64_t failed_index_ = 0;
  pid_t pid_ = 0;
};

struct Result {
  std::uint64_t done = 0;
  std::size_t failures = 0;
  std::vector<std::string> failed{};  // what went wrong, by scenario; empty: nothing
};

Result run(const Arguments& arguments, const std::vector<Scenario>& all,
           std::vector<Worker>& workers) {
  Result result;
  result.failed.resize(all.size());
  for (Worker& worker : workers) worker.start();
  for (std::size_t running = workers.size(); running > 0;) {
    int status = 0;
    const pid_t pid = wait(&status);
    if (pid < 0) break;
    const auto worker = std::find_if(workers.begin(), workers.end(),
                                     [pid](const Worker& each) { return each.pid() == pid; });
    if (worker == workers.end()) continue;
    --running;
    if (result.failures >= arguments.failures) continue;  // it was told to end
    const std::string wrong = worker->ended(status, all);
    if (wrong.empty()) continue;
    ++result.failures;
    result.failed[worker->failed_scenario(all)] += wrong + "\n";
    if (!arguments.tap) std::printf("%s\n\n", wrong.c_str());
    if (arguments.failures == 1) {
      const std::size_t first = wrong.find('\n');
      const std::size_t second = wrong.find('\n', first + 1);
      std::printf("found after %llu seeds: %s%s\n",
                  static_cast<unsigned long long>(worker->failed_index() + 1),
                  wrong.substr(0, first).c_str(),
                  wrong.substr(first + 1, second - first - 1).c_str());
    }
    if (result.failures < arguments.failures && worker->more()) {
      worker->start();
      ++running;
    }
    if (result.failures < arguments.failures) continue;
    for (Worker& each : workers) {
      if (each.pid() != 0) kill(each.pid(), SIGKILL);
    }
  }
  for (const Worker& each : workers) result.done += each.progress().done;
  return result;
}

template <class Member>
std::uint64_t sum(const std::vector<Worker>& workers, Member member) {
  std::uint64_t total = 0;
  for (const Worker& each : workers) total += member(each.progress());
  return total;
}

std::uint64_t times_reached(const std::vector<Worker>& workers, std::size_t state) {
  return sum(workers, [state](Progress& each) { return each.states[state].load(); });
}

/// At least once in a thousand seeds is asked for.
bool enough(std::uint64_t times, std::uint64_t seeds) {
  return times * 1000 >= seeds;
}

std::size_t report_states(const std::vector<Worker>& workers, std::uint64_t seeds) {
  const std::vector<const char*> names = ferry::test::rare_states();
  std::size_t seldom = 0;
  std::printf("state reached in so many of %llu seeds:\n", static_cast<unsigned long long>(seeds));
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::uint64_t times = times_reached(workers, i);
    seldom += enough(times, seeds) ? 0 : 1;
    std::printf("  %8llu  %s%s\n", static_cast<unsigned long long>(times), names[i],
                enough(times, seeds) ? "" : "   TOO SELDOM");
  }
  return seldom;
}

/// The same and the scenarios as lines of the Test Anything Protocol.
std::size_t report_tap(const Arguments& arguments, const std::vector<Worker>& workers,
                       const std::vector<Scenario>& all, const Result& result) {
  std::size_t number = 0;
  std::size_t seldom = 0;
  const auto line = [&number](bool good, const std::string& what) {
    std::printf("%s %zu - %s\n", good ? "ok" : "not ok", ++number, what.c_str());
  };
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto runs = sum(workers, [i](Progress& each) { return each.runs[i].load(); });
    const bool skipped = runs == 0 && result.failed[i].empty();
    if (skipped && !arguments.job.only.empty()) continue;  // it was not asked for
    line(result.failed[i].empty(),
         all[i].name + (skipped ? " # SKIP no world" : ": " + std::to_string(runs) + " worlds"));
    if (!result.failed[i].empty()) std::printf("%s\n", result.failed[i].c_str());
  }
  const std::vector<const char*> names = ferry::test::rare_states();
  for (std::size_t i = 0; arguments.rare && i < names.size(); ++i) {
    const std::uint64_t times = times_reached(workers, i);
    seldom += enough(times, result.done) ? 0 : 1;
    line(enough(times, result.done), std::string(names[i]) + ": " + std::to_string(times) +
                                         " times in " + std::to_string(result.done) + " seeds");
  }
  std::printf("1..%zu\n", number);
  return seldom;
}

void report_times(const std::vector<Worker>& workers, const std::vector<Scenario>& all,
                  bool twice) {
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto runs = sum(workers, [i](Progress& each) { return each.runs[i].load(); });
    const auto time = sum(workers, [i](Progress& each) { return each.nanoseconds[i].load(); });
    if (runs == 0) continue;
    std::printf("  %8.3f ms  %s\n",
                static_cast<double>(time) / 1e6 / static_cast<double>(runs) / (twice ? 2 : 1),
                all[i].name.c_str());
  }
}

int sim(Arguments arguments) {
  const std::vector<Scenario> all = ferry::test::scenarios(arguments.job.real);
  if (arguments.list) {
    for (const Scenario& each : all) std::printf("%s\n", each.name.c_str());
    return 0;
  }
  arguments.job.only = matching(arguments.job.only, all);
  const std::size_t scenarios = arguments.job.only.empty() ? all.size() : arguments.job.only.size();
  if (arguments.job.once_each()) arguments.job.seeds = scenarios * arguments.job.parts();
  const auto count = std::min<std::uint64_t>(arguments.jobs, arguments.job.seeds);
  std::vector<Worker> workers;
  NextSeed& next = make_shared_by_processes<NextSeed>();
  for (std::uint64_t i = 0; i < count; ++i) workers.emplace_back(arguments.job, next);
  timespec began{};
  clock_gettime(CLOCK_MONOTONIC, &began);
  const Result result = run(arguments, all, workers);
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const double seconds = static_cast<double>(now.tv_sec - began.tv_sec) +
                         static_cast<double>(now.tv_nsec - began.tv_nsec) * 1e-9;
  const std::size_t seldom = arguments.tap    ? report_tap(arguments, workers, all, result)
                             : arguments.rare ? report_states(workers, result.done)
                                              : 0;
  const bool twice = arguments.job.twice && !arguments.job.real && !arguments.job.once_each() &&
                     arguments.job.storm == 0;
  if (arguments.times) report_times(workers, all, twice);
  const auto cpu = sum(workers, [](Progress& each) {
    std::uint64_t total = 0;
    for (const auto& one : each.nanoseconds) total += one;
    return total;
  });
  std::printf(
      "%llu worlds of %zu scenarios%s in %.1f s, %.3f ms of processor time a run; "
      "%zu failed, %zu states too seldom\n",
      static_cast<unsigned long long>(result.done), scenarios, twice ? ", each twice," : "",
      seconds,
      static_cast<double>(cpu) / 1e6 /
          static_cast<double>(std::max<std::uint64_t>(result.done, 1) * (twice ? 2 : 1)),
      result.failures, seldom);
  return result.failures == 0 && seldom == 0 && result.done > 0 ? 0 : 1;
}

}  // namespace

int main(int count, char** words) {
  try {
    return sim(parse(std::vector<std::string>(words + 1, words + count)));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sim: %s\n%s", error.what(), kUsage);
    return 2;
  }
}
