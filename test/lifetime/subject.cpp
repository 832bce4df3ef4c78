#include "subject.h"

#include <gtest/gtest.h>

namespace ferry::test {

std::string to_string(Stage stage) {
  switch (stage) {
    case Stage::made:
      return "Made";
    case Stage::data:
      return "Data";
    case Stage::eof:
      return "Eof";
    case Stage::pause:
      return "Pause";
    case Stage::resume:
      return "Resume";
    case Stage::lost:
      return "Lost";
    case Stage::get_buffer:
      return "GetBuffer";
    case Stage::buffer_updated:
      return "BufferUpdated";
  }
  return "?";
}

void Subject::connection_made(std::shared_ptr<Transport> transport) {
  const auto scope = story_.checker.connection_made();
  story_.transport = std::move(transport);
  story_.reach(Stage::made);
  EXPECT_EQ(memory_.front(), 'a');
}

void Subject::data_received(BytesView data) {
  const auto scope = story_.checker.data(data.size());
  story_.reach(Stage::data);
  EXPECT_EQ(memory_.front(), 'a');
}

bool Subject::eof_received() {
  const auto scope = story_.checker.eof_received();
  story_.reach(Stage::eof);
  EXPECT_EQ(memory_.front(), 'a');
  return story_.keep_open_on_eof;
}

void Subject::connection_lost(std::error_code error) {
  const auto scope = story_.checker.connection_lost(error);
  story_.error = error;
  story_.reach(Stage::lost);
  EXPECT_EQ(memory_.front(), 'a');
  story_.transport.reset();
}

void Subject::pause_writing() {
  const auto scope = story_.checker.pause_writing();
  story_.reach(Stage::pause);
  EXPECT_EQ(memory_.front(), 'a');
}

void Subject::resume_writing() {
  const auto scope = story_.checker.resume_writing();
  story_.reach(Stage::resume);
  EXPECT_EQ(memory_.front(), 'a');
}

void BufferedSubject::connection_made(std::shared_ptr<Transport> transport) {
  const auto scope = story_.checker.connection_made();
  story_.transport = std::move(transport);
  story_.reach(Stage::made);
}

MutableBytes BufferedSubject::get_buffer(std::size_t) {
  const auto scope = story_.checker.get_buffer();
  story_.reach(Stage::get_buffer);
  buffer_->front() = std::byte{0};
  return *buffer_;
}

void BufferedSubject::buffer_updated(std::size_t size) {
  const auto scope = story_.checker.data(size);
  story_.reach(Stage::buffer_updated);
  buffer_->front() = std::byte{0};
}

bool BufferedSubject::eof_received() {
  const auto scope = story_.checker.eof_received();
  story_.reach(Stage::eof);
  return story_.keep_open_on_eof;
}

void BufferedSubject::connection_lost(std::error_code error) {
  const auto scope = story_.checker.connection_lost(error);
  story_.error = error;
  story_.reach(Stage::lost);
  story_.transport.reset();
}

std::shared_ptr<Protocol> make_subject(Story& story) {
  if (story.stage == Stage::get_buffer || story.stage == Stage::buffer_updated) {
    return std::make_shared<BufferedSubject>(story);
  }
  return std::make_shared<Subject>(story);
}

}  // namespace ferry::test
