#include "tests/support/kube/resource.h"

#include <cstdlib>

namespace sluice::test::kube {
namespace {

constexpr std::string_view kEmptyNode =
    R"("spec":{},"status":{"daemonEndpoints":{"kubeletEndpoint":{"Port":0}},"nodeInfo":{"machineID":"","systemUUID":"","bootID":"","kernelVersion":"","osImage":"","containerRuntimeVersion":"","kubeletVersion":"","kubeProxyVersion":"","operatingSystem":"","architecture":""}})";
constexpr std::string_view kEmptyEvent =
    R"("involvedObject":{},"source":{},"firstTimestamp":null,"lastTimestamp":null,"eventTime":null,"reportingComponent":"","reportingInstance":"")";

// group, version, plural, kind; namespaced, status, generation, create on update, unconditional.
constexpr Resource kResources[] = {
    {"", "v1", "services", "Service", true, true, false, true, true,
     R"("spec":{},"status":{"loadBalancer":{}})"},
    {"discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true, false, true, false, true,
     R"("addressType":"","endpoints":null,"ports":null)"},
    {"", "v1", "nodes", "Node", false, true, false, false, true, kEmptyNode},
    {"", "v1", "namespaces", "Namespace", false, true, false, false, true,
     R"("spec":{},"status":{})"},
    {"coordination.k8s.io", "v1", "leases", "Lease", true, false, false, true, false,
     R"("spec":{})"},
    {"", "v1", "events", "Event", true, false, false, true, true, kEmptyEvent},
    {"events.k8s.io", "v1", "events", "Event", true, false, false, true, true,
     R"("eventTime":null)"},
    {"", "v1", "pods", "Pod", true, true, false, false, true, R"("spec":{},"status":{})"},
    {"", "v1", "endpoints", "Endpoints", true, false, false, true, true, ""},
};

}  // namespace

std::span<const Resource> resources() {
  return kResources;
}

const Resource* find_resource(std::string_view group, std::string_view version,
                              std::string_view plural) {
  for (const Resource& entry : kResources) {
    if (entry.group == group && entry.version == version && entry.plural == plural) return &entry;
  }
  return nullptr;
}

const Resource* find_kind(std::string_view wanted, std::string_view kind) {
  for (const Resource& entry : kResources) {
    if (entry.kind == kind && api_version(entry) == wanted) return &entry;
  }
  return nullptr;
}

const Resource& resource(std::string_view plural) {
  for (const Resource& entry : kResources) {
    if (entry.plural == plural) return entry;
  }
  std::abort();  // A mistake in a test.
}

std::string api_version(const Resource& resource) {
  std::string text(resource.group);
  if (!text.empty()) text += '/';
  return text.append(resource.version);
}

std::string qualified_plural(const Resource& resource) {
  std::string text(resource.plural);
  return resource.group.empty() ? text : text.append(".").append(resource.group);
}

}  // namespace sluice::test::kube
