#include "descriptors.h"

#include <sys/resource.h>

#include <stdexcept>
#include <string>

namespace ferry::bench {

void raise_descriptor_limit(std::size_t connections) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  constexpr std::size_t kOthers = 16;  // standard streams, epoll, wake-up, timer, files
  if (limit.rlim_max < connections + kOthers) {
    throw std::runtime_error(std::to_string(connections) + " connections need more than the " +
                             std::to_string(limit.rlim_max) +
                             " descriptors this process may have (ulimit -Hn)");
  }
}

}  // namespace ferry::bench
