// Precompiled, with -Db_pch=true, where sanitizers make the compiler slow: what most files of the
// layers include, as far as a layer may see it. They include what they use all the same.
#include <ferry/buffer.h>
#include <ferry/error.h>
#include <ferry/function.h>
#if __has_include(<ferry/event_loop.h>)
#include <ferry/event_loop.h>
#endif
#if __has_include(<ferry/net.h>)
#include <ferry/net.h>
#endif
#if __has_include(<ferry/async.h>)
#include <ferry/async.h>
#endif

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>
