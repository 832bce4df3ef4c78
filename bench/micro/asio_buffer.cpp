// Asio's side of buffer.cpp.

#include "framing.h"

#include <asio/buffer.hpp>
#include <asio/streambuf.hpp>

namespace {

void chunks_into_frames(benchmark::State& state) {
  asio::streambuf buffer;
  take_frames(
      state,
      [&](const char* data, std::size_t size) {
        buffer.commit(asio::buffer_copy(buffer.prepare(size), asio::buffer(data, size)));
      },
      [&] { return buffer.size(); }, [&] { return static_cast<const char*>(buffer.data().data()); },
      [&](std::size_t size) { buffer.consume(size); });
}
BENCHMARK(chunks_into_frames)->Name("buffer, 512 B frame/asio::streambuf");

}  // namespace
