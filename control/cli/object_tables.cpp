#include "control/cli/object_tables.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "control/cli/age.h"
#include "control/cli/pool_usage.h"
#include "control/cli/resource.h"
#include "control/model/endpoints.h"
#include "control/model/service_plan.h"

namespace sluice {
namespace {

using Row = std::vector<std::string>;

template <typename Map>
std::string labels_text(const Map& labels) {
  std::vector<std::string> parts;
  for (const auto& [key, value] : labels) parts.push_back(key + "=" + value);
  std::ranges::sort(parts);
  return joined(parts);
}

// The header and rows with what TableOptions adds in front and behind.
class Builder {
 public:
  Builder(const TableOptions& options, bool namespaced, Row header, Row wide = {})
      : options_(options), namespaced_(namespaced && options.namespaces), table_({}) {
    table_ = Table(compose("NAMESPACE", std::move(header), std::move(wide), "SOURCE", "LABELS"));
  }
  void add(const store::StoredObject& object, Row row, Row wide = {}) {
    const v1::ObjectMeta* metadata = metadata_of(object.object);
    if (options_.kinds) row.front() = qualified_name(object.key.kind, row.front());
    table_.add(compose(object.key.ns, std::move(row), std::move(wide), object.key.source,
                       options_.labels && metadata ? labels_text(metadata->labels()) : ""));
  }
  Table take() { return std::move(table_); }

 private:
  Row compose(const std::string& ns, Row row, Row wide, const std::string& source,
              const std::string& labels) const {
    if (namespaced_) row.insert(row.begin(), ns);
    if (options_.wide) row.insert(row.end(), wide.begin(), wide.end());
    if (options_.wide || options_.sources) row.push_back(source);
    if (options_.labels) row.push_back(labels);
    return row;
  }

