// Resource: the types the fake API server keeps, as its paths and answers name them.
// Ownership: static tables, pointers to them stay valid. Thread: any. Source: Kubernetes API
// reference v1.32.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace sluice::test::kube {

struct Resource {
  std::string_view group;  // Empty: the core group.
  std::string_view version;
  std::string_view plural;  // "endpointslices"
  std::string_view kind;    // "EndpointSlice"
  bool namespaced;
  bool has_status;            // Has the subresource status.
  bool generation;            // The server counts metadata.generation.
  bool create_on_update;      // PUT of an absent object creates it.
  bool unconditional_update;  // PUT may leave metadata.resourceVersion out.
  std::string_view bookmark;  // What a bookmark's object has besides kind, apiVersion, metadata.
};

std::span<const Resource> resources();
// nullptr: there is none.
const Resource* find_resource(std::string_view group, std::string_view version,
                              std::string_view plural);
const Resource* find_kind(std::string_view api_version, std::string_view kind);
const Resource& resource(std::string_view plural);  // Must exist.

std::string api_version(const Resource& resource);       // "discovery.k8s.io/v1"
std::string qualified_plural(const Resource& resource);  // "endpointslices.discovery.k8s.io"

}  // namespace sluice::test::kube
