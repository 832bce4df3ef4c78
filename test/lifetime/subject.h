#pragma once

#include <ferry/function.h>
#include <ferry/protocol.h>
#include <ferry/testing/contract_checker.h>
#include <ferry/transport.h>

#include <array>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

namespace ferry::test {

/// The callbacks of a protocol.
enum class Stage { made, data, eof, pause, resume, lost, get_buffer, buffer_updated };
inline constexpr Stage kStages[] = {Stage::made,       Stage::data,          Stage::eof,
                                    Stage::pause,      Stage::resume,        Stage::lost,
                                    Stage::get_buffer, Stage::buffer_updated};
std::string to_string(Stage stage);

/// What the protocols of one test have in common, and what outlives them: the one callback to do
/// something in, and what was seen.
struct Story {
  Stage stage = Stage::made;
  /// Run once, inside the first callback of that kind.
  Function<void()> act;
  bool keep_open_on_eof = false;

  bool acted = false;
  bool act_returned = false;
  testing::ContractChecker checker;
  std::error_code error;
  /// The subject's own reference; the transport has no other one but the loop's.
  std::shared_ptr<Transport> transport;

  void reach(Stage now) {
    if (now != stage || std::exchange(acted, true)) return;
    act();
    act_returned = true;
  }
};

/// A protocol that tells its story. After acting it touches its own memory once more, so that one
/// that dies too early is seen by the address sanitizer.
class Subject final : public Protocol {
 public:
  explicit Subject(Story& story) : story_(story) {}
  void connection_made(std::shared_ptr<Transport> transport) override;
  void data_received(BytesView data) override;
  bool eof_received() override;
  void connection_lost(std::error_code error) override;
  void pause_writing() override;
  void resume_writing() override;

 private:
  Story& story_;  // the test's
  std::string memory_ = "a string too long to be stored in place: it lives on the heap";
};

/// The same with a buffer.
class BufferedSubject final : public BufferedProtocol {
 public:
  explicit BufferedSubject(Story& story) : story_(story) {}
  void connection_made(std::shared_ptr<Transport> transport) override;
  MutableBytes get_buffer(std::size_t size_hint) override;
  void buffer_updated(std::size_t size) override;
  bool eof_received() override;
  void connection_lost(std::error_code error) override;

 private:
  Story& story_;  // the test's
  std::unique_ptr<std::array<std::byte, 64>> buffer_ =
      std::make_unique<std::array<std::byte, 64>>();
};

/// A Subject or a BufferedSubject, whichever has the callback `story.stage`.
std::shared_ptr<Protocol> make_subject(Story& story);

}  // namespace ferry::test
