#include "dataplane/kernel/sysctl.h"

#include <spdlog/spdlog.h>

#include <fstream>
#include <sstream>

namespace sluice {

std::optional<std::string> read_sysctl(const std::string& name) {
  std::ifstream file("/proc/sys/" + name);
  std::string value;
  if (!std::getline(file, value)) return std::nullopt;
  return value;
}

bool set_sysctl(const std::string& name, const std::string& value) {
  const auto before = read_sysctl(name);
  if (!before) return false;
  if (*before == value) return true;
  std::ofstream file("/proc/sys/" + name);
  file << value << std::flush;
  if (!file) {
    spdlog::warn("cannot change kernel setting, is /proc/sys writable? name={} is={} wanted={}",
                 name, *before, value);
    return false;
  }
  spdlog::info("changed kernel setting name={} was={} now={}", name, *before, value);
  return true;
}

void prepare_tap_sysctls(const std::string& tap) {
  const std::string ipv4 = "net/ipv4/conf/" + tap + "/";
  // The kernel takes the stricter of "all" and the link's; loose is above strict in its order.
  const bool strict = read_sysctl("net/ipv4/conf/all/rp_filter").value_or("0") != "0";
  set_sysctl(ipv4 + "rp_filter", strict ? "2" : "0");
  set_sysctl(ipv4 + "arp_ignore", "0");
  if (read_sysctl("net/ipv4/conf/all/arp_ignore").value_or("0") != "0") {
    spdlog::warn(
        "the kernel will not answer ARP for VIPs: set net.ipv4.conf.all.arp_ignore=0 tap={}", tap);
  }

  const std::string ipv6 = "net/ipv6/conf/" + tap + "/";
  const auto router_advertisements = read_sysctl(ipv6 + "accept_ra");
  if (!router_advertisements) return;  // A kernel without IPv6.
  // Solicitations for an address of another link are answered by proxy, which asks for forwarding
  // on the link; with it, routes by router advertisement are kept only by 2. Nothing is forwarded
  // unless net.ipv6.conf.all.forwarding says so too.
  if (*router_advertisements == "1") set_sysctl(ipv6 + "accept_ra", "2");
  set_sysctl(ipv6 + "forwarding", "1");
  set_sysctl(ipv6 + "proxy_ndp", "1");
  set_sysctl("net/ipv6/neigh/" + tap + "/proxy_delay", "0");
}

std::optional<KernelPortRange> range_beside(KernelPortRange present, std::uint16_t first,
                                            std::uint16_t last) {
  constexpr std::uint32_t kFew = 4096;
  if (present.high < first || present.low > last) return std::nullopt;
  const auto size = [](const KernelPortRange& r) {
    return r.high < r.low ? 0 : r.high - r.low + 1;
  };
  const auto larger = [&](const KernelPortRange& a, const KernelPortRange& b) {
    return size(a) >= size(b) ? a : b;
  };
  const KernelPortRange kept =
      larger({present.low, first == 0 ? 0 : first - 1u}, {last + 1u, present.high});
  if (size(kept) >= kFew) return kept;
  // Daemons listen below 10000, mostly: a connection should not have taken their port when they
  // start.
  const std::uint32_t low = first >= 10000 + kFew ? 10000 : 1024;
  const KernelPortRange moved = larger({low, first == 0 ? 0 : first - 1u}, {last + 1u, 65535});
  return larger(kept, moved);
}

void keep_kernel_off_ports(std::uint16_t first, std::uint16_t last) {
  const std::string name = "net/ipv4/ip_local_port_range";
  KernelPortRange present{};
  std::istringstream text(read_sysctl(name).value_or(""));
  if (!(text >> present.low >> present.high)) return;
  const auto beside = range_beside(present, first, last);
  if (!beside) return;
  if (beside->high < beside->low) {
    spdlog::warn(
        "NAT takes every port, the gateway's own connections will share them: narrow "
        "dataplane.nat.firstPort and lastPort first={} last={}",
        first, last);
    return;
  }
  set_sysctl(name, std::to_string(beside->low) + "\t" + std::to_string(beside->high));
}

}  // namespace sluice
