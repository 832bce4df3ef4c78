#pragma once

#include <ferry/event_loop.h>
#include <ferry/transport.h>

#include <cstdint>
#include <memory>
#include <optional>

namespace ferry {

/// Sends a part of a file on a connection, behind what is written already: from `offset`, `count`
/// bytes or up to the file's end. Gives the number of bytes sent. Over a plain socket (or a pipe)
/// the bytes do not pass through this process (sendfile(2)). Over others, such as TLS, and from
/// file systems that refuse that, they are read on the default executor and written; with
/// `fallback = false` the future fails with EOPNOTSUPP instead, and nothing is sent.
///
/// Until the future is done the connection is this call's:
/// * reading pauses, and goes on afterwards if it did before;
/// * `write`, `writelines`, `write_eof` and another sendfile throw std::logic_error on a plain
///   connection, and neither pause_writing nor resume_writing is called. Over others the caller
///   himself must not write, and must not replace the protocol;
/// * `close` sends what was taken so far and ends the connection, `abort` ends it: the future fails
///   with ECONNABORTED. So it does with the connection's own error when the peer is lost;
/// * cancelling the future ends the sending before `cancel` returns; the connection stays open.
///
/// The file's position is behind the last byte taken, however it ends. `file` may be closed after
/// the call. A file that cannot be read is an IoError and leaves the connection open.
/// Throws std::invalid_argument for a count of 0 and an impossible offset, std::logic_error for a
/// connection that is closing or whose writing has ended.
/// https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.sendfile
Future<std::uint64_t> sendfile(const std::shared_ptr<Transport>& transport, int file,
                               std::uint64_t offset = 0, std::optional<std::uint64_t> count = {},
                               bool fallback = true);

}  // namespace ferry
