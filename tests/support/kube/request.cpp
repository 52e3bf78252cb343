#include "tests/support/kube/request.h"

#include <algorithm>

namespace sluice::test::kube {
namespace {

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

std::string decoded(std::string_view text, bool query) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
      out += static_cast<char>(hex(text[i + 1]) << 4 | hex(text[i + 2]));
      i += 2;
    } else {
      out += query && text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return std::string(text);
}

constexpr char kBase64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

}  // namespace

std::string Target::parameter(const std::string& name) const {
  const auto found = parameters.find(name);
  return found == parameters.end() ? "" : found->second;
}

bool Target::flag(const std::string& name) const {
  const std::string value = parameter(name);
  return value == "true" || value == "1";
}

Target parse_target(std::string_view text) {
  Target target;
  const std::size_t question = text.find('?');
  for (const std::string_view part : split(text.substr(0, question), '/')) {
    if (!part.empty()) target.path.push_back(decoded(part, false));
  }
  if (question == std::string_view::npos) return target;
  for (const std::string_view pair : split(text.substr(question + 1), '&')) {
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    target.parameters[decoded(pair.substr(0, equals), true)] =
        equals == std::string_view::npos ? "" : decoded(pair.substr(equals + 1), true);
  }
  return target;
}

ResourcePath resource_path(const Target& target) {
  const std::vector<std::string>& path = target.path;
  std::string group, version;
  std::size_t i = 0;
  if (path.size() >= 2 && path[0] == "api") {
    version = path[1];
    i = 2;
  } else if (path.size() >= 3 && path[0] == "apis") {
    group = path[1];
    version = path[2];
    i = 3;
  } else {
    return {};
  }
  ResourcePath result;
  const bool inside = i + 2 < path.size() && path[i] == "namespaces" && path[i + 2] != "status" &&
                      path[i + 2] != "finalize";
  if (inside) {
    result.place.ns = path[i + 1];
    i += 2;
  }
  if (i >= path.size() || path.size() - i > 3) return {};
  const Resource* resource = find_resource(group, version, path[i]);
  if (resource == nullptr || (inside && !resource->namespaced)) return {};
  if (i + 1 < path.size()) result.place.name = path[i + 1];
  if (i + 2 < path.size()) result.subresource = path[i + 2];
  const bool unknown =
      !result.subresource.empty() && (result.subresource != "status" || !resource->has_status);
  const bool nowhere = !result.place.name.empty() && resource->namespaced && !inside;
  if (unknown || nowhere) return {};
  result.place.resource = resource;
  return result;
}

std::string verb_of(const Request& request, const Target& target, const ResourcePath& path) {
  const bool one = !path.place.name.empty();
  if (request.method == "GET" || request.method == "HEAD") {
    if (target.flag("watch")) return "watch";
    return one ? "get" : "list";
  }
  if (request.method == "POST") return "create";
  if (request.method == "PUT") return "update";
  if (request.method == "PATCH") return "patch";
  if (request.method == "DELETE") return one ? "delete" : "deletecollection";
  return "";
}

Result<Selector> Selector::parse(const std::string& text) {
  Selector selector;
  std::string_view rest = text;
  while (!rest.empty()) {
    std::size_t end = 0;  // A comma inside parentheses ends nothing.
    for (int depth = 0; end < rest.size() && (rest[end] != ',' || depth > 0); ++end) {
      if (rest[end] == '(') ++depth;
      if (rest[end] == ')') --depth;
    }
    const std::string term = trimmed(rest.substr(0, end));
    rest.remove_prefix(std::min(rest.size(), end + 1));
    if (term.empty()) continue;
    Term parsed;
    const std::size_t open = term.find('(');
    if (open != std::string::npos && term.back() == ')') {
      const std::string head = trimmed(term.substr(0, open));
      const std::size_t space = head.rfind(' ');
      if (space == std::string::npos) return Error{"unable to parse requirement: " + term};
      const std::string word = head.substr(space + 1);
      if (word != "in" && word != "notin") return Error{"unable to parse requirement: " + term};
      parsed.negated = word == "notin";
      parsed.key = trimmed(head.substr(0, space));
      const std::string list = term.substr(open + 1, term.size() - open - 2);
      for (const std::string_view value : split(list, ',')) parsed.values.push_back(trimmed(value));
    } else if (const std::size_t equals = term.find('='); equals != std::string::npos) {
      parsed.negated = equals > 0 && term[equals - 1] == '!';
      parsed.key = trimmed(term.substr(0, equals - (parsed.negated ? 1 : 0)));
      const bool twice = equals + 1 < term.size() && term[equals + 1] == '=';
      parsed.values.push_back(trimmed(term.substr(equals + (twice ? 2 : 1))));
    } else {
      parsed.exists = true;
      parsed.negated = term[0] == '!';
      parsed.key = trimmed(term.substr(parsed.negated ? 1 : 0));
    }
    if (parsed.key.empty()) return Error{"unable to parse requirement: " + term};
    selector.terms_.push_back(std::move(parsed));
  }
  return selector;
}

bool Selector::matches(const Labels& labels) const {
  return std::all_of(terms_.begin(), terms_.end(), [&](const Term& term) {
    const auto label = std::find_if(labels.begin(), labels.end(),
                                    [&](const auto& one) { return one.first == term.key; });
    const bool there = label != labels.end();
    if (term.exists) return there != term.negated;
    const bool listed = there && std::find(term.values.begin(), term.values.end(), label->second) !=
                                     term.values.end();
    return listed != term.negated;
  });
}

std::string base64url(const std::string& bytes) {
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<unsigned char>(c);
    for (count += 8; count >= 6;) {
      count -= 6;
      out += kBase64[bits >> count & 63];
    }
  }
  if (count > 0) out += kBase64[bits << (6 - count) & 63];
  return out;
}

bool from_base64url(const std::string& text, std::string& out) {
  const std::string_view alphabet = kBase64;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const std::size_t value = alphabet.find(c);
    if (value == std::string_view::npos) return false;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count & 255);
    }
  }
  return true;
}

}  // namespace sluice::test::kube
