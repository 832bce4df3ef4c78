#pragma once

/// Connections for coroutines: everything of this layer.
#include <ferry/datagram_stream.h>
#include <ferry/open_connection.h>
#include <ferry/process.h>
#include <ferry/server_context.h>
#include <ferry/start_server.h>
#include <ferry/stream_protocol.h>
#include <ferry/stream_reader.h>
#include <ferry/stream_writer.h>
