#include "control/manifest/names.h"

#include <algorithm>

namespace sluice {
namespace {

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}
bool is_lower_alphanumeric(char c) {
  return is_alphanumeric(c) && !(c >= 'A' && c <= 'Z');
}

}  // namespace

bool is_dns_label(const std::string& text) {
  const auto allowed = [](char c) { return is_lower_alphanumeric(c) || c == '-'; };
  return !text.empty() && text.size() <= 63 && std::all_of(text.begin(), text.end(), allowed) &&
         text.front() != '-' && text.back() != '-';
}

bool is_dns_subdomain(const std::string& text) {
  if (text.empty() || text.size() > 253) return false;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('.', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    const auto allowed = [](char c) { return is_lower_alphanumeric(c) || c == '-'; };
    if (part.empty() || !std::all_of(part.begin(), part.end(), allowed) || part.front() == '-' ||
        part.back() == '-') {
      return false;
    }
    begin = end + 1;
  }
  return true;
}

bool is_label_value(const std::string& text) {
  const auto allowed = [](char c) {
    return is_alphanumeric(c) || c == '-' || c == '_' || c == '.';
  };
  return text.empty() || (text.size() <= 63 && std::all_of(text.begin(), text.end(), allowed) &&
                          is_alphanumeric(text.front()) && is_alphanumeric(text.back()));
}

bool is_label_key(const std::string& text) {
  const auto slash = text.find('/');
  if (slash == std::string::npos) return !text.empty() && is_label_value(text);
  const std::string name = text.substr(slash + 1);
  std::string prefix = text.substr(0, slash);
  return is_dns_subdomain(prefix) && !name.empty() && is_label_value(name);
}

// IANA service name: at most 15 lower-case letters, digits and single '-', one letter at least.
bool is_port_name(const std::string& text) {
  const auto allowed = [](char c) { return is_lower_alphanumeric(c) || c == '-'; };
  const auto letter = [](char c) { return c >= 'a' && c <= 'z'; };
  return !text.empty() && text.size() <= 15 && std::all_of(text.begin(), text.end(), allowed) &&
         std::any_of(text.begin(), text.end(), letter) && text.front() != '-' &&
         text.back() != '-' && text.find("--") == std::string::npos;
}

}  // namespace sluice