  const TableOptions& options_;
  bool namespaced_;
  Table table_;
};

std::string age_of(const store::StoredObject& object, const TableOptions& options) {
  const v1::ObjectMeta* metadata = metadata_of(object.object);
  return age_since(metadata ? metadata->creation_timestamp() : "", options.now);
}

std::string or_none(const std::string& text) {
  return text.empty() ? "<none>" : text;
}

template <typename Conditions>
bool condition_true(const Conditions& conditions, const char* type) {
  return std::ranges::any_of(conditions, [&](const auto& condition) {
    return condition.type() == type && condition.status() == "True";
  });
}

// The first few, and how many more.
std::string abbreviated(const std::vector<std::string>& parts, std::size_t limit) {
  if (parts.size() <= limit) return joined(parts);
  return joined({parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(limit)}) + " + " +
         std::to_string(parts.size() - limit) + " more...";
}

const v1::ServiceStatus* status_of(const store::StoredObject& service,
                                   const MergedStatuses& statuses) {
  const auto at = statuses.find({service.key.source, service.key.ns, service.key.name});
  return at == statuses.end() ? nullptr : &at->second;
}

std::string mode_text(const v1::Service& service) {
  const auto& annotations = service.metadata().annotations();
  const auto at = annotations.find(kForwardingModeAnnotation);
  if (service.spec().type() != "LoadBalancer") return "<none>";
  return at == annotations.end() ? "<default>" : at->second;
}

}  // namespace

std::string ports_text(const v1::ServiceSpec& spec) {
  std::vector<std::string> parts;
  for (const v1::ServicePort& port : spec.ports()) {
    std::string text = std::to_string(port.port());
    if (port.node_port() != 0) text += ":" + std::to_string(port.node_port());
    parts.push_back(text + "/" + (port.protocol().empty() ? "TCP" : port.protocol()));
  }
  return joined(parts);
}

std::string external_ip_text(const v1::Service& service, const v1::ServiceStatus* status) {
  if (service.spec().type() == "ExternalName") return or_none(service.spec().external_name());
  std::vector<std::string> addresses(service.spec().external_ips().begin(),
                                     service.spec().external_ips().end());
  if (status)
    addresses.insert(addresses.begin(), status->addresses().begin(), status->addresses().end());
  if (addresses.empty() && service.spec().type() == "LoadBalancer") return "<pending>";
  return joined(addresses);
}

std::string status_word(const v1::Service& service, const v1::ServiceStatus* status) {
  if (service.spec().type() != "LoadBalancer") return "<none>";
  if (!status) return "<unknown>";
  for (const char* type : {kAddressAllocated, kProgrammed}) {
    for (const v1::Condition& condition : status->conditions())
      if (condition.type() == type && condition.status() != "True") return condition.reason();
  }
  return status->conditions().empty() ? "<unknown>" : "Programmed";
}

std::string count_text(std::uint64_t count) {
  if (count < 1'000'000) return std::to_string(count);
  const bool power = std::has_single_bit(count);
  return (power ? "2^" : "~2^") + std::to_string(std::bit_width(count) - 1);
}

Table service_table(const Objects& services, const MergedStatuses& statuses,
                    const TableOptions& options) {
  Builder table(options, true, {"NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"},
                {"MODE", "BACKENDS", "DRAINING", "STATUS", "SELECTOR"});
  for (const auto* object : services) {
    const v1::Service& service = object->object.service();
    const v1::ServiceStatus* status = status_of(*object, statuses);
    table.add(
        *object,
        {object->key.name, service.spec().type(), or_none(service.spec().cluster_ip()),
         external_ip_text(service, status), ports_text(service.spec()), age_of(*object, options)},
        {mode_text(service), status ? std::to_string(status->backends()) : "<unknown>",
         status ? std::to_string(status->draining()) : "<unknown>", status_word(service, status),
         labels_text(service.spec().selector())});
  }
  return table.take();
}

Table endpoints_table(const Objects& services, const Model& model, const TableOptions& options) {
  Builder table(options, true, {"NAME", "ENDPOINTS", "READY", "DRAINING", "AGE"});
  for (const auto* object : services) {
    const ServiceInputs inputs =
        model.inputs({object->key.source, object->key.ns, object->key.name});
    std::vector<std::string> texts;
    std::size_t ready = 0, draining = 0;
    for (const auto& port : endpoints_of(inputs).ports) {
      for (const PortEndpoint& endpoint : port) {
        if (endpoint.ready) ++ready;
        if (endpoint.serving && endpoint.terminating) ++draining;
        if (endpoint.ready || endpoint.serving)
          texts.push_back(address_port_text(endpoint.address, endpoint.port));
      }
    }
    table.add(*object, {object->key.name, abbreviated(texts, options.wide ? texts.size() : 3),
                        std::to_string(ready), std::to_string(draining), age_of(*object, options)});
  }
  return table.take();
}

Table endpoint_slice_table(const Objects& slices, const TableOptions& options) {
  Builder table(options, true, {"NAME", "ADDRESSTYPE", "PORTS", "ENDPOINTS", "AGE"});
  for (const auto* object : slices) {
    const v1::EndpointSlice& slice = object->object.endpoint_slice();
    std::vector<std::string> ports, endpoints;
    for (const auto& port : slice.ports())
      ports.push_back(port.has_port() ? std::to_string(port.port()) : "*");
    for (const auto& endpoint : slice.endpoints())
      endpoints.insert(endpoints.end(), endpoint.addresses().begin(), endpoint.addresses().end());
    table.add(*object, {object->key.name, slice.address_type(), joined(ports),
                        abbreviated(endpoints, options.wide ? endpoints.size() : 3),
                        age_of(*object, options)});
  }
  return table.take();
}

Table pod_table(const Objects& pods, const TableOptions& options) {
  Builder table(options, true, {"NAME", "READY", "STATUS", "IP", "AGE"}, {"NODE", "LABELS"});
  for (const auto* object : pods) {
    const v1::Pod& pod = object->object.pod();
    const int containers = pod.spec().containers_size();
    const bool ready = condition_true(pod.status().conditions(), "Ready");
    std::vector<std::string> ips;
    for (const auto& ip : pod.status().pod_ips()) ips.push_back(ip.ip());
    if (ips.empty() && !pod.status().pod_ip().empty()) ips.push_back(pod.status().pod_ip());
    const std::string phase = pod.metadata().deletion_timestamp().empty()
                                  ? pod.status().phase()
                                  : std::string("Terminating");
    table.add(*object,
              {object->key.name,
               std::to_string(ready ? containers : 0) + "/" + std::to_string(containers),
               phase.empty() ? "Unknown" : phase, joined(ips), age_of(*object, options)},
              {or_none(pod.spec().node_name()), labels_text(pod.metadata().labels())});
  }
  return table.take();
}

Table node_table(const Objects& nodes, const TableOptions& options) {
  Builder table(options, false, {"NAME", "STATUS", "INTERNAL-IP", "AGE"}, {"POD-CIDRS"});
  for (const auto* object : nodes) {
    const v1::Node& node = object->object.node();
    std::vector<std::string> addresses;
    for (const auto& address : node.status().addresses())
      if (address.type() == "InternalIP") addresses.push_back(address.address());
    std::string status = condition_true(node.status().conditions(), "Ready") ? "Ready" : "NotReady";
    if (node.spec().unschedulable()) status += ",SchedulingDisabled";
    table.add(*object, {object->key.name, status, joined(addresses), age_of(*object, options)},
              {joined({node.spec().pod_cidrs().begin(), node.spec().pod_cidrs().end()})});
  }
  return table.take();
}

Table namespace_table(const Objects& namespaces, const TableOptions& options) {
  Builder table(options, false, {"NAME", "AGE"}, {"LABELS"});
  for (const auto* object : namespaces)
    table.add(*object, {object->key.name, age_of(*object, options)},
              {labels_text(object->object.namespace_().metadata().labels())});
  return table.take();
}

Table pool_table(const Objects& pools, const Ledger& ledger, const TableOptions& options) {
  Builder table(options, false, {"NAME", "ADDRESSES", "USED", "ON-HOLD", "FREE", "AGE"},
                {"AUTO-ASSIGN", "PRIORITY", "MODE", "OVERLAY", "UNSERVED-PORTS"});
  for (const auto* object : pools) {
    const v1::AddressPoolSpec& spec = object->object.address_pool().spec();
    const v1::AddressPoolStatus status = usage_of(spec, ledger);
    table.add(
        *object,
        {object->key.name, joined({spec.addresses().begin(), spec.addresses().end()}),
         usage_text(status, &v1::PoolUsage::used), usage_text(status, &v1::PoolUsage::on_hold),
         usage_text(status, &v1::PoolUsage::free), age_of(*object, options)},
        {spec.has_auto_assign() && !spec.auto_assign() ? "false" : "true",
         std::to_string(spec.priority()),
         spec.forwarding_mode().empty() ? "<default>" : spec.forwarding_mode(),
         spec.overlay().empty() ? "<default>" : spec.overlay(),
         spec.unserved_ports().empty() ? "reject" : spec.unserved_ports()});
  }
  return table.take();
}

}  // namespace sluice
