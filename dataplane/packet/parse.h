// Parser: where the headers of each packet of a burst are, and what is wrong with it. Trusts
// nothing: every length is checked against the bytes present before it is used, and each refusal
// has its reason.
// It decides nothing about the packet: that is the pipeline's, which looks at `kind`.
//
// Thread: any, pure. Ownership: reads the packets, keeps nothing. Shapes: structure of arrays of
// kMaxBurst.
// Units: offsets in bytes from the Ethernet header. Errors: kind refused and a reason.
// Sources: IEEE 802.1Q/802.1ad, RFC 791, 1071, 8200, 6946 (atomic fragments), 1858 and 7112 (what a
//   first fragment must hold), 9293, 768.
#pragma once

#include <cstdint>

#include "dataplane/forward/drop_reason.h"
#include "dataplane/packet/family.h"

namespace sluice {

inline constexpr unsigned kMaxBurst = 64;
inline constexpr unsigned kMaxVlanTags = 2;
inline constexpr unsigned kMaxExtensionHeaders = 8;

enum class PacketKind : std::uint8_t {
  other,  // Not IP (ARP and whatever else): the kernel's.
  ipv4,
  ipv6,
  refused,  // reason says why.
};

// What there is of a transport header.
enum class Form : std::uint8_t {
  whole = 0,
  first_fragment,  // All of it, but not of what follows.
  later_fragment,  // Nothing.
  icmp_error,      // Of what the error quotes; the pipeline finds out, the parser leaves whole.
};

struct ParsedBurst {
  PacketKind kind[kMaxBurst];
  DropReason reason[kMaxBurst];  // For refused.
  // Well-formed, but not to be served if it is for a VIP: a routing header. none: servable.
  DropReason not_for_vip[kMaxBurst];
  Form form[kMaxBurst];
  unsigned unusual;  // Packets of the burst that are fragments or ICMP.
  std::uint8_t vlan_tags[kMaxBurst];
  bool group[kMaxBurst];         // The Ethernet destination is broadcast or multicast.
  std::uint16_t l3[kMaxBurst];   // Offset of the IP header.
  std::uint16_t l4[kMaxBurst];   // Offset of the transport header, behind options and extensions.
  std::uint16_t fragment[kMaxBurst];  // IPv6 fragments: offset of the fragment header.
  std::uint32_t end[kMaxBurst];  // Offset one past the IP packet; what follows is Ethernet padding.
  std::uint8_t protocol[kMaxBurst];   // Upper-layer protocol, behind extension headers.
  std::uint8_t tcp_flags[kMaxBurst];  // TCP only, else 0.
  Be16 source_port[kMaxBurst];        // TCP, UDP and SCTP; 0 for others and for later fragments.
  Be16 destination_port[kMaxBurst];
};

// Of the `count` packets that places[] names. `length`: contiguous bytes at data; `total_length`: of the whole packet, headers must lie in the
// former.
void parse_burst(const std::uint8_t* const* data, const std::uint32_t* length,
                 const std::uint32_t* total_length, const std::uint8_t* places, unsigned count,
                 ParsedBurst& out);

}  // namespace sluice
