// ICMP and ICMPv6 errors about packets of ours: which packet is quoted, what its tuple is, and the
// translation of an error inside and out, so that path-MTU discovery works through a translation.
//
// Requires: the parser accepted the outer packet, whose IP header is at l3 and ICMP header at l4.
// Thread: any, pure. Ownership: reads, and where it says so rewrites, the caller's bytes.
// Units: offsets in bytes from the start of the frame; MTUs are bytes of layer 3.
// Errors: a quote that contradicts itself is refused as DropReason::icmp_quote. A quote that ends
//   early is no contradiction as long as eight bytes behind its IP headers are there.
// Checksums are updated by what changed: one that was wrong stays wrong.
// Sources: RFC 792, 1191, 1812 4.3.2.3, 4443, 4884 (padding behind the quote), 5508 (errors through
//   NAT).
#pragma once

#include <cstdint>

#include "dataplane/forward/drop_reason.h"
#include "dataplane/packet/family.h"
#include "dataplane/packet/headers.h"
#include "dataplane/packet/rewrite.h"

namespace sluice {

inline constexpr std::uint8_t kIcmpUnreachable = 3, kIcmpTimeExceeded = 11, kIcmpParameter = 12;
inline constexpr std::uint8_t kIcmpFragmentationNeeded = 4;  // Code of kIcmpUnreachable.
inline constexpr std::uint8_t kIcmp6Unreachable = 1, kIcmp6TooBig = 2, kIcmp6TimeExceeded = 3,
                              kIcmp6Parameter = 4;

template <typename Family>
constexpr std::uint8_t icmp_protocol() {
  return Family::kAddressBytes == 4 ? kProtocolIcmp : kProtocolIcmp6;
}

// Types that carry a quoted packet and are forwarded. Source quench (4) is deprecated (RFC 6633).
template <typename Family>
constexpr bool is_icmp_error(std::uint8_t type) {
  if constexpr (Family::kAddressBytes == 4) {
    return type == kIcmpUnreachable || type == kIcmpTimeExceeded || type == kIcmpParameter;
  } else {
    return type >= kIcmp6Unreachable && type <= kIcmp6Parameter;
  }
}

// Whether an ICMP packet of this type must not be answered with an error: any that is one itself,
// and redirects.
template <typename Family>
constexpr bool never_answered(std::uint8_t type) {
  if constexpr (Family::kAddressBytes == 4) {
    return is_icmp_error<Family>(type) || type == 4 || type == 5;
  } else {
    return type < 128 || type == 137;
  }
}

// Fragmentation needed, or packet too big.
template <typename Family>
constexpr bool is_too_big(std::uint8_t type, std::uint8_t code) {
  if constexpr (Family::kAddressBytes == 4) {
    return type == kIcmpUnreachable && code == kIcmpFragmentationNeeded;
  } else {
    return type == kIcmp6TooBig;
  }
}

// The packet that an error quotes.
template <typename Family>
struct Quote {
  std::uint32_t l3 = 0;   // Its IP header,
  std::uint32_t l4 = 0;   // and what is behind it, options and extension headers.
  std::uint32_t end = 0;  // One past the last byte of it that is there.
  std::uint8_t protocol = 0;
  bool later_fragment = false;  // Then there are no ports.
  typename Family::Address source{}, destination{};
  Be16 source_port{}, destination_port{};  // TCP, UDP and SCTP, else 0.

  bool has_ports() const {
    return !later_fragment &&
           (protocol == kProtocolTcp || protocol == kProtocolUdp || protocol == kProtocolSctp);
  }
};

// `l3`: where the quoted packet begins; `end`: one past what there is of it; `contiguous`: bytes at
// frame. Errors: icmp_quote, split_header.
template <typename Family>
DropReason find_quoted(const std::uint8_t* frame, std::uint32_t contiguous, std::uint32_t l3,
                       std::uint32_t end, Quote<Family>& out);
// The same by the ICMP header's offset, and the end of the IP packet that is the error.
template <typename Family>
DropReason find_quote(const std::uint8_t* frame, std::uint32_t contiguous, std::uint32_t l4,
                      std::uint32_t end, Quote<Family>& out) {
  return find_quoted<Family>(frame, contiguous, l4 + static_cast<std::uint32_t>(sizeof(IcmpHeader)),
                             end, out);
}

// What an error is to say once it is translated.
template <typename Family>
struct ErrorTranslation {
  Endpoint<Family> quoted_source, quoted_destination;
  typename Family::Address source{}, destination{};
  std::uint32_t sequence_delta = 0;  // Added to the quoted sequence number of TCP.
  bool ages = true;                  // One hop older; not one that was made here.
};

// Rewrites the error and its quote in place.
template <typename Family>
void translate_error(std::uint8_t* frame, std::uint32_t l3, std::uint32_t l4,
                     const Quote<Family>& quote, const ErrorTranslation<Family>& translation);

// The next hop's MTU of an error for which is_too_big() holds; 0: the router did not say.
template <typename Family>
std::uint32_t read_mtu(const std::uint8_t* icmp);
// IPv4 has 16 bits for it.
template <typename Family>
void write_mtu(std::uint8_t* icmp, std::uint32_t mtu);

// Whether the whole error is present and its checksum right: for who acts upon it itself. `length`:
// of the ICMP message.
template <typename Family>
bool icmp_checksum_right(const std::uint8_t* l3, const std::uint8_t* icmp, std::uint32_t length);

}  // namespace sluice
