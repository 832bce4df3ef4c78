"""Bugs of transports, servers, TLS and relays."""

from planting import plant

# ---- writing

plant(
    "writelines_never_arms",
    "asyncio 3.12 alpha (cpython #103462): what writelines could not send at once was never sent",
    "lib/net/stream_write.cpp",
    "  if (!queue_.empty()) await_writable();\n",
    "")

plant(
    "writelines_without_flow_control",
    "asyncio 3.12 (cpython #127655, CVE-2024-12254): writelines never paused the writer",
    "lib/net/stream_write.cpp",
    "    if (look) check_high_water();\n",
    "    static_cast<void>(look);\n")

plant(
    "writelines_after_loss",
    "asyncio 3.12 (cpython #136234): writelines did not ask whether the connection was lost",
    "lib/net/stream_write.cpp",
    "  if (!accepts_writes()) return;\n  or_fail",
    "  or_fail")

plant(
    "buffer_dropped_on_eagain",
    "asyncio 3.12 (cpython #146507): a piece taken off the buffer before send said EAGAIN was gone",
    "lib/net/stream_write.cpp",
    "    queue_.consume(sent);\n",
    "    queue_.consume(r.ok() ? sent : batch[0].size());\n")

plant(
    "short_write_taken_for_whole",
    "SFML #749, Hyprland #15262 and many more: the tail of a short write was dropped",
    "lib/net/stream_write.cpp",
    "      if (r.count() == data.size()) [[likely]]\n        return;\n"
    "      data = data.drop(r.count());\n",
    "      return;\n")

plant(
    "gathered_write_skips_bytes",
    "Watt-32 #106: after a partial sendmsg the remaining pieces lost bytes at their front",
    "lib/net/stream_write.cpp",
    "      sent -= skip;\n",
    "")

plant(
    "write_eof_before_flush",
    "SwiftNIO #3139: a half-close shut the socket down in front of writes still queued",
    "lib/net/stream_write.cpp",
    "  if (!corked_ && nothing_queued()) flushed();\n",
    "  if (!corked_) flushed();\n")

plant(
    "close_drops_queue",
    "asyncio pipes and sockets (cpython #70850, #115514): close did not send what was queued",
    "lib/net/stream_transport.cpp",
    "  if (!corked_ && nothing_queued()) end_soon();\n",
    "  if (!corked_) end_soon();\n")

plant(
    "quadratic_accounting",
    "asyncio 3.12 (cpython #146507): each write summed up the whole buffer again",
    "lib/net/write_queue.h",
    "  std::size_t size() const noexcept { return content_ ? content_->size : 0; }\n",
    "  std::size_t size() const noexcept {\n"
    "    std::size_t sum = 0;\n"
    "    if (content_) {\n"
    "      for (std::size_t i = content_->head; i < content_->segments.size(); ++i) {\n"
    "        sum += content_->segments[i].size();\n"
    "      }\n"
    "    }\n"
    "    return sum;\n"
    "  }\n")

# ---- flow control

plant(
    "resume_only_below_low_water",
    "off by one: with a low-water mark of 0, as TLS sets it, nobody is ever told to go on",
    "lib/net/stream_write.cpp",
    "  if (!flow_.should_resume(queued())) return false;\n",
    "  if (!flow_.should_resume(queued() + 1)) return false;\n")

plant(
    "resume_writing_after_loss",
    "zuvloop #33, and uvicorn's way out of #336: resume_writing for a connection that is gone",
    "lib/net/stream_transport.cpp",
    "  if (slot_.made()) slot_.connection_lost(*this, error().code);\n  queue_.clear();\n",
    "  if (slot_.made()) slot_.connection_lost(*this, error().code);\n  queue_.clear();\n"
    "  if (flow_.should_resume(0)) slot_.get()->resume_writing();\n")

plant(
    "tls_backlog_not_counted",
    "asyncio before 3.11: the TLS transport gave the size of the buffer below and not its own",
    "lib/tls/tls_write.cpp",
    "  return backlog_.size() + engine_->output().size() + below_->get_write_buffer_size();\n",
    "  return below_->get_write_buffer_size();\n")

plant(
    "drain_not_woken_by_loss",
    "uvicorn #336: who waited for room was left waiting when the connection was lost",
    "lib/streams/write_flow.cpp",
    "  draining_.wake_all();\n  ending_.wake_all();\n",
    "  ending_.wake_all();\n")

plant(
    "hard_limit_not_kept",
    "a limit that nobody keeps: a writer that minds no pause takes all the memory there is",
    "lib/net/stream_write.cpp",
    "  if (flow_.overflows(get_write_buffer_size())) {\n",
    "  if (flow_.overflows(get_write_buffer_size() / 1000)) {\n")

