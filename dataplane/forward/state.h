// ForwardingState: what to do with packets to VIPs, immutable, one per generation. Pages and blocks
// (a VIP with its Maglev table) are shared between generations, so that a change costs its own VIP.
//
// Thread: built by StateBuilder (state_builder.h) on the server's thread; read by workers without a
// lock;
//   freed after a grace period. Ownership: pointers given out live as long as the state.
// Shapes: look-ups are two steps, so that a burst can prefetch all of its VIPs first: vip_hash()
// and
//   prefetch_vip(), then find_vip(). No virtual call, no division.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/forward/state_pages.h"
#include "dataplane/packet/family.h"
#include "dataplane/packet/quic.h"
#include "dataplane/table/connection_table.h"
#include "dataplane/table/maglev.h"
#include "proto/address.h"
#include "proto/result.h"

namespace sluice {

// How packets reach a VIP's backends: see dataplane/README.md.
enum class Mode : std::uint8_t { nat, dnat, dsr_mac, ipip, gue };
inline constexpr unsigned kModes = 5;
const char* name(Mode mode);  // "nat", "dnat", "dsr-mac", "ipip", "gue".

// Replies come back through the gateway.
constexpr bool translates(Mode mode) { return mode == Mode::nat || mode == Mode::dnat; }
// The client's packet goes whole into another one, to the backend itself.
constexpr bool encapsulates(Mode mode) { return mode == Mode::ipip || mode == Mode::gue; }

enum class OverlayKind : std::uint8_t { none, ipip, vxlan };

// One line of 32 bytes: all that a worker reads of a backend without an overlay.
struct alignas(32) BackendRecord {
  std::uint32_t id = 0;
  Be16 port{};
  std::uint8_t address_bytes = 0;  // 4 or 16; 0: no such backend.
  OverlayKind overlay = OverlayKind::none;
  std::uint8_t address[16] = {};  // Network order.
  // IPv4 as IPv6: mapped.
  template <typename Family>
  typename Family::Address as() const {
    if (Family::kAddressBytes > address_bytes) {
      if constexpr (Family::kAddressBytes == 16) return map_to_ipv6(as<Ipv4>());
    }
    typename Family::Address a;
    std::memcpy(a.data(), address, Family::kAddressBytes);
    return a;
  }
};

// The way to the node a backend runs on, through the cluster's overlay network.
struct alignas(32) OverlayRecord {
  OverlayKind kind = OverlayKind::none;
  std::uint8_t remote_bytes = 0;  // 4 or 16.
  Be16 port{};                    // VXLAN: UDP destination.
  std::uint32_t vni = 0;          // VXLAN.
  std::uint8_t mac[6] = {};       // VXLAN: destination of the inner frame.
  std::uint8_t remote[16] = {};   // Network order.
  friend bool operator==(const OverlayRecord&, const OverlayRecord&) = default;
};
static_assert(sizeof(OverlayRecord) == 32);

IpAddress address_of(const BackendRecord& record);  // Of one that is there.
std::string to_text(const BackendRecord& record);   // "backend 5 (10.0.0.1:8080)".

std::string protocol_name(std::uint8_t protocol);  // "TCP".

// What people and the Maglev hash know a backend by; not read by workers.
struct BackendInfo {
  std::string name;    // Canonical "ADDRESS:PORT".
  std::string target;  // "NAMESPACE/POD" or empty.
  friend bool operator==(const BackendInfo&, const BackendInfo&) = default;
};

// The first cache line is all a worker reads of a VIP.
struct alignas(64) VipBlock {
  IpAddress address;
  std::uint8_t protocol = 0;
  Be16 port{};
  Mode mode = Mode::nat;
  bool any_masked = false;  // For people: `maglev` already has the masked members replaced.
  bool proxy_protocol = false;
  bool quic = false;
  FlowTimers timers;
  std::uint32_t id = 0;       // Of (address, protocol).
  std::uint32_t counter = 0;  // Index of its counters; below the capacity of VIPs.
  // Backend id per slot, as new flows are to use it; empty: no usable backend. A view of `slots`.
  std::span<const std::uint32_t> maglev;

