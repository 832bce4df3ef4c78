#include <ferry/testing/contract_checker.h>

namespace ferry::testing {

// -- callbacks

ContractChecker::Scope ContractChecker::push(const char* name, Frame frame) {
  inside_.push_back({name, frame});
  return Scope(*this);
}

ContractChecker::Scope ContractChecker::enter(const char* callback) {
  if (!inside_.empty()) {
    violation(std::string(callback) + " was called inside " + inside_.back().name);
  }
  if (lost_) violation(std::string(callback) + " was called after connection_lost");
  return push(callback, Frame::callback);
}

void ContractChecker::check_open(const char* callback) {
  if (!made_) violation(std::string(callback) + " was called before connection_made");
}

void ContractChecker::check_reading(const char* callback) {
  check_open(callback);
  if (eof_) violation(std::string(callback) + " was called after eof_received");
  if (reading_paused_) violation(std::string(callback) + " was called while reading is paused");
  if (ended_by_) violation(std::string(callback) + " was called after " + ended_by_);
}

ContractChecker::Scope ContractChecker::connection_made() {
  if (made_) violation("connection_made was called twice");
  made_ = true;
  return enter("connection_made");
}

ContractChecker::Scope ContractChecker::get_buffer() {
  check_reading("get_buffer");
  return enter("get_buffer");
}

ContractChecker::Scope ContractChecker::data(std::size_t size) {
  check_reading("data_received");
  if (size == 0) violation("data_received was called with no bytes");
  return enter("data_received");
}

ContractChecker::Scope ContractChecker::eof_received() {
  check_reading("eof_received");
  eof_ = true;
  return enter("eof_received");
}

ContractChecker::Scope ContractChecker::pause_writing() {
  check_open("pause_writing");
  if (writing_paused_) violation("pause_writing was called twice without resume_writing");
  writing_paused_ = true;
  // A write inside a callback may be one that nobody told us of.
  if (inside_.empty() || inside_.back().frame == Frame::call) return enter("pause_writing");
  if (lost_) violation("pause_writing was called after connection_lost");
  return push("pause_writing", Frame::callback);
}

ContractChecker::Scope ContractChecker::resume_writing() {
  check_open("resume_writing");
  if (!writing_paused_) violation("resume_writing was called without pause_writing");
  writing_paused_ = false;
  return enter("resume_writing");
}

ContractChecker::Scope ContractChecker::connection_lost(std::error_code error) {
  static_cast<void>(error);
  check_open("connection_lost");
  // `enter` says it if this is the second time.
  Scope scope = enter("connection_lost");
  lost_ = true;
  return scope;
}

std::vector<std::string> ContractChecker::final_violations() const {
  std::vector<std::string> all = violations_;
  if (made_ && !lost_) all.push_back("connection_lost never came");
  return all;
}

// -- calls

ContractChecker::Scope ContractChecker::call(const char* name) {
  return push(name, Frame::call);
}

ContractChecker::Scope ContractChecker::write() {
  return push("write", Frame::write);
}

ContractChecker::Scope ContractChecker::pause_reading() {
  reading_paused_ = true;
  return call("pause_reading");
}

ContractChecker::Scope ContractChecker::resume_reading() {
  reading_paused_ = false;
  return call("resume_reading");
}

ContractChecker::Scope ContractChecker::close() {
  if (!ended_by_) ended_by_ = "close";
  return call("close");
}

ContractChecker::Scope ContractChecker::abort() {
  ended_by_ = "abort";
  return call("abort");
}

}  // namespace ferry::testing
