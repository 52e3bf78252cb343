// NAT64: a packet of one family becomes one of the other, with other addresses and ports; and an
// ICMP error with the packet it quotes.
//
// Requires: the parser accepted the packet. Options, and extension headers but for fragments, do
//   not cross. Thread: any, pure. Ownership: the caller's bytes. Units: bytes; offsets from the
//   Ethernet header.
// Checksums of TCP and UDP are updated by what changed: one that was wrong stays wrong.
// Errors: a DropReason; the packet is unchanged then.
// Sources: RFC 7915 (4.1, 4.2 and 4.5 from IPv4; 5.1 and 5.2 from IPv6), 6146 3.5, 6864 (ids), 4884
// (extended
//   errors: the extensions do not cross).
#pragma once

#include <cstdint>

#include "dataplane/forward/drop_reason.h"
#include "dataplane/packet/icmp_error.h"
#include "dataplane/packet/rewrite.h"

namespace sluice {

template <typename Family>
struct OtherFamily;
template <>
struct OtherFamily<Ipv4> {
  using Type = Ipv6;
};
template <>
struct OtherFamily<Ipv6> {
  using Type = Ipv4;
};
template <typename Family>
using Other = typename OtherFamily<Family>::Type;

// A frame without VLAN tags, and where what lies in it.
struct CrossingFrame {
  std::uint8_t* frame = nullptr;
  std::uint32_t headroom = 0;  // Bytes that may be written before frame.
  std::uint32_t length = 0;    // Contiguous bytes at frame.
  std::uint32_t l3 = 0, l4 = 0, end = 0;
  std::uint8_t protocol = 0;  // TCP or UDP.
};

// By how many bytes a packet of `Family` with this header grows when it crosses; it may be less
// than 0.
template <typename Family>
std::int32_t crossing_growth(const std::uint8_t* l3, std::uint32_t header_bytes);

// The packet, a whole one or a fragment, goes from `source` to `destination` afterwards, one hop
// older. What is behind layer 3 stays in place; frame, headroom, length and offsets are the new
// ones then, the EtherType is right, MACs are to be written. `id`: of a
// fragment, IPv4 takes its lower half; or the IPv4 id of a packet that may be fragmented later on.
// Errors: tunnel_headroom; udp_no_checksum (RFC 7915 4.5: without one a packet cannot cross to IPv6
//   unless all of it is at hand to compute it).
template <typename From>
DropReason cross(CrossingFrame& packet, const Endpoint<Other<From>>& source,
                 const Endpoint<Other<From>>& destination, std::uint32_t id);

// Writes the error that lies at `error`, and quotes `quote`, as one of the other family to `out`,
// from its IP header on, one hop older. `translation` is in terms of the other family, `id` as
// above. Gives its length; 0: it has no meaning there, or does not fit into `room`, at most
// kMostErrorBytes.
inline constexpr std::uint32_t kMostErrorBytes = 1280;
template <typename From>
std::uint32_t cross_error(const CrossingFrame& error, const Quote<From>& quote,
                          const ErrorTranslation<Other<From>>& translation, std::uint16_t id,
                          std::uint8_t* out, std::uint32_t room);

// Type, code and the four bytes behind the checksum.
struct IcmpMeaning {
  std::uint8_t type = 0, code = 0;
  std::uint32_t rest = 0;
};
// False: it has none in the other family. MTUs are moved by the 20 bytes between the headers, and
// are at least what a path must have.
template <typename From>
bool cross_meaning(const IcmpMeaning& from, std::uint32_t quoted_bytes, IcmpMeaning& to);

}  // namespace sluice