# ---- reading

plant(
    "data_after_pause_reading",
    "asyncio's first transports (cpython #103607): pause_reading did not take hold",
    "lib/net/stream_read.cpp",
    "  if (!slot_.made() || !is_reading()) {\n",
    "  if (!slot_.made() || closing_) {\n")

plant(
    "tls_data_after_pause_reading",
    "asyncio before 3.11 (cpython #89322): TLS records already received came through a pause",
    "lib/tls/tls_read.cpp",
    "!closing_ && !over_ && !held(); --budget",
    "!closing_ && !over_ && !held_; --budget")

plant(
    "fin_behind_data_missed",
    "Netty #6173, and Asio (#1561), which does not ask for EPOLLRDHUP: a FIN in the same edge as "
    "data went unnoticed",
    "lib/net/stream_read.cpp",
    "read_ready(event.drain || ends_.short_reads || eof_refused_);",
    "static_cast<void>(event), read_ready(ends_.short_reads);")

plant(
    "rdhup_drops_unread_data",
    "Netty #3709, #4317: EPOLLRDHUP was taken for the end while bytes lay unread before it",
    "lib/net/stream_read.cpp",
    "read_ready(event.drain || ends_.short_reads || eof_refused_);",
    "event.drain ? on_eof() : read_ready(ends_.short_reads);")

plant(
    "separator_across_chunks_missed",
    "the bug that asyncio's readuntil was reviewed for (python/asyncio #297): a separator that "
    "comes in two pieces is not seen",
    "lib/streams/stream_read.cpp",
    "  if (text.size() >= longest) searched_ = text.size() + 1 - longest;\n",
    "  searched_ = text.size();\n")

plant(
    "reads_without_a_budget",
    "libuv on Windows (#2027), Bun's datagrams (oven-sh/bun #37103): a sender faster than its reader "
    "kept the loop to itself",
    "lib/net/stream_read.cpp",
    "constexpr int kFullReadsPerTurn = 16;\n",
    "constexpr int kFullReadsPerTurn = 1'000'000;\n")

# ---- the end of a connection

plant(
    "connection_lost_twice",
    "asyncio (cpython #156512): a transport closed while writing was resumed was lost twice",
    "lib/net/stream_write.cpp",
    "\"resume_writing\");\n  }\n  return true;\n",
    "\"resume_writing\");\n  }\n"
    "  if (closing_ && nothing_queued()) slot_.get()->connection_lost(error().code);\n"
    "  return true;\n")

plant(
    "unread_input_makes_close_a_reset",
    "RFC 1122 4.2.2.13, why nginx has lingering_close: unread input turns close into a RST, which "
    "takes the answer with it",
    "lib/net/stream_transport.cpp",
    "  if (!failed() && !aborted_ && ends_.socket && ends_.reads) discard_input();\n",
    "")

plant(
    "stale_event_after_descriptor_reuse",
    "libuv (joyent/libuv #826), libre #266, libdill #129: a descriptor closed while it was still "
    "watched, so that its events went to the next of that number",
    "lib/net/stream_transport.cpp",
    "  watch_.reset();\n  loop().release_descriptor(fd_);\n"
    "  loop().kernel().close(std::exchange(fd_, -1));\n",
    "  loop().release_descriptor(fd_);\n"
    "  loop().kernel().close(std::exchange(fd_, -1));\n  watch_.reset();\n")

plant(
    "descriptor_closed_twice",
    "every reactor once: a second close hits whoever has got the number meanwhile",
    "lib/net/stream_transport.cpp",
    "  loop().kernel().close(std::exchange(fd_, -1));\n  leave_loop();\n",
    "  loop().kernel().close(fd_);\n  loop().kernel().close(std::exchange(fd_, -1));\n"
    "  leave_loop();\n")

plant(
    "descriptor_leaked_on_clean_end",
    "a descriptor that is closed on every path but the one where all went well",
    "lib/net/stream_transport.cpp",
    "  loop().kernel().close(std::exchange(fd_, -1));\n  leave_loop();\n",
    "  if (failed() || aborted_) loop().kernel().close(fd_);\n  fd_ = -1;\n  leave_loop();\n")

plant(
    "exception_is_a_clean_end",
    "a callback threw, and connection_lost was told of an orderly end: nobody knows why it ended",
    "lib/net/stream_read.cpp",
    "    if (!returned) fail(make_error_code(errc::protocol_failed), \"data_received\");\n",
    "    if (!returned) abort();\n")

