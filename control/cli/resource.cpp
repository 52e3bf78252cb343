#include "control/cli/resource.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "control/model/key.h"

namespace sluice {
namespace {

struct Entry {
  Resource resource;
  const char* plural;
  const char* singular;
  const char* short_name;
  v1::Kind kind;
  const char* group;  // Of the API, with its dot; empty for the core.
};

constexpr std::array kEntries{
    Entry{Resource::services, "services", "service", "svc", v1::KIND_SERVICE, ""},
    Entry{Resource::endpoints, "endpoints", "endpoint", "ep", v1::KIND_ENDPOINTS, ""},
    Entry{Resource::endpoint_slices, "endpointslices", "endpointslice", "eps",
          v1::KIND_ENDPOINT_SLICE, ".discovery.k8s.io"},
    Entry{Resource::pods, "pods", "pod", "po", v1::KIND_POD, ""},
    Entry{Resource::nodes, "nodes", "node", "no", v1::KIND_NODE, ""},
    Entry{Resource::namespaces, "namespaces", "namespace", "ns", v1::KIND_NAMESPACE, ""},
    Entry{Resource::pools, "addresspools", "addresspool", "pools", v1::KIND_ADDRESS_POOL,
          ".sluice.dev"},
    Entry{Resource::vips, "vips", "vip", "vips", v1::KIND_UNSPECIFIED, ""},
    Entry{Resource::backends, "backends", "backend", "be", v1::KIND_UNSPECIFIED, ""},
    Entry{Resource::gateways, "gateways", "gateway", "gw", v1::KIND_UNSPECIFIED, ""},
    Entry{Resource::ports, "ports", "port", "ports", v1::KIND_UNSPECIFIED, ""},
};

const Entry& entry(Resource resource) {
  return *std::ranges::find(kEntries, resource, &Entry::resource);
}

Result<Resource> known_resource(const std::string& name) {
  if (const auto resource = resource_from_name(name)) return *resource;
  return Error{"unknown kind \"" + name + "\"; one of: " + resource_names()};
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t end = std::min(text.find(separator, from), text.size());
    parts.push_back(text.substr(from, end - from));
    from = end + 1;
  }
  return parts;
}

void add_name(Resource resource, const std::string& name, std::vector<ResourceNames>* all) {
  auto at = std::ranges::find(*all, resource, &ResourceNames::resource);
  if (at == all->end()) at = all->insert(all->end(), {resource, {}});
  if (std::ranges::find(at->names, name) == at->names.end()) at->names.push_back(name);
}

// "svc/web pod/a"
Result<std::vector<ResourceNames>> parse_slashed(const std::vector<std::string>& words) {
  std::vector<ResourceNames> all;
  for (const std::string& word : words) {
    const auto parts = split(word, '/');
    if (parts.size() != 2 || parts[0].empty() || parts[1].empty())
      return Error{"\"" + word + "\": give KIND/NAME for each, or KIND and then names alone"};
    const auto resource = known_resource(parts[0]);
    if (!resource) return Error{resource.error()};
    add_name(*resource, parts[1], &all);
  }
  return all;
}

}  // namespace

std::optional<Resource> resource_from_name(std::string_view name) {
  std::string text(name);
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  if (text == "pool") return Resource::pools;
  for (const Entry& e : kEntries) {
    if (text == e.plural || text == e.singular || text == e.short_name) return e.resource;
    if (*e.group &&
        (text == std::string(e.plural) + e.group || text == std::string(e.singular) + e.group))
      return e.resource;
  }
  return std::nullopt;
}

std::string resource_names() {
  return "services (svc), endpoints (ep), endpointslices, pods (po), nodes (no), namespaces (ns), "
         "pools, vips, backends, gateways, ports";
}

const char* resource_name(Resource resource) {
  return resource == Resource::pools ? "pools" : entry(resource).plural;
}

v1::Kind resource_kind(Resource resource) {
  return entry(resource).kind;
}

std::string qualified_kind(v1::Kind kind) {
  const auto at = std::ranges::find(kEntries, kind, &Entry::kind);
  if (at == kEntries.end() || kind == v1::KIND_UNSPECIFIED) return "object";
  if (kind == v1::KIND_ENDPOINTS) return "endpoints";
  return std::string(at->singular) + at->group;
}

std::string qualified_name(v1::Kind kind, const std::string& name) {
  return qualified_kind(kind) + "/" + name;
}

Result<std::vector<ResourceNames>> parse_resources(const std::vector<std::string>& words) {
  if (words.empty()) return Error{"no kind given; one of: " + resource_names()};
  if (words.front().find('/') != std::string::npos) return parse_slashed(words);
  std::vector<ResourceNames> all;
  for (const std::string& name : split(words.front(), ',')) {
    const auto resource = known_resource(name);
    if (!resource) return Error{resource.error()};
    if (std::ranges::find(all, *resource, &ResourceNames::resource) == all.end())
      all.push_back({*resource, {}});
  }
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (words[i].find('/') != std::string::npos)
      return Error{"\"" + words[i] + "\": give KIND/NAME for each, or KIND and then names alone"};
    for (ResourceNames& one : all) add_name(one.resource, words[i], &all);
  }
  return all;
}

}  // namespace sluice
