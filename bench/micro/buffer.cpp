// A receive buffer that frames are taken from. Asio's side: asio_buffer.cpp.

#include "framing.h"

#include <ferry/buffer.h>

#include <string>

namespace {

void ferry_buffer(benchmark::State& state) {
  ferry::Buffer buffer;
  take_frames(
      state,
      [&](const char* data, std::size_t size) { buffer.append(std::string_view(data, size)); },
      [&] { return buffer.size(); },
      [&] { return reinterpret_cast<const char*>(buffer.view().data()); },
      [&](std::size_t size) { buffer.consume(size); });
}
BENCHMARK(ferry_buffer)->Name("buffer, 512 B frame/ferry");

void std_string(benchmark::State& state) {
  std::string buffer;
  take_frames(
      state, [&](const char* data, std::size_t size) { buffer.append(data, size); },
      [&] { return buffer.size(); }, [&] { return buffer.data(); },
      [&](std::size_t size) { buffer.erase(0, size); });
}
BENCHMARK(std_string)->Name("buffer, 512 B frame/std::string");

}  // namespace
