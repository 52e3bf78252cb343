// What the kernel tells by rtnetlink, as values: links, addresses, routes, neighbours, nexthop
// objects. Produced by netlink_parse, consumed by Mirror, PortFacts and VipInterface. Ownership:
// by value. Thread: any. Units: states and types are the kernel's own numbers
//   (RTN_*, NUD_*, RTNH_F_*, IFA_F_*).
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "proto/address.h"

namespace sluice {

struct LinkEvent {
  bool removed = false;
  int index = 0;
  std::string name;
  unsigned flags = 0;     // IFF_*.
  std::uint32_t mtu = 0;  // Bytes of layer 3; 0: not told.
};

struct AddressEvent {
  bool removed = false;
  int link = 0;
  IpAddress address;  // The link's own, also on a point-to-point link.
  unsigned prefix_length = 0;
  std::uint8_t scope = 0;   // RT_SCOPE_*.
  std::uint32_t flags = 0;  // IFA_F_*.
};

struct RouteHop {
  int link = 0;
  IpAddress gateway;         // size() 0: on link.
  std::uint32_t weight = 1;  // At least 1.
  bool dead = false;         // The kernel would not use it (dead, or link down).
  friend bool operator==(const RouteHop&, const RouteHop&) = default;
};

struct RouteEvent {
  bool removed = false;
  bool replace = false;  // NLM_F_REPLACE: takes the place of the route with its key.
  IpPrefix prefix;
  std::uint32_t table = 0;  // RT_TABLE_*.
  std::uint32_t metric = 0;
  std::uint8_t tos = 0;
  std::uint8_t type = 0;  // RTN_*.
  std::uint32_t nexthop_id =
      0;  // Of a nexthop object; then hops is empty or the kernel's copy of it.
  std::vector<RouteHop> hops;
};

struct NeighbourEvent {
  bool removed = false;
  int link = 0;
  IpAddress address;
  std::uint16_t state = 0;  // NUD_*.
  std::uint8_t mac[6] = {};
  bool has_mac = false;
  bool proxy = false;         // NTF_PROXY: not a neighbour, but an address answered for.
  std::uint8_t protocol = 0;  // Who made it (NDA_PROTOCOL); 0: unknown.
};

struct NexthopEvent {
  bool removed = false;
  std::uint32_t id = 0;
  bool blackhole = false;
  RouteHop hop;  // Of a single one.
  struct Member {
    std::uint32_t id = 0;
    std::uint32_t weight = 1;
  };
  std::vector<Member> group;  // Not empty: a group.
};

using KernelEvent = std::variant<LinkEvent, AddressEvent, RouteEvent, NeighbourEvent, NexthopEvent>;

}  // namespace sluice
