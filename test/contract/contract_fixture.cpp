#include "contract_fixture.h"

#include <chrono>
#include <utility>

namespace ferry::test {

using namespace std::chrono_literals;

std::vector<ContractWorld> contract_worlds() {
  std::vector<ContractWorld> worlds;
  for (const World world : kWorlds) {
    for (const TransportKind& kind : transport_kinds()) {
      if (world == World::sim || !kind.simulated) worlds.push_back({world, &kind});
    }
  }
  return worlds;
}

std::string contract_world_name(const ::testing::TestParamInfo<ContractWorld>& info) {
  return (info.param.world == World::asio ? "Asio" : "Sim") + info.param.kind->name;
}

void ContractTest::SetUp() {
  LoopFixture::SetUp();
  maker_ = GetParam().kind->make();
}

void ContractTest::TearDown() {
  LoopFixture::TearDown();
  for (const auto& record : std::exchange(records_, {})) {
    EXPECT_EQ(record->checker().final_violations(), std::vector<std::string>())
        << record->summary();
  }
}

Ends ContractTest::connect(std::shared_ptr<Protocol> near, std::shared_ptr<Protocol> far) {
  return maker_->connect(
      loop(), [this](Function<bool()> condition) { run_until(std::move(condition)); },
      std::move(near), std::move(far));
}

Couple<> ContractTest::couple() {
  Couple<> made{recording(), recording()};
  connect(made.near, made.far);
  return made;
}

std::size_t ContractTest::write_until_paused(ConnectionRecord& near, ConnectionRecord& far) {
  far.pause_reading();
  std::size_t written = 0;
  run_until(
      [&] {
        while (!near.writing_paused() && written < 50'000'000) {
          near.write(pattern(10'000, written));
          written += 10'000;
        }
        return near.writing_paused();
      },
      20s);
  return written;
}

void ContractTest::run_until_lost(const ConnectionRecord& record) {
  run_until([&] { return record.lost(); });
}

void ContractTest::settle() {
  run_for(20ms);
  tick(8);
}

}  // namespace ferry::test
