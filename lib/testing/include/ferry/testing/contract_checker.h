#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace ferry::testing {

/// Checks the callbacks of one connection against the contract of Protocol: their order,
/// connection_made and connection_lost exactly once each, eof_received at most once and no data
/// after it, pause_writing and resume_writing in turn, no empty data_received, none while reading
/// is paused or after close, and no callback inside another one or inside the program's own call
/// (but pause_writing inside `write`). What is wrong is written down as sentences.
///
/// Tell it everything: a Scope for each callback, and one for each call of the transport.
/// RecordingProtocol does. For the loop's thread.
class ContractChecker {
 public:
  /// Lasts as long as the callback or the call.
  class [[nodiscard]] Scope {
   public:
    Scope(Scope&& other) noexcept : checker_(std::exchange(other.checker_, nullptr)) {}
    Scope& operator=(Scope&&) = delete;
    ~Scope() {
      if (checker_) checker_->inside_.pop_back();
    }

   private:
    friend class ContractChecker;
    explicit Scope(ContractChecker& checker) noexcept : checker_(&checker) {}
    ContractChecker* checker_;
  };

  /// What it needs in callbacks it has from the beginning: it does not fail for want of memory.
  ContractChecker() { inside_.reserve(16); }

  // -- the callbacks
  Scope connection_made();
  Scope get_buffer();
  /// data_received, or buffer_updated.
  Scope data(std::size_t size);
  Scope eof_received();
  Scope pause_writing();
  Scope resume_writing();
  Scope connection_lost(std::error_code error);

  // -- the program's calls of the transport, told before they are made
  /// write, writelines and set_write_buffer_limits: what may call pause_writing.
  Scope write();
  Scope pause_reading();
  Scope resume_reading();
  Scope close();
  Scope abort();
  /// Any other call, by its name (a string literal).
  Scope call(const char* name);

  /// A new protocol takes over in the middle (Transport::set_protocol): connection_made has been.
  void adopt() { made_ = true; }
  /// Adds a sentence of the test's own.
  void violation(std::string sentence) { violations_.push_back(std::move(sentence)); }

  /// Empty if all was as it must be.
  const std::vector<std::string>& violations() const noexcept { return violations_; }
  /// The same plus what only the end can tell: connection_made without connection_lost.
  std::vector<std::string> final_violations() const;

  bool made() const noexcept { return made_; }
  bool lost() const noexcept { return lost_; }
  bool eof() const noexcept { return eof_; }
  bool writing_paused() const noexcept { return writing_paused_; }
  /// Between pause_reading and resume_reading, of those it was told of.
  bool reading_paused() const noexcept { return reading_paused_; }

 private:
  enum class Frame { callback, call, write };
  struct Inside {
    const char* name;  // a string literal
    Frame frame;
  };
  Scope push(const char* name, Frame frame);
  Scope enter(const char* callback);
  void check_open(const char* callback);
  void check_reading(const char* callback);

  std::vector<std::string> violations_;
  std::vector<Inside> inside_;  // the callbacks and calls under way
  bool made_ = false;
  bool lost_ = false;
  bool eof_ = false;
  bool writing_paused_ = false;
  bool reading_paused_ = false;
  const char* ended_by_ = nullptr;  // "close" or "abort", once one was called
};

}  // namespace ferry::testing
