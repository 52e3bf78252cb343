// Frame: the little the slow path needs to know of a packet's headers. Trusts nothing: every length
// is checked before it is used. Thread: any. Shapes: an Ethernet frame, any number of VLAN tags up
// to two.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "proto/address.h"

namespace sluice {

// Destination of the IPv4 or IPv6 header; nullopt: there is none.
std::optional<IpAddress> frame_destination(const std::uint8_t* frame, std::size_t length);

// What the network itself lives by, and a flood of anything else must not starve: ARP, neighbour
// discovery, link-local multicast (VRRP, OSPF), BGP, BFD.
bool frame_is_control(const std::uint8_t* frame, std::size_t length);

}  // namespace sluice
