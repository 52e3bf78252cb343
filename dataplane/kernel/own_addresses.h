// OwnAddresses: the gateway's own address on each port, one of each family: the first usable global
// one. A choice is kept while the address lives, since flows hang on it.
// Thread: one. Ownership: by value. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "dataplane/kernel/kernel_event.h"
#include "dataplane/kernel/mirror.h"

namespace sluice {

class OwnAddresses {
 public:
  struct Slot {
    std::uint16_t port;  // DPDK port number.
    bool v4;
    auto operator<=>(const Slot&) const = default;
  };
  using Choice = std::map<Slot, IpAddress>;

  explicit OwnAddresses(std::span<const MirrorPort> ports);

  void apply(const KernelEvent& event);
  void begin_dump();
  void end_dump(bool complete);
  // Addresses that are VIPs are never sources, also if they stand on a TAP.
  void set_served(const std::vector<IpAddress>& addresses);

  const Choice& choose();

 private:
  struct Own {
    AddressEvent address;
    bool told = true;  // By the dump under way.
  };
  bool usable(const AddressEvent& address) const;
  void choose(const MirrorPort& port, bool v4);

  std::vector<MirrorPort> ports_;
  std::set<IpAddress> served_;
  std::vector<Own> own_;  // In the order the kernel told them.
  Choice chosen_;
};

}  // namespace sluice
