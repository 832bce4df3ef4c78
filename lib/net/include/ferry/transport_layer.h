#pragma once

#include <ferry/protocol_layer.h>
#include <ferry/protocol_slot.h>
#include <ferry/transport.h>

#include <memory>
#include <string>
#include <utility>

namespace ferry {

/// For those who write layers: what all of them have in common, whatever they do with the bytes.
/// `Above` is the kind of Transport that the protocol above gets.
template <class Above = Transport>
class TransportLayer : public Above, public Protocol, public ProtocolLayer {
 public:
  // -- ProtocolLayer
  void when_made(const std::string& host, Made made) override {
    made_ = std::make_shared<Made>(std::move(made));
    ProtocolLayer* const above = slot_.get()->as_layer();
    if (!above) return;
    above_tells_ = true;
    above->when_made(
        host, [made = made_](std::exception_ptr failure, std::shared_ptr<Transport> transport) {
          (*made)(std::move(failure), std::move(transport));
        });
  }
  void close_top() override {
    ProtocolLayer* const above = slot_.made() && slot_.get() ? slot_.get()->as_layer() : nullptr;
    above ? above->close_top() : this->close();
  }
  ProtocolLayer* as_layer() noexcept override { return this; }

  // -- Transport: what is known about the connection
  std::shared_ptr<Protocol> get_protocol() const override { return slot_.get(); }
  const Address& sockname() const noexcept override {
    static const Address none;
    return below_ ? below_->sockname() : none;
  }
  const Address& peername() const noexcept override {
    static const Address none;
    return below_ ? below_->peername() : none;
  }
  int native_handle() const noexcept override { return below_ ? below_->native_handle() : -1; }

 protected:
  explicit TransportLayer(std::shared_ptr<Protocol> above) : slot_(std::move(above)) {}

  /// The application's connection_made has returned, with `self`; to be called once.
  void tell_made(std::shared_ptr<Transport> self) {
    const std::shared_ptr<Made> made = std::exchange(made_, nullptr);
    if (!made || above_tells_) return;
    below_->loop().run_callback([&] { (*made)(nullptr, std::move(self)); });
  }
  /// The application has heard nothing and never will. False if nobody waits for that.
  bool tell_failure(std::exception_ptr failure) {
    const std::shared_ptr<Made> made = std::exchange(made_, nullptr);
    if (!made) return false;
    below_->loop().run_callback([&] { (*made)(std::move(failure), nullptr); });
    return true;
  }

  ProtocolSlot slot_;                          // the protocol above, until connection_lost
  std::shared_ptr<Transport> below_;           // from connection_made on
  std::shared_ptr<ProtocolLayer::Made> made_;  // who waits for it; shared with a layer above
  bool above_tells_ = false;                   // the layer above tells of success
};

}  // namespace ferry
