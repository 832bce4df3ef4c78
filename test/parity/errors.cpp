#include "errors.h"

#include <ferry/barrier.h>
#include <ferry/event_loop.h>
#include <ferry/exception_group.h>
#include <ferry/queue.h>
#include <ferry/stream_error.h>

#include <algorithm>
#include <typeinfo>

namespace ferry::parity {
namespace {

struct Described {
  Text kind;
  Text text;
};

Text of_group(const ExceptionGroup& group) {
  Words parts;
  for (const std::exception_ptr& each : group.exceptions()) parts.push_back(describe(each));
  return "[" + join(parts, ", ") + "]";
}

Described parts_of(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const RaisedError& e) {
    return {e.kind(), e.text()};
  } catch (const CancelledError& e) {
    return {"CancelledError", e.message()};
  } catch (const LoopExit& e) {
    return {"SystemExit", std::to_string(e.code)};
  } catch (const ExceptionGroup&) {
    return {"ExceptionGroup", {}};
  } catch (const TimeoutError&) {
    return {"TimeoutError", {}};
  } catch (const std::system_error& e) {
    return {kind_of(e.code()), {}};
  } catch (const IncompleteReadError& e) {
    const Text expected = e.expected() ? std::to_string(*e.expected()) : "None";
    return {"IncompleteReadError", "\"" + e.partial() + "\" of " + expected};
  } catch (const LimitOverrunError& e) {
    return {"LimitOverrunError", std::to_string(e.consumed())};
  } catch (const InvalidStateError&) {
    return {"InvalidStateError", {}};
  } catch (const QueueEmpty&) {
    return {"QueueEmpty", {}};
  } catch (const QueueFull&) {
    return {"QueueFull", {}};
  } catch (const BrokenBarrierError&) {
    return {"BrokenBarrierError", {}};
  } catch (const std::invalid_argument&) {
    return {"ValueError", {}};
  } catch (const std::logic_error&) {
    return {"RuntimeError", {}};
  } catch (const std::exception& e) {
    return {typeid(e).name(), e.what()};
  }
}

}  // namespace

std::exception_ptr make_error(const Text& kind, const Text& text) {
  if (kind == "CancelledError") return std::make_exception_ptr(CancelledError(text));
  if (kind == "SystemExit") return std::make_exception_ptr(LoopExit{std::stoi(text)});
  if (kind == "TimeoutError") return std::make_exception_ptr(TimeoutError("script"));
  return std::make_exception_ptr(RaisedError(kind, text));
}

Text kind_of(const std::error_code& error) {
  if (error == std::errc::connection_reset) return "ConnectionResetError";
  if (error == std::errc::connection_refused) return "ConnectionRefusedError";
  if (error == std::errc::connection_aborted) return "ConnectionAbortedError";
  if (error == errc::protocol_failed) return "protocol_failed";
  if (error == std::errc::broken_pipe) return "BrokenPipeError";
  return "OSError";
}

Text kind_of(const std::exception_ptr& exception) {
  return parts_of(exception).kind;
}

Text describe(const std::exception_ptr& exception) {
  const Described parts = parts_of(exception);
  if (parts.kind == "ExceptionGroup") {
    try {
      std::rethrow_exception(exception);
    } catch (const ExceptionGroup& group) {
      return parts.kind + of_group(group);
    }
  }
  return parts.text.empty() ? parts.kind : parts.kind + ": " + parts.text;
}

bool matches(const std::exception_ptr& exception, const Text& clause) {
  if (clause.empty()) return true;
  const Text kind = kind_of(exception);
  if (clause == "any") return kind != "CancelledError" && kind != "SystemExit";
  const Words kinds = split(clause);
  return std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
}

}  // namespace ferry::parity