plant(
    "error_without_its_peer",
    "many a log of many a server: \"Connection reset by peer\", and nobody knows whose it was",
    "lib/net/stream_transport.cpp",
    "    rare().error = Error{code, operation, peername_};\n",
    "    rare().error = Error{code, operation, {}};\n")

# ---- servers and connecting

plant(
    "emfile_spin",
    "libuv (joyent/libuv #690), ranch #36, usockets: out of descriptors, accept was tried in a "
    "loop that never rested",
    "lib/net/accept_loop.cpp",
    "  rest_.set(kRest);\n",
    "  watch_->arm(Direction::read, FdWatch::Arm::if_ready);\n")

plant(
    "accept_stops_after_econnaborted",
    "hickory-dns #3725, tiny-http #283, Squid: one client that gave up ended the listening",
    "lib/net/accept_loop.cpp",
    "    } else if (accepted.error != EINTR &&",
    "    } else if (accepted.error == ECONNABORTED) {\n      return;\n"
    "    } else if (accepted.error != EINTR &&")

plant(
    "eagain_in_accept_is_an_error",
    "asked about libevent's listener (libevent #719): an empty backlog was reported as a failure",
    "lib/net/accept_loop.cpp",
    "    } else if (accepted.would_block()) {\n",
    "    } else if (accepted.would_block() && left == backlog_) {\n")

plant(
    "connect_without_so_error",
    "Crystal #8565, .NET (dotnet/runtime #55538): writable was taken for connected",
    "lib/net/connect_attempt.cpp",
    "  if (error != 0) {\n    fail(error, \"connect\", remote_);\n  } else if",
    "  if")

plant(
    "happy_eyeballs_leaks_the_loser",
    "aiohappyeyeballs #143, for aiohttp #10506: attempts that did not win stayed open",
    "lib/net/happy_eyeballs.cpp",
    "  delay_timer_.cancel();\n  runners_.clear();\n",
    "  delay_timer_.cancel();\n"
    "  for (Runner& runner : runners_) {\n"
    "    if (runner.attempt.get() != &attempt) runner.attempt->take_socket().release();\n"
    "  }\n"
    "  runners_.clear();\n")

plant(
    "leak_on_the_success_path",
    "asyncio's wait_for (cpython #81839, asyncpg #467): a connection that was made in the very turn "
    "its wait was cancelled belonged to nobody",
    "lib/streams/open_connection.cpp",
    "      connecting.result().transport->abort();\n",
    "")

plant(
    "server_without_reuse_address",
    "uWebSockets (pull request #176): a server could not be started again beside old connections",
    "lib/net/listen_socket.cpp",
    "  if (options.reuse_address) set.on(SOL_SOCKET, SO_REUSEADDR);\n",
    "  static_cast<void>(options.reuse_address);\n")

# ---- TLS

plant(
    "start_tls_loses_bytes",
    "asyncio and uvloop (cpython #142352, uvloop #707): the ClientHello that had come already was "
    "not given to TLS",
    "lib/tls/tls_connection.cpp",
    "  work(received);\n",
    "  static_cast<void>(received);\n  work();\n")

plant(
    "start_tls_passes_plaintext",
    "STARTTLS injection (CVE-2011-0411; Cyrus #1288, aiosmtpd #380): what came before the handshake "
    "was read as if it had come after it",
    "lib/streams/stream_writer.cpp",
    "    if (state->reader) state->reader->drop_content();\n",
    "")

plant(
    "tls_truncation_is_a_clean_end",
    "pyOpenSSL #229, ktls #74: an end without close_notify looked like an orderly one",
    "lib/tls/tls_read.cpp",
    "      if (below_eof_) fail(tls_code(tls_errc::truncated), \"TLS read\");\n      return;\n",
    "      if (below_eof_) on_close_notify();\n      return;\n")

plant(
    "tls_close_without_close_notify",
    "PJSIP #2221: the connection was closed without a word, which a strict peer takes for an attack",
    "lib/tls/tls_connection.cpp",
    "  engine_->send_close_notify();\n  flush();\n",
    "  flush();\n")

plant(
    "tls_shutdown_without_limit",
    "asyncio before 3.11 (bpo-29406): a peer that never answered close_notify held the socket for "
    "ever",
    "lib/tls/tls_connection.cpp",
    "  deadline_->set(shutdown_timeout_);\n  work_without_callbacks();\n",
    "  work_without_callbacks();\n")

