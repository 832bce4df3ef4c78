#pragma once

#include <ferry/source_location.h>

#include <string>
#include <string_view>

namespace ferry {

/// The name of the function, without its result and arguments, of what compilers call it:
/// "proxy::handle" also for a coroutine of g++, "void
/// proxy::handle(handle(int)::_Z6handlei.Frame*)".
std::string_view function_name(const SourceLocation& where) noexcept;
/// "file.cpp:12 (handle)".
std::string place_text(const SourceLocation& where);

}  // namespace ferry
