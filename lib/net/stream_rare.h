#pragma once

#include "file_sending.h"
#include "stream_splice.h"

#include <ferry/address.h>
#include <ferry/error.h>

#include <memory>
#include <optional>

namespace ferry {

/// What few connections have, or only at their end: kept apart, so that an idle one stays small.
struct StreamRare {
  std::optional<Address> sockname;    // asked for
  Error error;                        // no code: none
  std::unique_ptr<FileSending> file;  // to be sent after the queue
  std::unique_ptr<StreamSplice> splice;
};

}  // namespace ferry
