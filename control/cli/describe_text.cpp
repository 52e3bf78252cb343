#include "control/cli/age.h"
#include "control/cli/dataplane_tables.h"
#include "control/cli/describe.h"
#include "control/model/endpoints.h"
#include "control/model/service_plan.h"

namespace sluice {
namespace {

std::string line(const std::string& label, const std::string& value) {
  std::string text = label + ":";
  text.append(text.size() < 22 ? 22 - text.size() : 1, ' ');
  return text + printable(value) + '\n';
}

template <typename Map>
std::string map_lines(const std::string& label, const Map& map) {
  const std::map<std::string, std::string> sorted(map.begin(), map.end());
  if (sorted.empty()) return line(label, "<none>");
  std::string text;
  for (const auto& [key, value] : sorted) {
    text += text.empty() ? line(label, key + "=" + value)
                         : std::string(22, ' ') + printable(key + "=" + value) + '\n';
  }
  return text;
}

std::string indented(const std::string& text) {
  std::string out;
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t end = text.find('\n', from);
    out += "  " + text.substr(from, end - from) + '\n';
    from = end == std::string::npos ? text.size() : end + 1;
  }
  return out;
}

std::string target_port_text(const v1::ServicePort& port) {
  if (port.target_port().has_name()) return port.target_port().name();
  const int number = port.target_port().number();
  return std::to_string(number == 0 ? port.port() : number);
}

std::string state_text(const PortEndpoint& endpoint) {
  if (endpoint.ready) return "ready";
  if (endpoint.serving && endpoint.terminating) return "draining";
  if (endpoint.terminating) return "terminating";
  return endpoint.serving ? "serving" : "not-ready";
}

std::string ports_section(const v1::Service& service) {
  Table table({"PORT", "PROTOCOL", "TARGET-PORT", "NAME"});
  for (const v1::ServicePort& port : service.spec().ports())
    table.add({std::to_string(port.port()), port.protocol().empty() ? "TCP" : port.protocol(),
               target_port_text(port), port.name().empty() ? "<unset>" : port.name()});
  return "Ports:\n" + indented(table.text());
}

std::string endpoints_section(const Description& d, const ServiceEndpoints& endpoints) {
  Table table({"PORT", "ENDPOINT", "STATE", "TARGET"});
  for (std::size_t i = 0; i < endpoints.ports.size(); ++i) {
    const v1::ServicePort& port = d.service->spec().ports(static_cast<int>(i));
    for (const PortEndpoint& endpoint : endpoints.ports[i]) {
      std::string target = "<none>";
      if (!endpoint.target.empty()) endpoint.target.write(&target);
      table.add({std::to_string(port.port()), address_port_text(endpoint.address, endpoint.port),
                 state_text(endpoint), target});
    }
  }
  return table.empty() ? line("Endpoints", "<none>") : "Endpoints:\n" + indented(table.text());
}

// What only a few Services say.
std::string annotated(const char* title, const v1::ObjectMeta& metadata, const char* name) {
  const auto at = metadata.annotations().find(name);
  return at == metadata.annotations().end() ? "" : line(title, at->second);
}

std::string conditions_section(const v1::ServiceStatus* status) {
  if (!status || status->conditions().empty())
    return line("Conditions", "<unknown: no gateway has told yet; is sluice-control running?>");
  Table table({"TYPE", "STATUS", "REASON", "MESSAGE"});
  for (const v1::Condition& c : status->conditions())
    table.add({c.type(), c.status(), c.reason(), c.message()});
  return "Conditions:\n" + indented(table.text());
}

std::string vips_section(const Description& d, const std::string& service) {
  if (!d.report || !d.statistics) return line("VIPs", "<unknown: " + d.dataplane_error + ">");
  v1::Report own;
  for (const v1::Vip& vip : d.report->vips())
    if (vip.service() == service) *own.add_vips() = vip;
  if (own.vips().empty()) return line("VIPs", "<none> on this gateway");
  return "VIPs:\n" + indented(vip_table(own, *d.statistics, "", true).text());
}

}  // namespace

std::string describe_text(const Description& d) {
  const v1::ObjectMeta& metadata = d.service->metadata();
  const v1::ServiceSpec& spec = d.service->spec();
  const auto mode = metadata.annotations().find(kForwardingModeAnnotation);
  const ServiceEndpoints endpoints = endpoints_of(d.inputs);
  std::string text;
  text += line("Name", metadata.name());
  text += line("Namespace", metadata.namespace_());
  text += line("Source", d.source);
  text += line("UID", metadata.uid());
  text += line("Age", age_since(metadata.creation_timestamp(), d.now));
  text += map_lines("Labels", metadata.labels());
  text += map_lines("Annotations", metadata.annotations());
  text += map_lines("Selector", spec.selector());
  text += line("Type", spec.type());
  text += line("IP Families", joined({spec.ip_families().begin(), spec.ip_families().end()}));
  text += line("Cluster IP", spec.cluster_ip().empty() ? "<none>" : spec.cluster_ip());
  text += line("External IP", external_ip_text(*d.service, d.status));
  text += line("Forwarding Mode", mode == metadata.annotations().end()
                                      ? "<the pool's, else the gateway's default>"
                                      : mode->second);
  text += annotated("Overlay", metadata, kOverlayAnnotation);
  text += annotated("PROXY Protocol", metadata, kProxyProtocolAnnotation);
  text += annotated("QUIC IDs", metadata, kQuicAnnotation);
  if (d.status)
    text += line("Backends", std::to_string(d.status->backends()) + " get new flows, " +
                                 std::to_string(d.status->draining()) + " draining");
  text += ports_section(*d.service);
  text += endpoints_section(d, endpoints);
  text += conditions_section(d.status);
  text += vips_section(d, d.source + "/" + metadata.namespace_() + "/" + metadata.name());
  for (const Warning& warning : endpoints.warnings)
    text += line("Warning", warning.reason + ": " + warning.message);
  return text;
}

}  // namespace sluice
