#include "report.h"

#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>
#include <utility>

namespace ferry::bench {

namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

File open_file(const std::string& path, const char* mode) {
  File file(std::fopen(path.c_str(), mode), &std::fclose);
  if (!file) throw std::system_error(errno, std::generic_category(), "cannot write " + path);
  return file;
}

}  // namespace

void Report::add(std::string name, std::uint64_t count) {
  figures_.push_back({std::move(name), std::to_string(count)});
}

void Report::add(std::string name, double figure) {
  char text[64];
  std::snprintf(text, sizeof text, "%.3f", figure);
  figures_.push_back({std::move(name), text});
}

void Report::add_latencies(const Histogram& latencies) {
  const auto microseconds = [](Histogram::Duration d) {
    return std::chrono::duration<double, std::micro>(d).count();
  };
  add("p50_us", microseconds(latencies.percentile(50)));
  add("p90_us", microseconds(latencies.percentile(90)));
  add("p99_us", microseconds(latencies.percentile(99)));
  add("p999_us", microseconds(latencies.percentile(99.9)));
  add("max_us", microseconds(latencies.max()));
}

void Report::print() const {
  for (const Figure& figure : figures_) {
    std::printf("%-24s %16s\n", figure.name.c_str(), figure.value.c_str());
  }
  std::fflush(stdout);
}

void Report::write_json(const std::string& path) const {
  File file = open_file(path, "w");
  const char* separator = "{\n";
  for (const Figure& figure : figures_) {
    std::fprintf(file.get(), "%s  \"%s\": %s", separator, figure.name.c_str(),
                 figure.value.c_str());
    separator = ",\n";
  }
  std::fputs("\n}\n", file.get());
  if (std::ferror(file.get()) != 0 || std::fclose(file.release()) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot write " + path);
  }
}

void check_writable(const std::string& path) {
  if (!path.empty()) open_file(path, "a");
}

}  // namespace ferry::bench
