// What `get`, `describe` and `delete` can be asked for, by the names kubectl takes.
// Thread: any, pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/result.h"
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
// "service/web".
std::string qualified_name(v1::Kind kind, const std::string& name);

// What the words after `get` and `delete` ask for, as kubectl reads them: "svc", "svc,pods",
// "svc web db", "svc/web pod/a". Each kind once, without names: all of it.
struct ResourceNames {
  Resource resource;
  std::vector<std::string> names;
};
Result<std::vector<ResourceNames>> parse_resources(const std::vector<std::string>& words);

}  // namespace sluice
