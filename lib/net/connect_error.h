#pragma once

#include <ferry/connect.h>

#include <exception>
#include <vector>

namespace ferry {

/// What a connect fails with after these attempts, as asyncio has it: the first error if all say
/// the same (or there is just one), else AggregateError; with `all_errors` always AggregateError.
/// No error at all is an IoError, too.
std::exception_ptr connect_failure(std::vector<Error> errors, bool all_errors);

}  // namespace ferry
