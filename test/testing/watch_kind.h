#pragma once

namespace ferry::test {

/// Each arming of a watch asks the reactor: the library was built with -Dwatch=async_wait.
bool watch_is_async_wait();

}  // namespace ferry::test
