// Precompiled, with -Db_pch=true, for the suites with many files: what most of them include. They
// include what they use all the same.
#include <ferry/net.h>

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>
