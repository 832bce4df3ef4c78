#include <ferry/listeners.h>

#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <limits>
#include <optional>

namespace ferry {

namespace {

constexpr int kFirst = 3;  // SD_LISTEN_FDS_START
constexpr const char* kVariables[] = {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"};

[[noreturn]] void refuse(std::errc why, const std::string& what) {
  throw std::system_error(std::make_error_code(why), "inherited_listeners: " + what);
}

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? std::optional<std::string>(value) : std::nullopt;
}

int positive_number(const char* name, const std::string& text, int most) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < 1 || number > most) {
    refuse(std::errc::invalid_argument, std::string(name) + " is \"" + text + '"');
  }
  return number;
}

std::vector<std::string> split_names(const std::string& text) {
  std::vector<std::string> names(1);
  for (const char c : text) {
    if (c == ':') {
      names.emplace_back();
    } else {
      names.back() += c;
    }
  }
  return names;
}

}  // namespace

std::vector<int> take_listeners(std::vector<NamedListener>& listeners, std::string_view name) {
  std::vector<int> taken;
  taken.reserve(listeners.size());  // before one is nobody's
  for (NamedListener& listener : listeners) {
    if (listener.name == name && listener.fd) taken.push_back(listener.fd.release());
  }
  std::erase_if(listeners, [](const NamedListener& listener) { return !listener.fd; });
  return taken;
}

std::vector<NamedListener> inherited_listeners(bool keep_environment) {
  const std::optional<std::string> pid = variable(kVariables[0]);
  const std::optional<std::string> count_text = variable(kVariables[1]);
  const std::optional<std::string> names_text = variable(kVariables[2]);
  if (!keep_environment) {
    for (const char* name : kVariables) ::unsetenv(name);
  }
  if (!pid || !count_text) return {};
  constexpr int kMost = std::numeric_limits<int>::max();
  if (positive_number(kVariables[0], *pid, kMost) != ::getpid()) return {};
  const int count = positive_number(kVariables[1], *count_text, kMost - kFirst);

  std::vector<std::string> names;
  if (names_text) {
    names = split_names(*names_text);
    if (names.size() != static_cast<std::size_t>(count)) {
      refuse(std::errc::invalid_argument, "LISTEN_FDNAMES is \"" + *names_text +
                                              "\", and there are " + std::to_string(count) +
                                              " descriptors");
    }
  }
  // Each is asked for before the first is owned: on failure nothing is closed.
  for (int i = 0; i < count; ++i) {
    const IoResult known = set_close_on_exec(kFirst + i);
    if (!known.ok()) {
      throw std::system_error(known.code(), "inherited_listeners: descriptor " +
                                                std::to_string(kFirst + i) + " of " +
                                                std::to_string(count));
    }
  }
  std::vector<NamedListener> listeners;
  listeners.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    listeners.push_back({names.empty() ? "unknown" : std::move(names[static_cast<std::size_t>(i)]),
                         Fd(kFirst + i)});
  }
  return listeners;
}

}  // namespace ferry
