#include "control/kubernetes/object_check.h"

#include <set>
#include <utility>

#include "control/manifest/names.h"
#include "control/model/key.h"
#include "proto/address.h"

namespace sluice::kube {
namespace {

constexpr std::size_t kMostProblems = 20;
constexpr std::size_t kShownText = 100;
constexpr std::size_t kLongestId = 256;  // A uid has 36 characters, a resourceVersion up to 20.
constexpr int kHighestPort = 65'535;

std::string element(const char* list, int index) {
  return std::string(list) + "[" + std::to_string(index) + "]";
}

void problem(Decoded* decoded, std::string text) {
  if (decoded->problems.size() < kMostProblems) decoded->problems.push_back(std::move(text));
}

std::string check_metadata(v1::Kind kind, const v1::ObjectMeta& metadata) {
  if (!is_dns_subdomain(metadata.name())) {
    return "metadata.name: \"" + metadata.name().substr(0, kShownText) +
           "\" is not a name of Kubernetes (RFC 1123 subdomain)";
  }
  if (kind_is_namespaced(kind) ? !is_dns_label(metadata.namespace_())
                               : !metadata.namespace_().empty()) {
    return "metadata.namespace: \"" + metadata.namespace_().substr(0, kShownText) + "\" is not " +
           (kind_is_namespaced(kind) ? "a namespace (RFC 1123 label)" : "empty") + ", as a " +
           kind_name(kind) + " needs";
  }
  if (metadata.uid().empty() || metadata.uid().size() > kLongestId) {
    return "metadata.uid: is missing or too long";
  }
  if (metadata.resource_version().empty() || metadata.resource_version().size() > kLongestId) {
    return "metadata.resourceVersion: is missing or too long";
  }
  return "";
}

std::string not_a_port(const std::string& path, int port) {
  return path + ": " + std::to_string(port) + " is not a port; right is 1 to 65535";
}

// Left out, a bad port would look like a port its owner removed.
std::string check_service(const v1::ServiceSpec& spec) {
  if (spec.type().empty()) return "spec.type: is missing";
  std::set<std::pair<std::string, int>> seen;
  for (int i = 0; i < spec.ports_size(); ++i) {
    const v1::ServicePort& port = spec.ports(i);
    const std::string path = element("spec.ports", i);
    if (port.port() < 1 || port.port() > kHighestPort) {
      return not_a_port(path + ".port", port.port());
    }
    if (port.target_port().number() < 0 || port.target_port().number() > kHighestPort) {
      return not_a_port(path + ".targetPort", port.target_port().number());
    }
    if (port.node_port() < 0 || port.node_port() > kHighestPort) {
      return not_a_port(path + ".nodePort", port.node_port());
    }
    if (!seen.insert({port.protocol(), port.port()}).second) {
      return path + ": port " + std::to_string(port.port()) + " is given twice";
    }
  }
  return "";
}

// Why packets cannot be sent there; null: they can.
const char* fault_of(const std::string& text, const std::string& family) {
  const auto address = IpAddress::parse(text);
  if (!address) return "is no address";
  if (!family.empty() && (family == "IPv6") != address->is_v6()) {
    return "is not of the slice's addressType";
  }
  if (address->is_unspecified() || address->is_loopback() || address->is_link_local() ||
      address->is_multicast()) {
    return "is unspecified, loopback, link-local or multicast";
  }
  return nullptr;
}

std::string left_out(const std::string& path, const std::string& text, const char* fault) {
  return path + ": \"" + text.substr(0, kShownText) + "\" " + fault + "; it is left out";
}

// The first address is the one that is used.
bool usable(const v1::Endpoint& endpoint, const std::string& family, int index, Decoded* decoded) {
  const std::string path = element("endpoints", index) + ".addresses";
  if (endpoint.addresses().empty()) {
    problem(decoded, path + ": is empty; the endpoint is left out");
    return false;
  }
  const char* fault = fault_of(endpoint.addresses(0), family);
  if (fault != nullptr) problem(decoded, left_out(path + "[0]", endpoint.addresses(0), fault));
  return fault == nullptr;
}

template <typename Elements, typename Keep>
void keep_if(Elements* elements, Keep keep) {
  int kept = 0;
  for (int i = 0; i < elements->size(); ++i) {
    if (!keep((*elements)[i], i)) continue;
    if (kept != i) elements->SwapElements(kept, i);
    ++kept;
  }
  elements->DeleteSubrange(kept, elements->size() - kept);
}

std::string check_slice(v1::EndpointSlice* slice, Decoded* decoded) {
  if (slice->address_type().empty()) return "addressType: is missing";
  for (int i = 0; i < slice->ports_size(); ++i) {
    const v1::EndpointPort& port = slice->ports(i);
    if (port.has_port() && (port.port() < 1 || port.port() > kHighestPort)) {
      return not_a_port(element("ports", i) + ".port", port.port());
    }
  }
  if (slice->address_type() != "IPv4" && slice->address_type() != "IPv6") return "";
  keep_if(slice->mutable_endpoints(), [&](const v1::Endpoint& endpoint, int index) {
    return usable(endpoint, slice->address_type(), index, decoded);
  });
  return "";
}

void check_node(v1::NodeStatus* status, Decoded* decoded) {
  keep_if(status->mutable_addresses(), [&](const v1::NodeAddress& address, int index) {
    if (address.type() != "InternalIP" && address.type() != "ExternalIP") return true;
    const char* fault = fault_of(address.address(), "");
    if (fault == nullptr) return true;
    problem(decoded,
            left_out(element("status.addresses", index) + ".address", address.address(), fault));
    return false;
  });
}

}  // namespace

void check_object(v1::Kind kind, Decoded* decoded) {
  if (!decoded->error.empty()) return;
  v1::Object& object = decoded->object;
  decoded->error = check_metadata(kind, *metadata_of(object));
  if (!decoded->error.empty()) return;
  if (object.has_service()) {
    decoded->error = check_service(object.service().spec());
  } else if (object.has_endpoint_slice()) {
    decoded->error = check_slice(object.mutable_endpoint_slice(), decoded);
  } else if (object.node().has_status()) {
    check_node(object.mutable_node()->mutable_status(), decoded);
  }
}

}  // namespace sluice::kube
