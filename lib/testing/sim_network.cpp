#include <ferry/testing/sim_network.h>

#include "sim_wires.h"

namespace ferry::testing {

void SimGuard::end() noexcept {
  if (SimWires* wires = std::exchange(wires_, nullptr)) wires->end(number_);
}

void SimNetwork::set_link(SimLink link, SimRoute route) {
  wires_.set_link(link, std::move(route));
}
SimGuard SimNetwork::stall(SimRoute route) {
  return SimGuard(wires_, wires_.begin(SimWires::Trouble::stall, std::move(route)));
}
SimGuard SimNetwork::partition(SimRoute route) {
  return SimGuard(wires_, wires_.begin(SimWires::Trouble::partition, std::move(route)));
}
std::size_t SimNetwork::cut(SimRoute route, SimEnds ends) {
  return wires_.cut(std::move(route), ends);
}
SimGuard SimNetwork::cut_after(std::uint64_t bytes, SimRoute route, SimEnds ends) {
  return SimGuard(wires_, wires_.begin(SimWires::Trouble::cut, std::move(route), bytes, ends));
}
void SimNetwork::tell_cut() {
  wires_.tell_cut();
}
void SimNetwork::heal() {
  wires_.end_all();
}
SimNetworkStats SimNetwork::stats() const {
  return wires_.stats();
}

}  // namespace ferry::testing
