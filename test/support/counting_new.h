#pragma once

#include <cstddef>

/// How often this thread has asked for memory by `new`, in whatever form, in a program that is
/// linked with counting_new.cpp: that replaces the operator for the whole program.
std::size_t allocations() noexcept;
