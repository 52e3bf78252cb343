// NatSourceTable: which addresses the gateway translates to: those configured, else its own, the
// first usable global address of each family on each port. A choice is kept while the address
// lives, since flows hang on it; a number is given again only after all others have been. Thread:
// one. Ownership: by value. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "dataplane/forward/routing.h"
#include "dataplane/kernel/mirror.h"

namespace sluice {

class NatSourceTable {
 public:
  static constexpr std::size_t kMaxPerFamily = 64;
  static constexpr std::uint32_t kNumbers = 1024;

  // `configured`: not empty: these alone.
  NatSourceTable(std::span<const MirrorPort> ports, std::vector<IpAddress> configured,
                 std::uint16_t first_port, std::uint16_t last_port);

  void apply(const KernelEvent& event);
  void begin_dump();
  void end_dump(bool complete);
  // Addresses that are VIPs are never sources, also if they stand on a TAP.
  void set_served(const std::vector<IpAddress>& addresses);

  // What is to be published, if it differs from what was last returned.
  std::unique_ptr<const NatSources> update();

 private:
  struct Own {
    AddressEvent address;
    bool told = true;  // By the dump under way.
  };
  struct Slot {  // One choice: of a family on a port.
    std::uint16_t port;
    bool v4;
    auto operator<=>(const Slot&) const = default;
  };
  bool usable(const AddressEvent& address) const;
  std::uint32_t number_of(const IpAddress& address);
  void choose(const MirrorPort& port, bool v4);

  std::vector<MirrorPort> ports_;
  std::vector<IpAddress> configured_;
  std::uint16_t first_port_, last_port_;
  std::set<IpAddress> served_;
  std::vector<Own> own_;  // In the order the kernel told them.
  std::map<Slot, IpAddress> chosen_, published_;
  std::map<IpAddress, std::uint32_t> numbers_;  // Of the chosen ones.
  std::uint32_t next_number_ = 0;
  bool first_ = true;
};

}  // namespace sluice
