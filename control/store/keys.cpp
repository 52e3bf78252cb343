#include "control/store/keys.h"

#include <algorithm>
#include <charconv>

namespace sluice::store::keys {
namespace {

constexpr std::size_t kMaxSource = 63;
constexpr std::size_t kMaxNamespace = 63;
constexpr std::size_t kMaxName = 253;

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool name_characters(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return is_alphanumeric(c) || c == '.' || c == '-' || c == '_'; });
}

std::string with_prefix(std::string_view part, std::string_view rest) {
  return std::string(kPrefix).append(part).append(":").append(rest);
}

}  // namespace

bool valid_source(std::string_view name) {
  if (name.empty() || name.size() > kMaxSource || name.front() == '-') return false;
  return std::ranges::all_of(
      name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

bool valid_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && name_characters(name);
}

bool valid(const ObjectKey& key) {
  if (!valid_source(key.source) || !valid_name(key.name)) return false;
  if (key.kind == v1::KIND_UNSPECIFIED || !v1::Kind_IsValid(key.kind)) return false;
  if (!kind_is_namespaced(key.kind)) return key.ns.empty();
  return !key.ns.empty() && key.ns.size() <= kMaxNamespace && name_characters(key.ns);
}

std::string object_name(const ObjectKey& key) {
  return key.ns + "/" + key.name;
}

std::string object(const ObjectKey& key) {
  return with_prefix("object", key.source + ":" + kind_name(key.kind) + ":" + object_name(key));
}

std::string source(std::string_view source) {
  return with_prefix("source", source);
}

std::string accept(std::string_view source) {
  return with_prefix("accept", source);
}

std::string address(const IpAddress& address) {
  return with_prefix("address", address.text());
}

std::string gateway(std::string_view gateway) {
  return with_prefix("gateway", gateway);
}

std::string ledger_copy(std::string_view gateway) {
  return with_prefix("copy", gateway);
}

std::string status(std::string_view gateway, std::string_view source, std::string_view ns,
                   std::string_view name) {
  std::string rest(gateway);
  rest.append(":").append(source).append(":").append(ns).append("/").append(name);
  return with_prefix("status", rest);
}

std::string status_prefix(std::string_view gateway) {
  return with_prefix("status", std::string(gateway)) + ":";
}

std::string status_stream(std::string_view source) {
  return with_prefix("statuses", source);
}

std::string count_field(v1::Kind kind) {
  return std::string("count:") + kind_name(kind);
}

std::optional<ObjectKey> parse_object(std::string_view key) {
  if (!key.starts_with(kObjectPrefix)) return std::nullopt;
  key.remove_prefix(kObjectPrefix.size());
  const std::size_t first = key.find(':');
  if (first == std::string_view::npos) return std::nullopt;
  const std::size_t second = key.find(':', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  return parse_object(key.substr(0, first), key.substr(first + 1, second - first - 1),
                      key.substr(second + 1));
}

std::optional<ObjectKey> parse_object(std::string_view source, std::string_view kind,
                                      std::string_view object_name) {
  const std::size_t slash = object_name.find('/');
  const std::optional<v1::Kind> known = kind_from_name(kind);
  if (slash == std::string_view::npos || !known || kind != kind_name(*known)) return std::nullopt;
  ObjectKey key{std::string(source), *known, std::string(object_name.substr(0, slash)),
                std::string(object_name.substr(slash + 1))};
  if (!valid(key)) return std::nullopt;
  return key;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace sluice::store::keys
