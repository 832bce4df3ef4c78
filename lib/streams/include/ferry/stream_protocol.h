#pragma once

#include <ferry/function.h>
#include <ferry/stream_writer.h>

#include <concepts>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

namespace ferry {

namespace detail {

/// Runs `serving`, a coroutine of `handler`'s, as a task; if it ends by an exception, that goes to
/// the loop's handler and the connection is closed.
void serve_connection(const std::shared_ptr<Transport>& transport, Coro<> serving,
                      std::shared_ptr<void> handler);

}  // namespace detail

/// What serves a new connection: `Coro<> f(StreamReader, StreamWriter)`, which runs as a task of
/// its own, or a plain function that takes the same. An exception out of the coroutine goes to the
/// loop's handler and ends the connection; a cancellation ends the connection. Copies share the
/// callable, which lives until the last of its coroutines has ended.
class StreamHandler {
 public:
  StreamHandler() noexcept = default;
  template <class F>
  requires(!std::same_as<std::remove_cvref_t<F>, StreamHandler> &&
           std::invocable<F&, StreamReader, StreamWriter>) StreamHandler(F f)
      : call_(std::make_shared<Call>([f = std::move(f)](const std::shared_ptr<void>& self,
                                                        StreamReader reader,
                                                        StreamWriter writer) mutable {
          if constexpr (std::same_as<std::invoke_result_t<F&, StreamReader, StreamWriter>,
                                     Coro<>>) {
            const std::shared_ptr<Transport> transport = writer.transport();
            detail::serve_connection(transport, f(std::move(reader), std::move(writer)), self);
          } else {
            static_assert(std::same_as<std::invoke_result_t<F&, StreamReader, StreamWriter>, void>,
                          "a stream handler gives Coro<> or nothing");
            f(std::move(reader), std::move(writer));
          }
        })) {}

  explicit operator bool() const noexcept { return call_ != nullptr; }
  void operator()(StreamReader reader, StreamWriter writer) const {
    (*call_)(call_, std::move(reader), std::move(writer));
  }

 private:
  using Call = Function<void(const std::shared_ptr<void>& self, StreamReader, StreamWriter)>;
  std::shared_ptr<Call> call_;
};

/// The bridge from a transport to a StreamReader and a StreamWriter, like
/// asyncio.StreamReaderProtocol: for those who make their connections themselves.
class StreamReaderProtocol : public Protocol {
 public:
  /// `handler` is given both ends as soon as the connection is made.
  explicit StreamReaderProtocol(std::size_t limit = StreamReader::kDefaultLimit,
                                StreamHandler handler = {});

  StreamReader reader() const { return StreamReader(reader_); }
  /// A writer that closes the connection when its last copy is dropped: for one call. Only after
  /// connection_made.
  StreamWriter writer() const { return {transport_, flow_, reader_}; }
  /// After start_tls.
  void replace_transport(std::shared_ptr<Transport> transport) {
    transport_ = std::move(transport);
  }

  void connection_made(std::shared_ptr<Transport> transport) override;
  void data_received(BytesView data) override;
  bool eof_received() override;
  void connection_lost(std::error_code error) override;
  void pause_writing() override { flow_->pause(); }
  void resume_writing() override { flow_->resume(); }

 private:
  StreamHandler handler_;
  Ref<StreamReaderState> reader_;
  Ref<WriteFlow> flow_;
  std::shared_ptr<Transport> transport_;  // kept, for a writer that comes late
};

}  // namespace ferry
