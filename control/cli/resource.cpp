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

}  // namespace sluice