plant(
    "handshake_timeout_not_cancelled",
    "Vert.x #5578, Netty #1206: the limit of the handshake ended an open connection",
    "lib/tls/tls_connection.cpp",
    "  state_ = State::open;\n  deadline_->cancel();\n",
    "  state_ = State::open;\n")

plant(
    "tls_handshake_without_limit",
    "Node (joyent/node #4355), Pingora (#543): who connected and said nothing kept his socket for "
    "ever",
    "lib/tls/tls_connection.cpp",
    "  deadline_->set(handshake_timeout_);\n",
    "")

plant(
    "too_many_handshakes_let_in",
    "libcoap (#283), libtorrent (#8676): handshakes that were begun and went no further were not "
    "bounded",
    "lib/tls/tls_connection.cpp",
    "  if (++handshakes_->running <= max_handshakes_ || max_handshakes_ == 0) return true;\n",
    "  if (++handshakes_->running > 0) return true;\n")

plant(
    "handshakes_never_counted_down",
    "a count that goes up only: a while after its start the server lets nobody in any more",
    "lib/tls/tls_connection.cpp",
    "  if (counted_) --handshakes_->running;\n",
    "")

# ---- relays and datagrams

plant(
    "relay_ends_at_first_eof",
    "Envoy's TcpProxy (#2067): a half-close ended both directions, and the answer was lost",
    "lib/net/relay.cpp",
    "    if (a_.ended && b_.ended) return close_both();\n",
    "    if (a_.ended || b_.ended) return close_both();\n")

plant(
    "relay_never_ends",
    "stripe/goproxy #15, goproxy #451: one side was gone, and the other was kept for ever",
    "lib/net/relay.cpp",
    "    if (error_ && !side.ended) cut(side.other());\n    close_both();\n",
    "    if (error_ && !side.ended) cut(side.other());\n",
    "    if (a_.ended && b_.ended) return close_both();\n",
    "")

plant(
    "full_pipe_taken_for_an_empty_socket",
    "sozu (#1323): EAGAIN of a full pipe, and what the socket still had was never read",
    "lib/net/stream_write.cpp",
    "  if (rare_ && rare_->splice && nothing_queued()) source_may_go_on();\n",
    "")

plant(
    "relay_without_idle_limit",
    "Envoy's TcpProxy (#8679): two sides that said nothing any more were joined for ever",
    "lib/net/relay.cpp",
    "    rearm(idle_, options_.idle);\n",
    "")

plant(
    "relay_idle_limit_in_spite_of_traffic",
    "an idle limit that is set once and not set again when bytes pass: a limit of the whole",
    "lib/net/relay.cpp",
    "    rearm(idle_, options_.idle);\n",
    "    if (!idle_.active()) rearm(idle_, options_.idle);\n")

plant(
    "relay_without_half_close_linger",
    "Istio (#43297), tuic (#139): one side had ended, the other never did, and both sockets stayed",
    "lib/net/relay.cpp",
    "    if (a_.ended != b_.ended && !closing_) rearm(linger_, options_.half_close_linger);\n",
    "")

plant(
    "relay_without_drain_limit",
    "Envoy (#38148): a side had ended while bytes for the other still waited, and was not let go",
    "lib/net/relay.cpp",
    "    rearm(drain_, options_.drain);\n",
    "")

plant(
    "half_a_batch_of_datagrams_dropped",
    "libuv (#3129, #3249): sendmmsg took some of a batch, and all of it was taken off the queue",
    "lib/net/datagram_send.cpp",
    "      for (std::size_t i = 0; i < r.count(); ++i) sent += datagrams_in(batch[i]);\n",
    "      for (std::size_t i = 0; i < count; ++i) sent += datagrams_in(batch[i]);\n")

plant(
    "datagram_error_ends_receiving",
    "asyncio on Windows (cpython #88906, #127057): after one error nothing was received any more",
    "lib/net/datagram_receive.cpp",
    "      report_error(r.code());\n      drain = true;\n",
    "      return report_error(r.code());\n")

plant(
    "full_queue_of_another_spins",
    "libuv (#5194): a send that failed for want of room elsewhere waited for an event that was there "
    "already, again and again",
    "lib/net/datagram_send.cpp",
    "  if (!connected_ && plain_) {\n",
    "  if (remote_.empty() && connected_) {\n")

plant(
    "unix_datagram_lost_when_full",
    "twisted (#9504): what a full queue of a unix socket did not take was lost in silence",
    "lib/net/datagram_send.cpp",
    "    if (!r.would_block()) return report_error(r.code());\n",
    "    if (r.would_block() && plain_) return;\n"
    "    if (!r.would_block()) return report_error(r.code());\n")
