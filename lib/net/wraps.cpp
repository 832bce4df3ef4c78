#include <ferry/wraps.h>

#include <utility>

namespace ferry {

ProtocolWrap stacked(std::vector<ProtocolWrap> wraps) {
  return [wraps = std::move(wraps)](std::shared_ptr<Protocol> protocol) {
    for (auto wrap = wraps.rbegin(); wrap != wraps.rend(); ++wrap) {
      if (*wrap) protocol = (*wrap)(std::move(protocol));
    }
    return protocol;
  };
}

}  // namespace ferry
