#pragma once

/// Connections for coroutines: everything of this layer.
#include <ferry/open_connection.h>
#include <ferry/start_server.h>
#include <ferry/stream_protocol.h>
#include <ferry/stream_reader.h>
#include <ferry/stream_writer.h>
