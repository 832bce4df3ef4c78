#include "fault_fixture.h"

#include <sys/resource.h>

#include <chrono>
#include <utility>

namespace ferry::test {

std::shared_ptr<Server> FaultTest::serve(ProtocolFactory factory, ListenOptions options) {
  options.hosts = {"127.0.0.1"};
  auto server = create_server(loop(), std::move(factory), std::move(options));
  run_until([&] { return server.done(); });
  return server.result();
}

Duration FaultTest::cpu_time() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  const auto duration = [](const timeval& time) -> Duration {
    return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
  };
  return duration(usage.ru_utime) + duration(usage.ru_stime);
}

void Echo::connection_made(std::shared_ptr<Transport> transport) {
  transport_ = std::move(transport);
}

}  // namespace ferry::test
