#include "config/gateway_rules.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <initializer_list>
#include <regex>
#include <set>
#include <span>

#include "config/checker.h"
#include "proto/address.h"
#include "proto/address_range.h"
#include "proto/forwarding_names.h"

namespace sluice {
namespace {

void check_gateway(const v1::GatewayConfig& config, Checker* check) {
  const std::string& name = config.gateway().name();
  if (!name.empty() && !is_name(name, 253)) {
    check->error("gateway.name", name, "is not a name of lower-case letters, digits, '-' and '.'");
  }
}

void check_pools(const v1::Control& control, Checker* check) {
  std::set<std::string> names;
  for (int i = 0; i < control.pools_size(); ++i) {
    const v1::PoolSeed& pool = control.pools(i);
    const std::string path = "control.pools[" + std::to_string(i) + "]";
    if (!is_name(pool.name(), 253)) {
      check->error(path + ".name", pool.name(),
                   "is not a name of lower-case letters, digits, '-' and '.'");
    } else if (!names.insert(pool.name()).second) {
      check->error(path + ".name", pool.name(), "is another pool's name already");
    }
    if (pool.addresses().empty()) check->error(path + ".addresses", "", "is empty; name a range");
    for (int a = 0; a < pool.addresses_size(); ++a) {
      const auto range = AddressRange::parse(pool.addresses(a));
      if (range) continue;
      check->error(path + ".addresses[" + std::to_string(a) + "]", pool.addresses(a),
                   range.error());
    }
  }
}

void check_control(const v1::GatewayConfig& config, Checker* check, YamlReport* report) {
  const v1::Control& control = config.control();
  check->absolute_path("control.stateDirectory", control.state_directory(), false);
  check->word("control.forwardingMode", control.forwarding_mode(), kForwardingModeNames);
  check->word("control.overlay", control.overlay(), kOverlayNames);
  check->range("control.addressHoldSeconds", control.address_hold_seconds(), 1, 86'400, " s");
  for (int i = 0; i < control.load_balancer_classes_size(); ++i) {
    check->load_balancer_class("control.loadBalancerClasses[" + std::to_string(i) + "]",
                               control.load_balancer_classes(i));
  }
  check_listen("control.listen", control.listen(), report);
  check_pools(control, check);
}

void check_ports(const v1::Dataplane& dataplane, Checker* check) {
  static const std::regex pci("([0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\\.[0-7](,.*)?");
  static const std::regex vdev("(net|eth)_[a-z0-9_]+[0-9]*(,.*)?");
  std::set<std::string> names{dataplane.slow_path().vip_interface()};
  std::set<std::string> devices;
  if (dataplane.ports_size() > 16) {
    check->range("dataplane.ports", static_cast<std::uint64_t>(dataplane.ports_size()), 0, 16,
                 " ports");
  }
  for (int i = 0; i < dataplane.ports_size(); ++i) {
    const v1::PortConfig& port = dataplane.ports(i);
    const std::string path = "dataplane.ports[" + std::to_string(i) + "]";
    check->interface_name(path + ".name", port.name());
    if (!names.insert(port.name()).second) {
      check->error(path + ".name", port.name(),
                   "is the name of another port or of slowPath.vipInterface; names must differ");
    }
    if (!std::regex_match(port.device(), pci) && !std::regex_match(port.device(), vdev)) {
      check->error(path + ".device", port.device(),
                   "is neither a PCI address (0000:01:00.0) nor a vdev "
                   "(net_af_packet0,iface=eth1)");
    } else if (!devices.insert(port.device().substr(0, port.device().find(','))).second) {
      check->error(path + ".device", port.device(), "is another port's device already");
    }
    check->range(path + ".mtu", port.mtu(), 1280, 9600, " bytes (1280 is IPv6's minimum)");
    check->word(path + ".rss", port.rss(), {"auto", "external"});
    check->range(path + ".rxDescriptors", port.rx_descriptors(), 64, 32'768);
    check->range(path + ".txDescriptors", port.tx_descriptors(), 64, 32'768);
  }
}

void check_nat(const v1::Nat& nat, Checker* check) {
  for (int i = 0; i < nat.addresses_size(); ++i) {
    const auto address = IpAddress::parse(nat.addresses(i));
    if (!address || address->is_unspecified() || address->is_loopback() ||
        address->is_multicast() || address->is_link_local()) {
      check->error("dataplane.nat.addresses[" + std::to_string(i) + "]", nat.addresses(i),
                   "is not a unicast IPv4 or IPv6 address");
    }
  }
  check->range("dataplane.nat.firstPort", nat.first_port(), 1024, 65'535);
  check->range("dataplane.nat.lastPort", nat.last_port(), 1024, 65'535);
  if (nat.first_port() > nat.last_port()) {
    check->error("dataplane.nat.firstPort", std::to_string(nat.first_port()),
                 "is above lastPort, " + std::to_string(nat.last_port()));
  } else if (nat.last_port() - nat.first_port() < 1023) {
    check->error("dataplane.nat.lastPort", std::to_string(nat.last_port()),
                 "leaves fewer than 1024 ports from firstPort, " +
                     std::to_string(nat.first_port()) + "; workers share them");
  }
}

void check_tunnel(const v1::Tunnel& tunnel, Checker* check) {
  constexpr int kMost = 2;
  check->range("dataplane.tunnel.sources", static_cast<std::uint64_t>(tunnel.sources_size()), 0,
               kMost, " prefixes");
  std::set<bool> families;
  for (int i = 0; i < std::min(tunnel.sources_size(), kMost); ++i) {
    const std::string& text = tunnel.sources(i);
    const std::string path = "dataplane.tunnel.sources[" + std::to_string(i) + "]";
    const auto prefix = IpPrefix::parse(text);
    if (!prefix || prefix->address().is_unspecified() || prefix->address().is_loopback() ||
        prefix->address().is_multicast() || prefix->address().is_link_local()) {
      check->error(path, text,
                   "is not a unicast prefix such as 198.51.100.64/26 or 2001:db8:7::/64 (with no "
                   "host bits set)");
    } else if (prefix->length() < 8 || prefix->length() >= prefix->address().size() * 8) {
      check->error(path, text,
                   "must have 8 to " + std::to_string(prefix->address().size() * 8 - 1) +
                       " bits; its host bits tell flows apart");
    } else if (!families.insert(prefix->address().is_v4()).second) {
      check->error(path, text,
                   "is a second prefix of its family; name one for IPv4 and one for IPv6");
    }
  }
}

void check_tables(const v1::Tables& tables, Checker* check) {
  check->range("dataplane.tables.vips", tables.vips(), 1, 1u << 20);
  check->range("dataplane.tables.backends", tables.backends(), 1, 1u << 22);
  check->range("dataplane.tables.flowsIPv4", tables.flows_ipv4(), 1024, 1u << 30);
  check->range("dataplane.tables.flowsIPv6", tables.flows_ipv6(), 1024, 1u << 30);
  check->range("dataplane.tables.natFlows", tables.nat_flows(), 1024, 1u << 28);
  check->range("dataplane.tables.routesIPv4", tables.routes_ipv4(), 64, 4'000'000);
  check->range("dataplane.tables.routesIPv6", tables.routes_ipv6(), 64, 4'000'000);
}

void check_dataplane(const v1::GatewayConfig& config, Checker* check) {
  const v1::Dataplane& dataplane = config.dataplane();
  check->absolute_path("dataplane.socket", dataplane.socket(), false, kMaxSocketPath);
  check->range("dataplane.workers", dataplane.workers(), 1, 64);
  static const std::regex lcores("[0-9,@()-]*");
  if (!std::regex_match(dataplane.lcores(), lcores)) {
    check->error("dataplane.lcores", dataplane.lcores(),
                 "is not a list as EAL's --lcores takes, such as \"0@0,1@2\"");
  }
  check->word("dataplane.idle", dataplane.idle(), {"spin", "back-off", "power"});
  check->word("dataplane.instructionSet", dataplane.instruction_set(),
              {"auto", "scalar", "sse", "avx2", "avx512"});
  check->word("dataplane.memory.hugePages", dataplane.memory().huge_pages(), {"auto", "on", "off"});
  check->range("dataplane.memory.megabytes", dataplane.memory().megabytes(), 0, 1u << 20, " MB");
  check->range("dataplane.memory.packetBuffers", dataplane.memory().packet_buffers(), 1024,
               1u << 24);
  check_ports(dataplane, check);
  check_tables(dataplane.tables(), check);
  check_nat(dataplane.nat(), check);
  check_tunnel(dataplane.tunnel(), check);
  const v1::SlowPath& slow = dataplane.slow_path();
  check->interface_name("dataplane.slowPath.vipInterface", slow.vip_interface());
  check->range("dataplane.slowPath.packetsPerSecond", slow.packets_per_second(), 1, 10'000'000);
  check->range("dataplane.slowPath.waitingPackets", slow.waiting_packets(), 0, 1024);
  check->range("dataplane.slowPath.icmpPerSecond", slow.icmp_per_second(), 0, 10'000'000);
  const v1::TimerDefaults& timers = dataplane.timers();
  constexpr std::uint64_t kLongest = 7 * 86'400;
  check->range("dataplane.timers.tcpHandshake", timers.tcp_handshake(), 1, kLongest, " s");
  check->range("dataplane.timers.tcpEstablished", timers.tcp_established(), 1, kLongest, " s");
  check->range("dataplane.timers.tcpClosing", timers.tcp_closing(), 1, kLongest, " s");
  check->range("dataplane.timers.udp", timers.udp(), 1, kLongest, " s");
  check->range("dataplane.timers.udpWeak", timers.udp_weak(), 1, kLongest, " s");
}

}  // namespace

std::optional<HostPort> parse_host_port(const std::string& text) {
  HostPort result;
  std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return std::nullopt;
  result.host = text.substr(0, colon);
  if (result.host.front() == '[') {
    if (result.host.back() != ']') return std::nullopt;
    result.host = result.host.substr(1, result.host.size() - 2);
    const auto address = IpAddress::parse(result.host);
    if (!address || !address->is_v6()) return std::nullopt;
  } else {
    static const std::regex host("[A-Za-z0-9]([A-Za-z0-9._-]{0,252})");
    if (!std::regex_match(result.host, host)) return std::nullopt;
  }
  const char* begin = text.data() + colon + 1;
  const char* end = text.data() + text.size();
  const auto [stop, code] = std::from_chars(begin, end, result.port);
  if (code != std::errc() || stop != end || result.port == 0 || result.port > 65'535) {
    return std::nullopt;
  }
  return result;
}

void check_listen(const std::string& path, const std::string& listen, YamlReport* report) {
  if (listen.empty()) return;
  const bool chosen = listen.ends_with(":0");
  const auto parsed = parse_host_port(chosen ? listen.substr(0, listen.size() - 1) + "1" : listen);
  if (parsed && IpAddress::parse(parsed->host)) return;
  Checker(report).error(path, listen, "is neither ADDRESS:PORT nor [IPv6]:PORT");
}

void check_gateway_config(const v1::GatewayConfig& config, YamlReport* report) {
  Checker check(report);
  check_gateway(config, &check);
  check_redis_config(config.redis(), report);
  check_control(config, &check, report);
  check_dataplane(config, &check);
  check.word("logging.level", config.logging().level(), {"debug", "info", "warning", "error"});
  check.word("logging.format", config.logging().format(), {"text", "json"});
}

}  // namespace sluice
