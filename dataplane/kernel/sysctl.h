// Settings of the kernel's network stack under /proc/sys/net, in the calling thread's network
// namespace. Thread: any. Errors: nothing here fails; what could not be set is logged with what
// will not work.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace sluice {

// `name` as a path below /proc/sys, for instance "net/ipv4/ip_forward".
std::optional<std::string> read_sysctl(const std::string& name);
// Writes only a value that differs, and logs what was before.
bool set_sysctl(const std::string& name, const std::string& value);

// What a TAP needs so that the kernel answers ARP and neighbour solicitations for addresses that
// are not the TAP's own (the VIPs), and takes packets from clients it has no route to by this TAP.
void prepare_tap_sysctls(const std::string& tap);

// Keeps the kernel's own connections off the ports set aside for NAT, by ip_local_port_range (both
// families). ip_local_reserved_ports would keep the range as it is, but a range reserved from end
// to end leaves the kernel no port at all, and scanning past reserved ports slows each connect().
// Sockets that are open keep their ports.
void keep_kernel_off_ports(std::uint16_t first, std::uint16_t last);

// The range the kernel should use instead of `low`..`high`; nullopt: they do not overlap. Prefers
// what is left of the present range, then the larger side of what is beside it.
struct KernelPortRange {
  std::uint32_t low, high;
  friend bool operator==(const KernelPortRange&, const KernelPortRange&) = default;
};
std::optional<KernelPortRange> range_beside(KernelPortRange present, std::uint16_t first,
                                            std::uint16_t last);

}  // namespace sluice
