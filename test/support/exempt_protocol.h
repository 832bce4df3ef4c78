#pragma once

#include "counting_new.h"

#include <ferry/testing/recording_protocol.h>

#include <memory>
#include <system_error>
#include <utility>

namespace ferry::test {

/// What it writes down is the test's own, and may have memory; what its hooks do as well.
class ExemptProtocol : public testing::RecordingProtocol {
 public:
  void connection_made(std::shared_ptr<Transport> transport) override {
    exempt([&] { RecordingProtocol::connection_made(std::move(transport)); });
  }
  void data_received(BytesView data) override {
    exempt([&] { RecordingProtocol::data_received(data); });
  }
  bool eof_received() override {
    return exempt([&] { return RecordingProtocol::eof_received(); });
  }
  void connection_lost(std::error_code error) override {
    exempt([&] { RecordingProtocol::connection_lost(error); });
  }
  void pause_writing() override {
    exempt([&] { RecordingProtocol::pause_writing(); });
  }
  void resume_writing() override {
    exempt([&] { RecordingProtocol::resume_writing(); });
  }
};

}  // namespace ferry::test
