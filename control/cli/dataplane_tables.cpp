#include "control/cli/dataplane_tables.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "control/cli/age.h"
#include "control/model/service_plan.h"
#include "proto/address.h"

namespace sluice {
namespace {

// Fewer received say nothing of how they spread over workers.
constexpr std::uint64_t kEnoughPackets = 10'000;

using VipKeyTuple = std::tuple<std::string, int, std::uint32_t>;

VipKeyTuple tuple_of(const v1::VipKey& key) {
  return {key.address(), static_cast<int>(key.protocol()), key.port()};
}

std::string number(std::uint64_t n) {
  return std::to_string(n);
}

// "3", or "3 (1 draining)".
std::string members_text(const v1::Vip& vip) {
  std::size_t active = 0, draining = 0, masked = 0;
  for (const v1::Member& member : vip.members())
    ++(member.draining() ? draining : member.masked() ? masked : active);
  std::vector<std::string> aside;
  if (draining) aside.push_back(std::to_string(draining) + " draining");
  if (masked) aside.push_back(std::to_string(masked) + " masked");
  return std::to_string(active) + (aside.empty() ? "" : " (" + joined(aside, ", ") + ")");
}

std::uint64_t share_percent(std::uint64_t part, std::uint64_t all) {
  return all == 0 ? 0
                  : static_cast<std::uint64_t>(
                        100.0 * static_cast<double>(part) / static_cast<double>(all) + 0.5);
}

std::string options_text(const v1::Vip& vip) {
  std::vector<std::string> options;
  if (vip.proxy_protocol()) options.push_back("proxy-protocol");
  if (vip.quic()) options.push_back("quic");
  return options.empty() ? "<none>" : joined(options);
}

std::string overlay_text(const v1::Overlay& overlay) {
  if (overlay.kind() == v1::OVERLAY_KIND_UNSPECIFIED) return "<none>";
  return std::string(overlay_name(overlay.kind())) + " to " + address_text(overlay.remote());
}

std::vector<std::string> row(std::vector<std::string> cells, const std::vector<std::string>& more,
                             bool wide) {
  if (wide) cells.insert(cells.end(), more.begin(), more.end());
  return cells;
}

}  // namespace

std::string address_text(const std::string& bytes) {
  const auto address = IpAddress::from_bytes(bytes);
  return address ? address->text() : "?";
}

std::string endpoint_text(const std::string& bytes, unsigned port) {
  const auto address = IpAddress::from_bytes(bytes);
  return address ? address_port_text(*address, port) : "?";
}

std::string mac_text(const std::string& bytes) {
  if (bytes.size() != 6) return "?";
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (unsigned char byte : bytes) {
    if (!text.empty()) text += ':';
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

std::string protocol_text(v1::Protocol protocol) {
  const std::string name = protocol_name(protocol);
  return name.empty() ? std::to_string(static_cast<int>(protocol)) : name;
}

std::string namespace_of(const std::string& service) {
  const auto first = service.find('/');
  const auto second = first == std::string::npos ? first : service.find('/', first + 1);
  return second == std::string::npos ? "" : service.substr(first + 1, second - first - 1);
}

Table vip_table(const v1::Report& report, const v1::Statistics& statistics, const std::string& ns,
                bool wide) {
  std::map<VipKeyTuple, const v1::VipCounters*> counters;
  for (const auto& c : statistics.vips()) counters[tuple_of(c.key())] = &c;
  std::map<std::tuple<IpAddress, int, std::uint32_t>, const v1::Vip*> vips;
  for (const auto& vip : report.vips()) {
    if (!ns.empty() && namespace_of(vip.service()) != ns) continue;
    const auto address = IpAddress::from_bytes(vip.key().address());
    vips[{address.value_or(IpAddress()), static_cast<int>(vip.key().protocol()),
          vip.key().port()}] = &vip;
  }
  Table table(row(
      {"ADDRESS", "PORT", "PROTOCOL", "SERVICE", "MODE", "BACKENDS", "CONNECTIONS"},
      {"PACKETS-IN", "BYTES-IN", "PACKETS-OUT", "BYTES-OUT", "NO-BACKEND", "SLOTS", "ID", "WITH"},
      wide));
  const v1::VipCounters none;
  for (const auto& [key, vip] : vips) {
    const auto at = counters.find(tuple_of(vip->key()));
    const v1::VipCounters& c = at == counters.end() ? none : *at->second;
    table.add(row({address_text(vip->key().address()), number(vip->key().port()),
                   protocol_text(vip->key().protocol()), vip->service(),
                   forwarding_mode_name(vip->mode()), members_text(*vip), number(c.new_flows())},
                  {number(c.packets_in()), number(c.bytes_in()), number(c.packets_out()),
                   number(c.bytes_out()), number(c.no_backend()), number(vip->maglev_size()),
                   number(vip->id()), options_text(*vip)},
                  wide));
  }
  return table;
}

Table backend_table(const v1::Report& report, const v1::Statistics& statistics, bool wide) {
  std::map<std::uint32_t, const v1::BackendCounters*> counters;
  for (const auto& c : statistics.backends()) counters[c.id()] = &c;
  std::map<std::uint32_t, std::set<std::string>> services;
  for (const auto& vip : report.vips())
    for (const auto& member : vip.members()) services[member.backend()].insert(vip.service());
  std::vector<const v1::Backend*> backends;
  for (const auto& backend : report.backends()) backends.push_back(&backend);
  std::ranges::sort(backends, {}, [](const v1::Backend* b) {
    return std::tuple(IpAddress::from_bytes(b->address()).value_or(IpAddress()), b->port(),
                      b->id());
  });
  Table table(row({"BACKEND", "TARGET", "SERVICES", "CONNECTIONS"},
                  {"PACKETS-IN", "BYTES-IN", "PACKETS-OUT", "BYTES-OUT", "ID", "OVERLAY"}, wide));
  const v1::BackendCounters none;
  for (const v1::Backend* backend : backends) {
    const auto at = counters.find(backend->id());
    const v1::BackendCounters& c = at == counters.end() ? none : *at->second;
    const auto& used = services[backend->id()];
    table.add(row({endpoint_text(backend->address(), backend->port()),
                   backend->target().empty() ? "<none>" : backend->target(),
                   joined({used.begin(), used.end()}), number(c.new_flows())},
                  {number(c.packets_in()), number(c.bytes_in()), number(c.packets_out()),
                   number(c.bytes_out()), number(backend->id()), overlay_text(backend->overlay())},
                  wide));
  }
  return table;
}

Table port_table(const v1::Ports& ports, bool wide) {
  Table table(row(
      {"NAME", "DEVICE", "LINK", "SPEED", "MTU", "RX-PACKETS", "TX-PACKETS", "MISSED", "ADDRESSES"},
      {"DRIVER", "MAC", "QUEUES", "RSS", "RX-BYTES", "TX-BYTES", "RX-ERRORS", "TX-ERRORS"}, wide));
  for (const auto& port : ports.ports()) {
    std::vector<std::string> addresses;
    for (const auto& address : port.addresses()) addresses.push_back(address_text(address));
    table.add(row({port.name(), port.device(), port.link_up() ? "up" : "down",
                   port.speed_mbps() == 0 || port.speed_mbps() == UINT32_MAX
                       ? "<unknown>"
                       : number(port.speed_mbps()) + "M",
                   number(port.mtu()), number(port.rx_packets()), number(port.tx_packets()),
                   number(port.rx_missed()), joined(addresses)},
                  {port.driver(), mac_text(port.mac()),
                   number(port.rx_queues()) + "/" + number(port.tx_queues()),
                   port.rss() ? "yes" : "software", number(port.rx_bytes()),
                   number(port.tx_bytes()), number(port.rx_errors()), number(port.tx_errors())},
                  wide));
  }
  return table;
}

Table gateway_table(const std::vector<store::Gateway>& gateways, bool wide,
                    std::chrono::system_clock::time_point now) {
  Table table(row({"NAME", "STATUS", "ROLE", "DATAPLANE", "VIPS", "GENERATION", "AGE"},
                  {"VERSION", "WORKERS", "SEEN"}, wide));
  for (const store::Gateway& gateway : gateways) {
    const v1::GatewayPresence& p = gateway.presence;
    if (!gateway.alive) {
      table.add(
          row({gateway.name, "Gone", "<none>", "<unknown>", "<unknown>", "<unknown>", "<unknown>"},
              {"<unknown>", "<unknown>", "<unknown>"}, wide));
      continue;
    }
    table.add(row(
        {gateway.name, p.dataplane_connected() ? "Ready" : "NotReady",
         p.leading() ? "leader" : "follower", p.dataplane_connected() ? "connected" : "unreachable",
         number(p.vips()), number(p.generation()), age_since_unix_ms(p.started_unix_ms(), now)},
        {p.version(), number(p.workers()), age_since_unix_ms(p.updated_unix_ms(), now)}, wide));
  }
  return table;
}

Table flow_table(const v1::Flows& flows, bool wide) {
  Table table(
      row({"PROTOCOL", "CLIENT", "VIP", "BACKEND", "STATE", "IDLE"}, {"NAT", "WORKER"}, wide));
  for (const v1::Flow& flow : flows.flows())
    table.add(row(
        {protocol_text(flow.protocol()), endpoint_text(flow.client(), flow.client_port()),
         endpoint_text(flow.vip(), flow.vip_port()),
         flow.backend().empty() ? "<gone>" : endpoint_text(flow.backend(), flow.backend_port()),
         flow.state(), number(flow.idle_seconds()) + "s"},
        {flow.nat_source().empty() ? "<none>" : endpoint_text(flow.nat_source(), flow.nat_port()),
         number(flow.worker())},
        wide));
  return table;
}

Table drop_table(const v1::Statistics& statistics, bool all) {
  Table table({"COUNTER", "PACKETS", "MEANING"});
  for (const v1::DropCounter& drop : statistics.drops())
    if (all || drop.packets() > 0) table.add({drop.reason(), number(drop.packets()), drop.help()});
  return table;
}

Table worker_table(const v1::Statistics& statistics) {
  Table table({"WORKER", "LCORE", "RECEIVED", "SHARE", "TRANSMITTED", "HANDED-OVER", "PUNTED",
               "BUSY", "FLOWS-IPV4", "FLOWS-IPV6", "NAT"});
  std::uint64_t all = 0;
  for (const v1::WorkerCounters& w : statistics.workers()) all += w.received();
  for (const v1::WorkerCounters& w : statistics.workers()) {
    const auto busy = w.polls() == 0 ? 0 : 100 * (w.polls() - w.empty_polls()) / w.polls();
    table.add({number(w.worker()), number(w.lcore()), number(w.received()),
               number(share_percent(w.received(), all)) + "%", number(w.transmitted()),
               number(w.handed_over()), number(w.punted()), number(busy) + "%",
               number(w.flows_ipv4()) + "/" + number(w.capacity_ipv4()),
               number(w.flows_ipv6()) + "/" + number(w.capacity_ipv6()), number(w.nat_records())});
  }
  return table;
}

std::string imbalance_text(const v1::Statistics& statistics) {
  const auto& workers = statistics.workers();
  if (workers.size() < 2) return "";
  const auto by_received = [](const auto& a, const auto& b) { return a.received() < b.received(); };
  const auto [least, most] = std::minmax_element(workers.begin(), workers.end(), by_received);
  if (most->received() < kEnoughPackets || most->received() / 2 <= least->received()) return "";
  return "worker " + number(most->worker()) + " received " + number(most->received()) +
         " packets and worker " + number(least->worker()) + " " + number(least->received()) +
         ", less than half: few flows, or a port without RSS (see `sluice get ports -o wide`)";
}

std::string trace_text(const v1::Trace& trace) {
  Table steps({"STAGE", "RESULT"});
  for (const v1::TraceStep& step : trace.steps()) steps.add({step.stage(), step.text()});
  std::string text = steps.text() + "\nverdict: " + printable(trace.verdict());
  if (!trace.drop_reason().empty()) text += " (" + printable(trace.drop_reason()) + ")";
  text += '\n';
  if (!trace.service().empty())
    text += "service: " + printable(trace.service()) + ", mode " +
            forwarding_mode_name(trace.mode()) + '\n';
  if (!trace.backend().empty())
    text += "backend: " + endpoint_text(trace.backend(), trace.backend_port()) +
            (trace.flow_exists() ? " (by its flow)" : " (a new flow)") + '\n';
  if (!trace.egress_port().empty())
    text += "leaves by: " + printable(trace.egress_port()) + " to " +
            (trace.next_hop().empty() ? "?" : address_text(trace.next_hop())) +
            (trace.next_hop_mac().empty() ? "" : " (" + mac_text(trace.next_hop_mac()) + ")") +
            '\n';
  text += "worker: " + number(trace.worker()) + '\n';
  return text;
}

}  // namespace sluice
