#include <ferry/testing/explore.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <system_error>

namespace ferry::testing {
namespace {

/// Answers as it was told, then 0, and remembers what it was asked.
class Script final : public SimChooser {
 public:
  struct Answer {
    std::size_t choice;
    std::size_t count;  // 0: any
  };

  explicit Script(std::vector<Answer> answers) : answers_(std::move(answers)) {}

  std::size_t choose(std::size_t count) override {
    if (count < 2) return 0;
    if (next_ == answers_.size()) answers_.push_back({0, count});
    Answer& answer = answers_[next_++];
    if (answer.count == 0) answer.count = count;
    if (answer.count != count || answer.choice >= count) {
      // Asked on, it would answer what fits and be believed.
      astray_ = true;
      return 0;
    }
    return answer.choice;
  }

  /// All that was asked; throws if it was not what the script was written for.
  std::vector<Answer> take() {
    if (astray_ || next_ < answers_.size()) {
      throw std::logic_error("explore: the run does not depend on its choices alone");
    }
    return std::move(answers_);
  }

 private:
  std::vector<Answer> answers_;
  std::size_t next_ = 0;
  bool astray_ = false;
};

SimChoices choices_of(const std::vector<Script::Answer>& answers) {
  SimChoices choices;
  for (const Script::Answer& answer : answers) choices.push_back(answer.choice);
  while (!choices.empty() && choices.back() == 0) choices.pop_back();
  return choices;
}

}  // namespace

std::string format_choices(const SimChoices& choices) {
  std::string text;
  for (const std::size_t choice : choices) {
    if (!text.empty()) text += '.';
    text += std::to_string(choice);
  }
  return text;
}

SimChoices parse_choices(std::string_view text) {
  SimChoices choices;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    const auto [stop, error] = std::from_chars(at, end, choices.emplace_back());
    const bool last = stop == end;
    if (error != std::errc{} || (!last && (*stop != '.' || stop + 1 == end))) {
      std::string why = "parse_choices: not choices: ";
      throw std::invalid_argument(why.append(text));
    }
    at = last ? end : stop + 1;
  }
  return choices;
}

ExploreResult explore(Function<void(SimChooser&)> run, ExploreOptions options) {
  ExploreResult result;
  std::vector<Script::Answer> answers;
  while (result.runs < options.max_runs) {
    Script script(std::move(answers));
    ++result.runs;
    bool failed = false;
    try {
      run(script);
      failed = options.failed && options.failed();
    } catch (...) {
      result.exception = std::current_exception();
      failed = true;
    }
    answers = script.take();
    result.longest = std::max(result.longest, answers.size());
    if (failed) {
      result.failure = choices_of(answers);
      return result;
    }
    // The last question that has another answer gets its next one; what came behind is forgotten.
    while (!answers.empty() && answers.back().choice + 1 == answers.back().count) {
      answers.pop_back();
    }
    if (answers.empty()) {
      result.complete = true;
      return result;
    }
    ++answers.back().choice;
  }
  return result;
}

void replay(const SimChoices& choices, Function<void(SimChooser&)> run) {
  std::vector<Script::Answer> answers;
  for (const std::size_t choice : choices) answers.push_back({choice, 0});
  Script script(std::move(answers));
  run(script);
  static_cast<void>(script.take());
}

}  // namespace ferry::testing
