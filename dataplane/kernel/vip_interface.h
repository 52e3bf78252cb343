// VipInterface: the kernel interface that holds the addresses this gateway serves, so that the
// kernel answers ARP, neighbour solicitations and ping for them, and routing daemons can announce
// them. IPv4: the kernel answers ARP for any address it has on whichever link is asked. IPv6: it
// answers only for addresses of the link asked, so each VIP is also a proxy entry on each TAP.
//
// Thread: one. Ownership: borrows Netlink; interface and addresses stay in the kernel at its end.
// Errors: open() says what; what the kernel refuses later is logged and tried again by reconcile().
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/kernel/kernel_event.h"
#include "dataplane/kernel/netlink.h"
#include "proto/address.h"
#include "proto/result.h"

namespace sluice {

class VipInterface {
 public:
  // `pinned`: held whatever is served (addresses for NAT).
  VipInterface(Netlink& netlink, std::string name, std::vector<int> taps,
               std::vector<IpAddress> pinned);

  // Finds the interface or makes it: a dummy, or a bridge without ports where the kernel has no
  // dummy.
  Status open();
  // From a dump or a notification.
  void apply(const KernelEvent& event);
  // Around a dump: addresses that it does not tell are gone.
  void begin_dump();
  void end_dump(bool complete);

  // The whole set each time. Until the first call nothing is removed.
  void set_served(std::vector<IpAddress> addresses);
  bool holds(const IpAddress& address) const { return wanted_.contains(address); }
  // Brings the kernel to what is wanted; cheap when it is. False: something was refused, call
  // again.
  bool reconcile();

 private:
  using Proxy = std::pair<int, IpAddress>;
  bool reconcile_addresses();
  bool reconcile_proxies();
  void complain(const Status& status);

  Netlink& netlink_;
  std::string name_;
  std::vector<int> taps_;
  std::set<IpAddress> pinned_;
  int link_ = 0;
  bool served_known_ = false;
  std::set<IpAddress> wanted_;
  std::set<IpAddress> held_, held_before_dump_;  // By the kernel, as it told.
  std::set<Proxy> proxies_;                      // Ours, as the kernel holds them.
  bool changed_ = true;
};

}  // namespace sluice
