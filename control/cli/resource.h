// What `get`, `describe` and `delete` can be asked for, by the names kubectl takes.
// Thread: any, pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "store.pb.h"

namespace sluice {

enum class Resource {
  services,
  endpoints,
  endpoint_slices,
  pods,
  nodes,
  namespaces,
  pools,
  vips,
  backends,
  gateways,
  ports,
};

// Singular, plural and short names, in any case; also "addresspools.sluice.dev" and the like.
std::optional<Resource> resource_from_name(std::string_view name);
// "services, endpoints, ...": for messages.
std::string resource_names();
// The plural.
const char* resource_name(Resource resource);
// The objects behind it; KIND_UNSPECIFIED: none, it is asked of gateways or the dataplane.
v1::Kind resource_kind(Resource resource);
// As kubectl names what it changed: "service", "endpointslice.discovery.k8s.io".
std::string qualified_kind(v1::Kind kind);

}  // namespace sluice
