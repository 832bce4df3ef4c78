#pragma once

#include "far_end.h"
#include "transport_maker.h"
#include "world.h"

#include <ferry/testing/recording_protocol.h>

#include <memory>
#include <string>
#include <vector>

namespace ferry::test {

using ferry::testing::ConnectionRecord;
using ferry::testing::RecordingBufferedProtocol;
using ferry::testing::RecordingProtocol;

/// What the contract suite is run with: ::testing::ValuesIn(contract_worlds()),
/// contract_world_name.
struct ContractWorld {
  World world;
  const TransportKind* kind;
};
std::vector<ContractWorld> contract_worlds();
std::string contract_world_name(const ::testing::TestParamInfo<ContractWorld>& info);

/// Two recording protocols and the two transports between them.
template <class Near = RecordingProtocol, class Far = RecordingProtocol>
struct Couple {
  std::shared_ptr<Near> near;
  std::shared_ptr<Far> far;
};

/// Connections of one kind in one world; at the end every protocol must have kept the contract.
class ContractTest : public LoopFixture, public ::testing::WithParamInterface<ContractWorld> {
 protected:
  void SetUp() override;
  void TearDown() override;
  World world() const override { return GetParam().world; }
  TransportMaker& maker() { return *maker_; }

  /// A protocol that is checked by TearDown.
  template <class P = RecordingProtocol, class... Args>
  std::shared_ptr<P> recording(Args... args) {
    auto made = std::make_shared<P>(args...);
    records_.push_back(made);
    return made;
  }
  Ends connect(std::shared_ptr<Protocol> near, std::shared_ptr<Protocol> far);
  /// A new connection between two new recording protocols.
  Couple<> couple();
  /// Writes, with the far side not reading, until pause_writing; gives the number of bytes written:
  /// pattern(n).
  std::size_t write_until_paused(ConnectionRecord& near, ConnectionRecord& far);
  void run_until_lost(const ConnectionRecord& record);
  void settle();

 private:
  std::unique_ptr<TransportMaker> maker_;
  std::vector<std::shared_ptr<ConnectionRecord>> records_;
};

}  // namespace ferry::test
