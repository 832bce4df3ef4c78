#include "pipes.h"

#include <charconv>

namespace ferry::bench {

namespace {

/// The protocol of the pipe that is written to.
class WritingEnd final : public Protocol {
 public:
  WritingEnd(std::shared_ptr<Protocol> user, Function<void()> ended)
      : user_(std::move(user)), ended_(std::move(ended)) {}

  void reads_from(std::shared_ptr<Transport> reader) {
    if (lost_) return reader->abort();
    reader_ = std::move(reader);
  }

  void pause_writing() override { user_->pause_writing(); }
  void resume_writing() override { user_->resume_writing(); }
  void connection_lost(std::error_code) override {
    lost_ = true;
    if (reader_) reader_->abort();
    if (ended_) ended_();
  }

 private:
  std::shared_ptr<Protocol> user_;
  std::shared_ptr<Transport> reader_;
  bool lost_ = false;
  Function<void()> ended_;
};

/// The number at the front of `text`, which loses it and the `end` behind it; -1 if there is none.
int take_number(std::string_view& text, char end) {
  int number = -1;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  text.remove_prefix(static_cast<std::size_t>(rest - text.data()));
  if (error != std::errc() || number < 0) return -1;
  if (text.empty() || text.front() != end) return end == ',' && text.empty() ? number : -1;
  text.remove_prefix(1);
  return text.empty() ? -1 : number;
}

}  // namespace

std::vector<PipePair> parse_pipes(std::string_view text) {
  std::vector<PipePair> pairs;
  while (!text.empty()) {
    PipePair pair;
    pair.read = take_number(text, ':');
    if (pair.read < 0) return {};
    pair.write = take_number(text, ',');
    if (pair.write < 0) return {};
    pairs.push_back(pair);
  }
  return pairs;
}

void open_pipes(EventLoop& loop, PipePair pair, std::shared_ptr<Protocol> protocol, PipeUser& user,
                Function<void()> ended) {
  const auto writing = std::make_shared<WritingEnd>(protocol, std::move(ended));
  const auto writer = loop.run_until_complete(connect_write_pipe(
      loop, [writing]() -> std::shared_ptr<Protocol> { return writing; }, pair.write));
  user.writes_to(writer.transport);
  const auto reader = loop.run_until_complete(connect_read_pipe(
      loop, [protocol] { return protocol; }, pair.read));
  writing->reads_from(reader.transport);
}

}  // namespace ferry::bench
