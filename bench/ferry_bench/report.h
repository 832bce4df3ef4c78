#pragma once

#include "histogram.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ferry::bench {

/// Named figures in the order they are shown: as lines on standard output, and as one JSON object.
class Report {
 public:
  void add(std::string name, std::uint64_t count);
  void add(std::string name, double figure);
  /// p50_us, p90_us, p99_us, p999_us and max_us.
  void add_latencies(const Histogram& latencies);

  void print() const;
  /// Throws std::system_error if the file cannot be written.
  void write_json(const std::string& path) const;

 private:
  struct Figure {
    std::string name;
    std::string value;
  };
  std::vector<Figure> figures_;
};

/// Throws std::system_error unless a file can be written at `path`, so that a long run does not
/// fail at its end. An empty path is all right.
void check_writable(const std::string& path);

}  // namespace ferry::bench
