#include "control/cli/dataplane_commands.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <iostream>
#include <utility>

#include "control/cli/dataplane_tables.h"

namespace sluice {
namespace {

constexpr std::uint32_t kTraceSourcePort = 40000;  // Where none is given: an ephemeral one.

std::optional<std::uint32_t> parse_port(std::string_view text) {
  std::uint32_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0 || port > 65535)
    return std::nullopt;
  return port;
}

// One row has to be there even where nothing is counted, so that silence is told from failure.
void print(const Table& table, const char* none) {
  if (table.empty()) {
    std::cout << none << '\n';
  } else {
    std::cout << table.text();
  }
}

int usage(const std::string& text) {
  fail(text);
  return kExitUsage;
}

}  // namespace

Result<AddressPort> parse_address_port(std::string_view text) {
  const Error wrong{"\"" + std::string(text) +
                    "\": must be ADDRESS:PORT or [IPv6]:PORT, the port 1 to 65535"};
  if (const auto bare = IpAddress::parse(text)) return AddressPort{*bare, 0};
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return wrong;
  std::string_view host = text.substr(0, colon);
  const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  const auto address = IpAddress::parse(host);
  const auto port = parse_port(text.substr(colon + 1));
  if (!address || !port || brackets != address->is_v6()) return wrong;
  return AddressPort{*address, *port};
}

Result<std::uint32_t> parse_tcp_flags(std::string_view text) {
  static constexpr std::array<std::string_view, 8> names{"fin", "syn", "rst", "psh",
                                                         "ack", "urg", "ece", "cwr"};
  std::uint32_t flags = 0;
  while (!text.empty()) {
    const auto comma = std::min(text.find(','), text.size());
    const auto name = text.substr(0, comma);
    const auto at = std::ranges::find(names, name);
    if (at == names.end())
      return Error{"--flags: \"" + std::string(name) +
                   "\" is not a TCP flag; one or more of fin,syn,rst,psh,ack,urg,ece,cwr"};
    flags |= 1u << (at - names.begin());
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return flags;
}

int flows_command(Context& context, const FlowsOptions& options) {
  v1::FlowsRequest request;
  request.set_limit(options.limit);
  if (!options.client.empty()) {
    const auto client = IpAddress::parse(options.client);
    if (!client) return usage("--client \"" + options.client + "\": must be an address");
    request.set_client(client->bytes());
  }
  if (!options.vip.empty()) {
    std::string_view text = options.vip;
    const bool udp = text.ends_with("/udp");
    if (udp || text.ends_with("/tcp")) text.remove_suffix(4);
    const auto vip = parse_address_port(text);
    if (!vip) return usage("--vip " + vip.error());
    if (vip->port == 0) return usage("--vip \"" + options.vip + "\": has no port");
    request.mutable_vip()->set_address(vip->address.bytes());
    request.mutable_vip()->set_port(vip->port);
    request.mutable_vip()->set_protocol(udp ? v1::PROTOCOL_UDP : v1::PROTOCOL_TCP);
  }
  auto dataplane = context.dataplane();
  if (!dataplane) return fail(dataplane.error());
  const auto flows = context.run((*dataplane)->flows(request));
  if (!flows) return fail(flows.error());
  print(flow_table(*flows, options.wide), "No flows found");
  if (flows->truncated())
    warn("only the first " + std::to_string(flows->flows_size()) + " are shown; see --limit");
  return kExitOk;
}

int stats_command(Context& context, const StatsOptions& options) {
  const bool none = !options.drops && !options.vips && !options.backends && !options.workers;
  const bool drops = options.drops || none, workers = options.workers || none;
  v1::StatisticsRequest request;
  request.set_vips(options.vips);
  request.set_backends(options.backends);
  request.set_workers(workers);
  auto dataplane = context.dataplane();
  if (!dataplane) return fail(dataplane.error());
  const auto statistics = context.run((*dataplane)->statistics(request));
  if (!statistics) return fail(statistics.error());
  bool first = true;
  const auto section = [&](bool wanted, const Table& table, const char* nothing) {
    if (!wanted) return;
    if (!std::exchange(first, false)) std::cout << '\n';
    print(table, nothing);
  };
  section(workers, worker_table(*statistics), "No workers");
  if (const std::string text = imbalance_text(*statistics); workers && !text.empty()) warn(text);
  if (options.vips || options.backends) {
    const auto report = context.run((*dataplane)->report(true));
    if (!report) return fail(report.error());
    section(options.vips, vip_table(*report, *statistics, "", true), "No VIPs");
    section(options.backends, backend_table(*report, *statistics, true), "No backends");
  }
  section(drops, drop_table(*statistics, options.all), "No packets dropped");
  return kExitOk;
}

int trace_command(Context& context, const TraceOptions& options) {
  const auto source = parse_address_port(options.source);
  if (!source) return usage("SOURCE " + source.error());
  const auto destination = parse_address_port(options.destination);
  if (!destination) return usage("DESTINATION " + destination.error());
  if (destination->port == 0)
    return usage("DESTINATION \"" + options.destination + "\": has no port");
  if (source->address.size() != destination->address.size())
    return usage("SOURCE and DESTINATION are of different families");
  const auto flags = parse_tcp_flags(options.flags);
  if (!flags) return usage(flags.error());
  if (options.udp && *flags != 0) return usage("--flags goes with --tcp alone");
  v1::TraceRequest request;
  request.set_source(source->address.bytes());
  request.set_source_port(source->port == 0 ? kTraceSourcePort : source->port);
  request.set_destination(destination->address.bytes());
  request.set_destination_port(destination->port);
  request.set_protocol(options.udp ? v1::PROTOCOL_UDP : v1::PROTOCOL_TCP);
  request.set_tcp_flags(*flags);
  request.set_port(options.port);
  auto dataplane = context.dataplane();
  if (!dataplane) return fail(dataplane.error());
  const auto trace = context.run((*dataplane)->trace(request));
  if (!trace) return fail(trace.error());
  std::cout << trace_text(*trace);
  return kExitOk;
}

}  // namespace sluice
