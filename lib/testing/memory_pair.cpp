#include <ferry/testing/memory_pair.h>

#include <ferry/testing/forwarding_kernel.h>

#include <netinet/in.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

namespace ferry::testing {

namespace {

/// The simulation at the bottom of a loop.
SimKernel& simulation_of(EventLoop& loop) {
  Kernel* kernel = &loop.kernel();
  while (auto* around = dynamic_cast<ForwardingKernel*>(kernel)) kernel = &around->inner();
  if (auto* simulation = dynamic_cast<SimKernel*>(kernel)) return *simulation;
  throw std::invalid_argument("join_in_memory: the loop is not on a SimKernel");
}

void set_capacity(SimKernel& kernel, const Socket& socket, std::size_t capacity) {
  constexpr std::size_t kMost = std::numeric_limits<int>::max();
  const int half = static_cast<int>(std::clamp<std::size_t>(capacity / 2, 1, kMost));
  kernel.set_option(socket.get(), SOL_SOCKET, SO_SNDBUF, half);
  kernel.set_option(socket.get(), SOL_SOCKET, SO_RCVBUF, half);
}

Future<Connection<>> start(EventLoop& loop, std::shared_ptr<Protocol> protocol, Socket socket,
                           ProtocolWrap wrap) {
  return connect_accepted_socket(
      loop, [protocol = std::move(protocol)] { return protocol; }, socket.release(),
      std::move(wrap));
}

}  // namespace

MemoryEnds join_in_memory(EventLoop& loop, std::shared_ptr<Protocol> near,
                          std::shared_ptr<Protocol> far, MemoryPairOptions options) {
  SimKernel& kernel = simulation_of(loop);
  if (!near || !far) throw std::invalid_argument("join_in_memory: a protocol is null");
  const auto [first, second] = kernel.connected_pair(AF_INET);
  // Closed through the loop's kernel, as all that is open is.
  Socket near_socket(loop.kernel(), first);
  Socket far_socket(loop.kernel(), second);
  set_capacity(kernel, near_socket, options.capacity);
  set_capacity(kernel, far_socket, options.capacity);
  if (options.link) kernel.network().set_link(*options.link, kernel.route(near_socket.get()));
  auto near_end =
      start(loop, std::move(near), std::move(near_socket), std::move(options.near_wrap));
  auto far_end = start(loop, std::move(far), std::move(far_socket), std::move(options.far_wrap));
  return {std::move(near_end), std::move(far_end)};
}

MemoryPair::MemoryPair(std::shared_ptr<Protocol> near, std::shared_ptr<Protocol> far,
                       MemoryPairOptions options) {
  auto simulation = std::make_unique<SimKernel>(SimOptions{.seed = options.seed});
  kernel_ = simulation.get();
  auto faults = std::make_unique<FaultKernel>(std::move(simulation));
  faults_ = faults.get();
  loop_ = std::make_unique<EventLoop>(std::move(faults));
  start_ = loop_->time();
  loop_->set_exception_handler([this](EventLoop&, const ExceptionContext& context) {
    exceptions_.push_back(context.to_string());
  });
  const MemoryEnds ends =
      join_in_memory(*loop_, std::move(near), std::move(far), std::move(options));
  near_ = loop_->run_until_complete(ends.near).transport;
  far_ = loop_->run_until_complete(ends.far).transport;
}

MemoryPair::~MemoryPair() {
  loop_->close();
}

bool MemoryPair::run(Duration limit) {
  return run_until([this] { return loop_->stats().transports == 0; }, limit);
}

bool MemoryPair::run_until(Function<bool()> condition, Duration limit) {
  // Whatever ends this: neither may call back after it.
  struct End {
    SimKernel& kernel;
    TimerHandle deadline;
    ~End() {
      kernel.set_turn_hook(nullptr);
      deadline.cancel();
    }
  };
  bool met = condition();
  bool late = false;
  if (met) return true;
  const End end{*kernel_, loop_->call_later(limit, [this, &late] {
                  late = true;
                  loop_->stop();
                })};
  kernel_->set_turn_hook([this, &met, &condition] {
    if (met || !condition()) return;
    met = true;
    loop_->stop();
  });
  while (!met && !late) loop_->run_forever();  // a protocol may have stopped it
  return met;
}

void MemoryPair::run_for(Duration time) {
  run_until([] { return false; }, time);
}

}  // namespace ferry::testing
