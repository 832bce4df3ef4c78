#include "datagram_fixture.h"

#include <utility>

namespace ferry::test {

using namespace std::chrono_literals;

void RecordingDatagrams::expect_open() {
  EXPECT_TRUE(!events.empty() && events.front() == "made") << "a callback before connection_made";
  EXPECT_FALSE(lost) << "a callback after connection_lost";
}

void RecordingDatagrams::connection_made(std::shared_ptr<DatagramTransport> t) {
  EXPECT_TRUE(events.empty());
  events.push_back("made");
  transport = std::move(t);
}

void RecordingDatagrams::datagram_received(BytesView bytes, const DatagramInfo& info) {
  expect_open();
  EXPECT_TRUE(transport->is_reading()) << "a datagram while not reading";
  ++received;
  if (keep_data) {
    events.push_back("data:" + std::string(bytes.text().substr(0, 40)));
    data.emplace_back(bytes.text());
    infos.push_back(info);
  }
  if (on_data) on_data(bytes, info);
}

void RecordingDatagrams::error_received(std::error_code error) {
  expect_open();
  events.push_back("error:" + error.message());
  errors.push_back(error);
  if (on_error) on_error(error);
}

void RecordingDatagrams::connection_lost(std::error_code error) {
  expect_open();
  lost = true;
  loss = error;
  events.push_back("lost:" + (error ? error.message() : "ok"));
}

void RecordingDatagrams::pause_writing() {
  expect_open();
  EXPECT_FALSE(std::exchange(writing_paused, true));
  events.push_back("pause");
}

void RecordingDatagrams::resume_writing() {
  expect_open();
  EXPECT_TRUE(std::exchange(writing_paused, false));
  events.push_back("resume");
  if (on_resume) on_resume();
}

void DatagramTest::TearDown() {
  StreamFixture::TearDown();
}

Endpoint DatagramTest::open(DatagramOptions options) {
  auto future = create_datagram_endpoint(
      loop(), [] { return std::make_shared<RecordingDatagrams>(); }, std::move(options));
  run_until([&] { return future.done(); });
  return future.result();
}

Endpoint DatagramTest::open_to(const Address& remote) {
  DatagramOptions options;
  if (remote.is_unix()) {
    options.remote_path = remote.path();
  } else {
    options.remote_host = remote.host();
    options.remote_port = remote.port();
  }
  return open(std::move(options));
}

void DatagramTest::run_until_received(const Endpoint& endpoint, std::size_t count) {
  run_until([&] { return endpoint.protocol->received >= count; }, 30s);
  EXPECT_EQ(endpoint.protocol->received, count);
}

std::error_code DatagramTest::open_error(DatagramOptions options) {
  try {
    open(std::move(options));
  } catch (const IoError& error) {
    return error.code();
  }
  return {};
}

Address DatagramTest::nobody() {
  Endpoint endpoint = open();
  const Address address = endpoint.transport->sockname();
  endpoint.transport->abort();
  run_until([&] { return endpoint.protocol->lost; });
  return address;
}

}  // namespace ferry::test