  std::string service;  // For people.
  // Members in order, for report, trace and `describe`.
  struct Member {
    std::uint32_t backend = 0, weight = 0;
    bool draining = false, masked = false;
    friend bool operator==(const Member&, const Member&) = default;
  };
  std::vector<Member> members;
  // With `quic`: what connection IDs call the members' backends, in ascending order.
  struct QuicServerName {
    std::uint8_t bytes = 0;
    std::uint64_t key = 0;
    std::uint32_t backend = 0;
    friend auto operator<=>(const QuicServerName&, const QuicServerName&) = default;
  };
  std::vector<QuicServerName> quic_servers;
  std::uint32_t maglev_size = 0;  // As control gave it; the size of `maglev` unless that is empty.
  // The table as every gateway builds it, and the one in use: the same vector while nothing is
  // masked.
  std::shared_ptr<const std::vector<std::uint32_t>> table, slots;
};

// Whether unserved ports of a served address are answered (RST, ICMP) or silently dropped.
enum class Unserved : std::uint8_t { reject, drop };

struct AddressBlock {
  IpAddress address;
  Unserved unserved = Unserved::reject;
  // The ids of its (address, protocol) pairs and how many VIPs each has, while it has any.
  struct Use {
    std::uint8_t protocol = 0;
    std::uint32_t id = 0, vips = 0;
  };
  std::vector<Use> uses;
};

// What the id of an (address, protocol) pair stands for; vips is 0 for an id that is not given.
struct VipIdentity {
  IpAddress address;
  std::uint8_t protocol = 0;
  std::uint32_t vips = 0;
};

// Where DNAT backends answer from: packets from there belong to flows.
struct DnatEndpoint {
  IpAddress address;
  std::uint8_t protocol = 0;
  Be16 port{};
  std::uint32_t uses = 0;  // Members of DNAT VIPs.
};

class ForwardingState {
 public:
  // The address part of a lookup: who owns the destination address of a packet.
  struct AddressEntry {
    bool served = false;  // A VIP address of ours.
    Unserved unserved = Unserved::reject;
  };

  template <typename Family>
  static std::uint32_t vip_hash(const typename Family::Address& address, std::uint8_t protocol,
                                Be16 port) {
    return hash_of<Family>(address.data(), protocol, port);
  }
  void prefetch_vip(std::uint32_t hash) const { vips_.prefetch(hash); }
  template <typename Family>
  static bool is_vip(const VipBlock& vip, const typename Family::Address& address,
                     std::uint8_t protocol, Be16 port) {
    return vip.port == port && vip.protocol == protocol && is<Family>(vip.address, address);
  }
  using VipView = PagedHash<VipBlock>::View;  // prefetch() and candidate() of a whole burst.
  VipView vip_view() const { return vips_.view(); }
  // Begins to load the block; for find_vip() of the same hash.
  const VipBlock* vip_candidate(std::uint32_t hash) const { return vips_.candidate(hash); }
  template <typename Family>
  const VipBlock* find_vip(const typename Family::Address& address, std::uint8_t protocol,
                           Be16 port, std::uint32_t hash, const VipBlock* candidate) const {
    if (candidate == nullptr) return nullptr;
    if (is_vip<Family>(*candidate, address, protocol, port)) [[likely]]
      return candidate;
    return find_vip<Family>(address, protocol, port, hash);
  }
  template <typename Family>
  const VipBlock* find_vip(const typename Family::Address& address, std::uint8_t protocol,
                           Be16 port, std::uint32_t hash) const {
    return vips_.find(hash, [&](const VipBlock& vip) {
      return vip.port == port && vip.protocol == protocol && is<Family>(vip.address, address);
    });
  }
  // For packets that found no VIP: is the address itself served?
  template <typename Family>
  AddressEntry find_address(const typename Family::Address& address) const {
    const AddressBlock* block = addresses_.find(
        hash_of<Family>(address.data(), 0, Be16{}),
        [&](const AddressBlock& entry) { return is<Family>(entry.address, address); });
    return block == nullptr ? AddressEntry{} : AddressEntry{true, block->unserved};
  }
  bool has_dnat() const { return dnat_.size() != 0; }
  // Is it one that a DNAT VIP's members stand for?
  template <typename Family>
  bool is_dnat_endpoint(const typename Family::Address& address, std::uint8_t protocol,
                        Be16 port) const {
    return dnat_.find(hash_of<Family>(address.data(), protocol, port),
                      [&](const DnatEndpoint& e) {
                        return e.port == port && e.protocol == protocol &&
                               is<Family>(e.address, address);
                      }) != nullptr;
  }
  // nullptr when the id is unknown or retired: flows to it are forgotten.
  const BackendRecord* backend(std::uint32_t id) const {
    const BackendRecord* record = backends_.find(id);
    return record != nullptr && record->address_bytes != 0 ? record : nullptr;
  }
  // Its place, whether there is such a backend or not; nullptr: there is no place.
  const BackendRecord* backend_record(std::uint32_t id) const { return backends_.find(id); }
  void prefetch_backend(std::uint32_t id) const {
    if (const BackendRecord* record = backends_.find(id)) prefetch_line(record);
  }
  // nullptr unless backend(id) says that it has one.
  const OverlayRecord* overlay(std::uint32_t id) const { return overlays_.find(id); }
  // The backend of a new flow; nullptr when the VIP has none that is usable.
  const BackendRecord* choose(const VipBlock& vip, std::uint64_t flow_hash) const {
    if (vip.maglev.empty()) return nullptr;
    return backend(
        vip.maglev[maglev_slot(flow_hash, static_cast<std::uint32_t>(vip.maglev.size()))]);
  }
  // The backend that a QUIC connection ID names, also one that is draining; nullptr: none of the
  // VIP's.
  const BackendRecord* quic_backend(const VipBlock& vip, const QuicServer& server) const;
  std::uint64_t generation() const { return generation_; }
  // No other state of this process has it: generations come again where only masks change.
  std::uint64_t serial() const { return serial_; }
  // Keys flow_hash(); the same on every gateway of a cluster.
  std::uint64_t maglev_seed() const { return maglev_seed_; }

