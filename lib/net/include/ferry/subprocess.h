#pragma once

#include <ferry/connect.h>

#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace ferry {

class SubprocessTransport;

/// What happens to a child process. The order is connection_made; then for each piped stream its
/// data and pipe_connection_lost; process_exited anywhere among these; and when all of them have
/// come connection_lost. Exceptions go to the loop's exception handler and change nothing.
/// https://docs.python.org/3/library/asyncio-protocol.html#subprocess-protocols
class SubprocessProtocol {
 public:
  virtual ~SubprocessProtocol() = default;

  virtual void connection_made(std::shared_ptr<SubprocessTransport> transport);
  /// The child wrote to its descriptor `fd` (1 or 2). `data` is valid during the call only.
  virtual void pipe_data_received(int fd, BytesView data);
  /// That pipe is closed; 0 is the child's standard input.
  virtual void pipe_connection_lost(int fd, std::error_code error);
  /// The child has ended: get_returncode tells how. Its pipes may still hold something, or be held
  /// open by children of its own.
  virtual void process_exited();
  virtual void connection_lost(std::error_code error);
  /// Flow control of the child's standard input.
  virtual void pause_writing();
  virtual void resume_writing();
};

/// A child process and the pipes to it. For the loop's thread only; safe to keep.
/// https://docs.python.org/3/library/asyncio-protocol.html#subprocess-transports
class SubprocessTransport {
 public:
  virtual ~SubprocessTransport() = default;
  virtual EventLoop& loop() const noexcept = 0;

  virtual int get_pid() const noexcept = 0;
  /// The exit code, or the number of the signal that ended it, negated; empty while it runs.
  virtual std::optional<int> get_returncode() const noexcept = 0;
  /// The pipe to the child's descriptor 0 (to write to), or from 1 or 2 (to read from); null if
  /// that is no pipe.
  virtual std::shared_ptr<Transport> get_pipe_transport(int fd) const = 0;
  /// Does nothing if the child has ended already; never reaches another process. Throws IoError:
  /// ESRCH after connection_lost, EPERM, EINVAL.
  virtual void send_signal(int signal_number) = 0;
  /// SIGTERM and SIGKILL.
  virtual void terminate() = 0;
  virtual void kill() = 0;
  /// Closes the pipes, and kills the child if it still runs. Idempotent.
  virtual void close() = 0;
  virtual bool is_closing() const noexcept = 0;
  virtual void set_protocol(std::shared_ptr<SubprocessProtocol> protocol) = 0;
  virtual std::shared_ptr<SubprocessProtocol> get_protocol() const = 0;
};

using SubprocessProtocolFactory = Function<std::shared_ptr<SubprocessProtocol>()>;

/// One of a child's standard streams.
struct Stdio {
  /// `unset` is what asyncio takes when nothing is said: for subprocess_exec and subprocess_shell a
  /// pipe, for create_subprocess_exec and create_subprocess_shell the parent's own.
  enum class Kind : std::uint8_t { unset, inherit, pipe, devnull, as_output, descriptor };
  Kind kind = Kind::unset;
  int fd = -1;  ///< The parent's descriptor that the child gets; stays open and the caller's.

  /// The parent's own.
  static constexpr Stdio inherit() { return {Kind::inherit, -1}; }
  /// A pipe to this process.
  static constexpr Stdio pipe() { return {Kind::pipe, -1}; }
  static constexpr Stdio devnull() { return {Kind::devnull, -1}; }
  /// For standard error: where standard output goes.
  static constexpr Stdio as_output() { return {Kind::as_output, -1}; }
  static constexpr Stdio descriptor(int fd) { return {Kind::descriptor, fd}; }
};

struct SubprocessOptions {
  Stdio in{};
  Stdio out{};
  Stdio err{};
  std::string directory{};  ///< Where the child begins; empty: here.
  /// "NAME=value" each; absent: this process's.
  std::optional<std::vector<std::string>> environment{};
  /// The file to run instead of the first argument.
  std::string executable{};
  /// What the child gets beside 0 to 2, under the same numbers; everything else is closed.
  std::vector<int> pass_fds{};
  bool new_session = false;            ///< setsid(2)
  std::optional<int> process_group{};  ///< setpgid(2); 0: a new one
};

/// What subprocess_exec gives.
template <class P = SubprocessProtocol>
struct Subprocess {
  std::shared_ptr<SubprocessTransport> transport;
  std::shared_ptr<P> protocol;
};

/// Starts a program: `arguments[0]`, looked for if it has no slash in the PATH that the child gets,
/// with `arguments`.
/// The future is done when it runs and connection_made has been called. If it cannot be started
/// (ENOENT, EACCES, ...) the future fails with std::system_error, which names the program; then the
/// factory is not called, and nothing is left behind. Cancelling it kills the child. Throws
/// std::invalid_argument for no arguments, or options that make no sense.
Future<Subprocess<>> subprocess_exec(EventLoop& loop, SubprocessProtocolFactory factory,
                                     std::vector<std::string> arguments,
                                     SubprocessOptions options = {});
/// The same for a command line: `/bin/sh -c command`.
Future<Subprocess<>> subprocess_shell(EventLoop& loop, SubprocessProtocolFactory factory,
                                      std::string command, SubprocessOptions options = {});

/// A factory of a protocol class of its own, std::shared_ptr<P>.
template <class F>
concept TypedSubprocessFactory = requires(F& factory) {
  typename std::invoke_result_t<F&>::element_type;
  requires std::is_base_of_v<SubprocessProtocol, typename std::invoke_result_t<F&>::element_type>;
  requires !std::is_same_v<SubprocessProtocol, typename std::invoke_result_t<F&>::element_type>;
};

/// Both with the protocol's own type: a Future<Subprocess<MyProtocol>>.
template <TypedSubprocessFactory F>
auto subprocess_exec(EventLoop& loop, F factory, std::vector<std::string> arguments,
                     SubprocessOptions options = {}) {
  return detail::typed_pair<Subprocess<typename std::invoke_result_t<F&>::element_type>>(
      loop, subprocess_exec(loop, SubprocessProtocolFactory(std::move(factory)),
                            std::move(arguments), std::move(options)));
}
template <TypedSubprocessFactory F>
auto subprocess_shell(EventLoop& loop, F factory, std::string command,
                      SubprocessOptions options = {}) {
  return detail::typed_pair<Subprocess<typename std::invoke_result_t<F&>::element_type>>(
      loop, subprocess_shell(loop, SubprocessProtocolFactory(std::move(factory)),
                             std::move(command), std::move(options)));
}

}  // namespace ferry
