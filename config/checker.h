// Checker: what the rules of configuration files share: ranges, words, paths, names.
// Ownership: refers to the report. Thread: any, pure. Errors: added to the report, with the place
// the value was read from.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <regex>
#include <span>
#include <string>

#include "config/yaml_message.h"

namespace sluice {

inline constexpr std::size_t kMaxSocketPath = 107;    // sun_path, less its final zero.
inline constexpr std::size_t kMaxInterfaceName = 15;  // IFNAMSIZ, less its final zero.

class Checker {
 public:
  explicit Checker(YamlReport* report) : report_(*report) {}

  void error(const std::string& path, const std::string& value, const std::string& text) {
    report_.error_at(path, "\"" + value + "\" " + text);
  }
  void range(const std::string& path, std::uint64_t value, std::uint64_t low, std::uint64_t high,
             const char* unit = "") {
    if (value >= low && value <= high) return;
    report_.error_at(path, std::to_string(value) + " is out of range; right is " +
                               std::to_string(low) + " to " + std::to_string(high) + unit);
  }
  void word(const std::string& path, const std::string& value,
            std::initializer_list<const char*> words) {
    word(path, value, std::span(words.begin(), words.size()));
  }
  void word(const std::string& path, const std::string& value, std::span<const char* const> words) {
    std::string list;
    for (const char* w : words) {
      if (value == w) return;
      list += (list.empty() ? "" : ", ") + std::string(w);
    }
    error(path, value, "is not one of: " + list);
  }
  void absolute_path(const std::string& path, const std::string& value, bool may_be_empty,
                     std::size_t longest = 4095) {
    if (value.empty() && may_be_empty) return;
    if (value.empty() || value[0] != '/') {
      error(path, value, "is not an absolute path (one that begins with /)");
    } else if (value.size() > longest) {
      error(path, value, "is longer than " + std::to_string(longest) + " characters");
    }
  }
  // A loadBalancerClass, as the API server takes it.
  void load_balancer_class(const std::string& path, const std::string& value) {
    static const std::regex shape(
        "([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?");
    if (!std::regex_match(value, shape)) {
      error(path, value, "is not a class such as \"sluice.dev/gateway\"");
    }
  }
  // A name of an interface in the kernel.
  void interface_name(const std::string& path, const std::string& value) {
    static const std::regex shape("[A-Za-z0-9_][A-Za-z0-9_.-]*");
    if (value.size() > kMaxInterfaceName || !std::regex_match(value, shape) || value == "lo" ||
        value == "all" || value == "default") {
      error(path, value,
            "cannot name an interface; right is 1 to 15 letters, digits, '-', '_' or '.'");
    }
  }

 private:
  YamlReport& report_;
};

// Lower-case letters, digits, '-' and '.', as host names.
inline bool is_name(const std::string& text, std::size_t longest) {
  static const std::regex shape("[a-z0-9]([a-z0-9.-]*[a-z0-9])?");
  return text.size() <= longest && std::regex_match(text, shape);
}

}  // namespace sluice