  // Off the hot path: from a connection table's key back to its VIP; nullptr when there is none any
  // more.
  const VipIdentity* identity(std::uint32_t vip_id) const {
    const VipIdentity* identity = identities_.find(vip_id);
    return identity != nullptr && identity->vips != 0 ? identity : nullptr;
  }
  const VipBlock* find_vip(std::uint32_t vip_id, Be16 port) const;
  const VipBlock* find_vip(const IpAddress& address, std::uint8_t protocol, Be16 port) const;
  const AddressBlock* find_address(const IpAddress& address) const;
  const BackendInfo* backend_info(std::uint32_t id) const;

  std::size_t vip_count() const { return vips_.size(); }
  std::size_t address_count() const { return addresses_.size(); }
  std::size_t backend_count() const { return backend_count_; }
  std::uint32_t backend_end() const { return backends_.end(); }  // Above the highest backend id.
  // visit(const VipBlock&), in no order that means anything.
  template <typename Visit>
  void for_each_vip(Visit visit) const {
    vips_.for_each([&](const auto& block) { visit(*block); });
  }
  // visit(const AddressBlock&).
  template <typename Visit>
  void for_each_address(Visit visit) const {
    addresses_.for_each([&](const auto& block) { visit(*block); });
  }
  // visit(const BackendRecord&), in ascending order of id.
  template <typename Visit>
  void for_each_backend(Visit visit) const {
    for (std::uint32_t id = 0; id < backends_.end(); ++id) {
      if (const BackendRecord* record = backend(id)) visit(*record);
    }
  }

 private:
  friend class StateBuilder;

  // Fixed, not keyed: look-ups add nothing, and whoever serves chooses what is in the table.
  template <typename Family>
  static std::uint32_t hash_of(const std::uint8_t* address, std::uint8_t protocol, Be16 port) {
    std::uint64_t h = (std::uint64_t{port.raw} << 8 | protocol) * 0x9e3779b97f4a7c15u;
    for (std::size_t at = 0; at < Family::kAddressBytes; at += 4) {
      std::uint32_t word;
      std::memcpy(&word, address + at, sizeof(word));
      h = (h ^ word) * 0xff51afd7ed558ccdu;
      h ^= h >> 32;
    }
    h *= 0xc4ceb9fe1a85ec53u;
    return static_cast<std::uint32_t>(h >> 32);
  }
  static std::uint32_t hash_of(const IpAddress& address, std::uint8_t protocol, Be16 port) {
    return address.is_v4() ? hash_of<Ipv4>(address.data(), protocol, port)
                           : hash_of<Ipv6>(address.data(), protocol, port);
  }
  template <typename Family>
  static bool is(const IpAddress& a, const typename Family::Address& b) {
    return a.size() == Family::kAddressBytes &&
           std::memcmp(a.data(), b.data(), Family::kAddressBytes) == 0;
  }

  std::uint64_t generation_ = 0, serial_ = 0, maglev_seed_ = 0;
  PagedHash<VipBlock> vips_;
  PagedHash<AddressBlock> addresses_;
  PagedHash<DnatEndpoint> dnat_;
  PagedArray<BackendRecord> backends_;
  PagedArray<OverlayRecord, 6> overlays_;
  PagedArray<VipIdentity> identities_;
  // Not read by workers.
  PagedArray<std::shared_ptr<const BackendInfo>> infos_;
  PagedArray<std::uint32_t> backend_uses_;  // VIPs that name the backend.
  std::size_t backend_count_ = 0;
  std::uint64_t member_count_ = 0, slot_count_ = 0;  // Of all VIPs, for the limits.
};

}  // namespace sluice
