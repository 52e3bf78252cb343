// ForwardingState: what to do with packets to VIPs, immutable, one per generation. Blocks (a VIP with its
// Maglev table, pages of backends and of the VIP hash) are shared between generations, so that a change
// costs its own VIP.
//
// Thread: built by StateBuilder on the server's thread; read by workers; freed after a grace period.
// Errors: StateBuilder::build says what is wrong and leaves the base as it was.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/packet/family.h"
#include "dataplane/table/connection_table.h"
#include "proto/address.h"
#include "proto/result.h"

namespace sluice {

enum class Mode : std::uint8_t { nat, dsr_mac };

struct BackendRecord {
  std::uint32_t id = 0;
  Be16 port{};
  std::uint8_t address_bytes = 0;                // 4 or 16; 0: no such backend.
  std::uint8_t address[16] = {};                 // Network order.
  template <typename Family>
  typename Family::Address as() const {
    typename Family::Address a;
    std::memcpy(a.data(), address, Family::kAddressBytes);
    return a;
  }
};

struct VipBlock {
  IpAddress address;
  std::uint8_t protocol = 0;
  Be16 port{};
  Mode mode = Mode::nat;
  std::uint32_t id = 0;           // Of (address, protocol).
  std::uint32_t counter = 0;      // Index of its counters; below the capacity of VIPs.
  FlowTimers timers;
  std::string service;            // For people.
  std::vector<std::uint32_t> maglev;  // Backend id per slot; empty: no usable backend.
  // Members in order, for report, trace and `describe`.
  struct Member {
    std::uint32_t backend = 0, weight = 0;
    bool draining = false, masked = false;
  };
  std::vector<Member> members;
  bool any_masked = false;        // Then a slot's backend must be checked against masked().
};

// Whether unserved ports of a served address are answered (RST, ICMP) or silently dropped.
enum class Unserved : std::uint8_t { reject, drop };

class ForwardingState {
 public:
  // The address part of a lookup: who owns the destination address of a packet.
  struct AddressEntry {
    bool served = false;          // A VIP address of ours.
    Unserved unserved = Unserved::reject;
  };
  template <typename Family>
  std::uint32_t vip_hash(const typename Family::Address& address, std::uint8_t protocol, Be16 port) const;
  void prefetch_vip(std::uint32_t hash) const;
  template <typename Family>
  const VipBlock* find_vip(const typename Family::Address& address, std::uint8_t protocol, Be16 port,
                           std::uint32_t hash) const;
  // For packets that found no VIP: is the address itself served?
  template <typename Family>
  AddressEntry find_address(const typename Family::Address& address) const;
  // nullptr when the id is unknown or retired: flows to it are forgotten.
  const BackendRecord* backend(std::uint32_t id) const;
  std::uint64_t generation() const;

  // H5: the rest is yours. Iteration for report and statistics; no virtual call, no lock.
};

}  // namespace sluice
