// Netlink: a dialogue with the kernel's rtnetlink: dumps, notifications, and the few changes the
// slow path makes (addresses of VIPs, neighbours to resolve).
//
// Thread: one. Ownership: owns its two sockets. Requests block for the kernel's answer
// (microseconds),
//   at most two seconds. Errors: text says which request and the kernel's reason.
// Works in the network namespace of the thread that opened it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "dataplane/kernel/kernel_event.h"
#include "proto/result.h"

namespace sluice {

class Netlink {
 public:
  using Sink = std::function<void(const KernelEvent&)>;

  static Result<std::unique_ptr<Netlink>> open();
  ~Netlink();

  // Becomes readable when there are notifications.
  int event_fd() const;
  // Everything as it is now: links, addresses, nexthop objects, routes, neighbours.
  Status dump(const Sink& sink);
  // IPv6 and IPv4 addresses answered for on behalf of others (`ip neigh show proxy`).
  Status dump_proxies(const Sink& sink);
  // Notifications that have arrived, at most `limit`. False: some were lost, dump again.
  bool read_events(const Sink& sink, unsigned limit = 4096);

  // Addresses /32 or /128 without duplicate address detection; IPv6 ones are deprecated, so that
  // the kernel never picks them for connections of its own. Existing and absent ones are no error.
  Status add_host_address(int link, const IpAddress& address);
  Status remove_host_address(int link, const IpAddress& address);

  // A link of the type ("dummy", "bridge"); an existing one of the name is an error.
  Status add_link(const std::string& name, const char* type);
  Status set_link_up(int link);

  // Starts resolution of the neighbour; `managed`: and the kernel keeps it resolved, until it is
  // asked again without.
  Status resolve_neighbour(int link, const IpAddress& address, bool managed);
  // Proxy neighbour entries are marked as ours by this protocol number.
  static constexpr std::uint8_t kProxyProtocol = 83;
  Status add_proxy(int link, const IpAddress& address);
  Status remove_proxy(int link, const IpAddress& address);

 private:
  struct Impl;
  explicit Netlink(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
