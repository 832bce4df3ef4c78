// TCP's urgent data ends a read early, at its mark. What follows the mark must not wait for ever.
#include "fault_fixture.h"

#include <gtest/gtest.h>

#include <sys/socket.h>

#include <algorithm>
#include <string>
#include <vector>

namespace ferry::test {

/// One send of the peer; the urgent byte is '!'.
struct UrgentStep {
  std::string data;  ///< Empty: one urgent byte.
};

struct UrgentCase {
  const char* name;
  std::vector<UrgentStep> steps;
};

enum class UrgentTiming { together, one_by_one, while_paused };
enum class UrgentReader { streaming, small_buffer };

struct UrgentEntry {
  UrgentCase script;
  UrgentTiming timing;
  UrgentReader reader;
};

std::vector<UrgentEntry> urgent_entries() {
  const std::string big(100'000, 'b');
  const UrgentCase cases[] = {
      {"BetweenData", {{"abc"}, {""}, {"def"}}},
      {"BeforeData", {{""}, {"def"}}},
      {"BehindDataThenMore", {{"abc"}, {""}, {"d"}, {"e"}, {"f"}}},
      {"TwiceBetweenData", {{"abc"}, {""}, {"def"}, {""}, {"ghi"}}},
      {"TwiceBeforeData", {{""}, {""}, {"def"}}},
      {"BetweenBigData", {{big}, {""}, {big}}},
      {"Often", {{"a"}, {""}, {"b"}, {""}, {"c"}, {""}, {"d"}, {""}, {"e"}}},
      {"AtTheEnd", {{"abc"}, {""}}},
  };
  std::vector<UrgentEntry> entries;
  for (const UrgentCase& script : cases) {
    for (const auto timing :
         {UrgentTiming::together, UrgentTiming::one_by_one, UrgentTiming::while_paused}) {
      for (const auto reader : {UrgentReader::streaming, UrgentReader::small_buffer}) {
        entries.push_back({script, timing, reader});
      }
    }
  }
  return entries;
}

std::string urgent_name(const ::testing::TestParamInfo<UrgentEntry>& entry) {
  const char* timings[] = {"Together", "OneByOne", "WhilePaused"};
  const char* readers[] = {"Streaming", "SmallBuffer"};
  return std::string(entry.param.script.name) +
         timings[static_cast<std::size_t>(entry.param.timing)] +
         readers[static_cast<std::size_t>(entry.param.reader)];
}

class UrgentData : public FaultTest, public ::testing::WithParamInterface<UrgentEntry> {};
INSTANTIATE_TEST_SUITE_P(Orders, UrgentData, ::testing::ValuesIn(urgent_entries()), urgent_name);

TEST_P(UrgentData, NormalDataAroundItIsDelivered) {
  const UrgentEntry& entry = GetParam();
  std::shared_ptr<Protocol> protocol;
  ConnectionRecord* record = nullptr;
  if (entry.reader == UrgentReader::streaming) {
    auto made = recording();
    record = made.get();
    protocol = std::move(made);
  } else {
    auto made = recording_buffered(64);
    record = made.get();
    protocol = std::move(made);
  }
  Link link = open(std::move(protocol));
  std::string normal;
  if (entry.timing == UrgentTiming::while_paused) record->pause_reading();
  for (const UrgentStep& step : entry.script.steps) {
    if (step.data.empty()) {
      // The mark must be where the script says: everything before it is on the wire.
      run_until([&] {
        link.peer->send("");
        return link.peer->unsent() == 0;
      });
      ASSERT_EQ(::send(link.peer->fd(), "!", 1, MSG_OOB | MSG_NOSIGNAL), 1);
    } else {
      link.peer->send(step.data);
      normal += step.data;
    }
    if (entry.timing == UrgentTiming::one_by_one) settle();
  }
  if (entry.timing == UrgentTiming::while_paused) {
    settle();
    record->resume_reading();
  }
  const auto without_marks = [&] {
    std::string data = record->data();
    // Linux leaves an urgent byte in the stream if another one follows before it was passed.
    std::erase(data, '!');
    return data;
  };
  run_until([&] {
    link.peer->send("");
    return without_marks().size() >= normal.size();
  });
  EXPECT_TRUE(without_marks() == normal);
  link.peer->close();
  run_until_lost(*record);
  EXPECT_TRUE(record->eof());
  EXPECT_FALSE(record->error());
}

TEST_F(FaultTest, UrgentDataThatNobodyReadsDoesNotMakeTheLoopSpin) {
  auto probe = recording();
  Link link = open(probe);
  link.peer->send("abc");
  ASSERT_EQ(::send(link.peer->fd(), "!", 1, MSG_OOB | MSG_NOSIGNAL), 1);
  run_until([&] { return probe->bytes() == 3; });
  const std::size_t calls = kernel().recv_calls();
  run_for(std::chrono::milliseconds(50));
  EXPECT_LE(kernel().recv_calls(), calls + 2);
}

}  // namespace ferry::test
