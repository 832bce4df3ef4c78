#include <ferry/testing/recording_protocol.h>

#include <stdexcept>

namespace ferry::testing {

// -- ConnectionRecord

std::string ConnectionRecord::summary() const {
  std::string line;
  std::size_t run = 0;
  const auto word = [&line](const std::string& text) {
    if (!line.empty()) line += ' ';
    line += text;
  };
  const auto end_run = [&] {
    if (run) word("data:" + std::to_string(std::exchange(run, 0)));
  };
  for (const std::string& event : events_) {
    if (event.starts_with("data:")) {
      run += std::stoull(event.substr(5));
    } else {
      end_run();
      word(event);
    }
  }
  end_run();
  return line;
}

void ConnectionRecord::record_made(std::shared_ptr<Transport> transport) {
  transport_ = std::move(transport);
  const auto scope = checker_.connection_made();
  if (!transport_) checker_.violation("connection_made was given no transport");
  events_.emplace_back("made");  // last: there may be no memory
  if (on_made) on_made();
}

void ConnectionRecord::record_data(BytesView data) {
  const auto scope = checker_.data(data.size());
  events_.push_back("data:" + std::to_string(data.size()));
  bytes_ += data.size();
  if (keep_data) data_ += data.text();
  if (on_data) on_data(data);
}

bool ConnectionRecord::record_eof() {
  const auto scope = checker_.eof_received();
  events_.emplace_back("eof");
  if (on_eof) on_eof();
  return keep_open_on_eof;
}

void ConnectionRecord::record_lost(std::error_code error) {
  const auto scope = checker_.connection_lost(error);
  if (aborted_well_ && error) {
    checker_.violation("connection_lost was given '" + error.message() + "' after abort");
  }
  error_ = error;
  events_.push_back("lost:" + (error ? error.message() : std::string("ok")));
  if (on_lost) on_lost(error);
}

void ConnectionRecord::record_pause() {
  const auto scope = checker_.pause_writing();
  // TLS pauses at the mark itself.
  if (transport_ &&
      transport_->get_write_buffer_size() < transport_->get_write_buffer_limits().high) {
    checker_.violation("pause_writing was called below the high-water mark");
  }
  events_.emplace_back("pause");
  if (on_pause) on_pause();
}

void ConnectionRecord::record_resume() {
  const auto scope = checker_.resume_writing();
  if (resumes_at_low && transport_ &&
      transport_->get_write_buffer_size() > transport_->get_write_buffer_limits().low) {
    checker_.violation("resume_writing was called above the low-water mark");
  }
  events_.emplace_back("resume");
  if (on_resume) on_resume();
}

Transport& ConnectionRecord::connected(const char* call) const {
  if (!transport_) throw std::logic_error(std::string(call) + " before connection_made");
  return *transport_;
}

void ConnectionRecord::write(BytesView bytes) {
  Transport& transport = connected("write");
  const auto scope = checker_.write();
  transport.write(bytes);
}

void ConnectionRecord::writelines(std::span<const BytesView> pieces) {
  Transport& transport = connected("writelines");
  const auto scope = checker_.write();
  transport.writelines(pieces);
}

void ConnectionRecord::write_eof() {
  Transport& transport = connected("write_eof");
  const auto scope = checker_.call("write_eof");
  transport.write_eof();
}

void ConnectionRecord::pause_reading() {
  Transport& transport = connected("pause_reading");
  const auto scope = checker_.pause_reading();
  transport.pause_reading();
}

void ConnectionRecord::resume_reading() {
  Transport& transport = connected("resume_reading");
  const auto scope = checker_.resume_reading();
  transport.resume_reading();
}

void ConnectionRecord::close() {
  Transport& transport = connected("close");
  const auto scope = checker_.close();
  transport.close();
}

void ConnectionRecord::abort() {
  Transport& transport = connected("abort");
  const auto scope = checker_.abort();
  if (!lost() && !transport.is_closing() && !transport.error()) aborted_well_ = true;
  transport.abort();
}

// -- RecordingProtocol

void RecordingProtocol::connection_made(std::shared_ptr<Transport> transport) {
  record_made(std::move(transport));
}
void RecordingProtocol::data_received(BytesView data) {
  record_data(data);
}
bool RecordingProtocol::eof_received() {
  return record_eof();
}
void RecordingProtocol::connection_lost(std::error_code error) {
  record_lost(error);
}
void RecordingProtocol::pause_writing() {
  record_pause();
}
void RecordingProtocol::resume_writing() {
  record_resume();
}

// -- RecordingBufferedProtocol

void RecordingBufferedProtocol::connection_made(std::shared_ptr<Transport> transport) {
  record_made(std::move(transport));
}

MutableBytes RecordingBufferedProtocol::get_buffer(std::size_t size_hint) {
  const auto scope = checker().get_buffer();
  hints_.push_back(size_hint);
  lent_ = on_get_buffer ? on_get_buffer(size_hint) : MutableBytes(buffer_);
  return lent_;
}

void RecordingBufferedProtocol::buffer_updated(std::size_t size) {
  if (size > lent_.size()) {
    checker().violation("buffer_updated was called with more bytes than were lent");
    size = lent_.size();
  }
  record_data(std::span<const std::byte>(lent_.first(size)));
}

bool RecordingBufferedProtocol::eof_received() {
  return record_eof();
}
void RecordingBufferedProtocol::connection_lost(std::error_code error) {
  record_lost(error);
}
void RecordingBufferedProtocol::pause_writing() {
  record_pause();
}
void RecordingBufferedProtocol::resume_writing() {
  record_resume();
}

}  // namespace ferry::testing
