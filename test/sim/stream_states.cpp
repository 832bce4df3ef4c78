#include "scenarios.h"

namespace ferry::test {

std::vector<const char*> stream_states() {
  return {
      "data while a view is lent",
      "limit overrun at a separator",
      "write_eof with bytes buffered",
      "incomplete read at the end",
  };
}

}  // namespace ferry::test
