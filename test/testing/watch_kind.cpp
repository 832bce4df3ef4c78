#include "watch_kind.h"

namespace ferry::test {

bool watch_is_async_wait() {
#ifdef FERRY_WATCH_ASYNC_WAIT
  return true;
#else
  return false;
#endif
}

}  // namespace ferry::test
