// Runs scenarios on ferry and prints what happens, a line an event: parity_ferry FILE...
#include "world.h"

#include <cstdio>
#include <exception>

int main(int count, char** arguments) {
  using namespace ferry::parity;
  try {
    for (int i = 1; i < count; ++i) {
      for (const Scenario& scenario : parse_file(arguments[i])) {
        std::printf("== %s\n", scenario.name.c_str());
        World world(scenario);
        for (const Text& line : world.run()) std::printf("%s\n", line.c_str());
      }
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "parity_ferry: %s\n", e.what());
    return 1;
  }
}
