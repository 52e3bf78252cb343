// Answers to refused packets, made in place in the same buffer: TCP RST, and ICMP or ICMPv6 errors
// (port unreachable, time exceeded, fragmentation needed or packet too big); and what limits their
// number. An answer comes from the address that the refused packet was sent to.
//
// Requires: the parser accepted the packet; no VLAN tags. Thread: any, pure; a AnswerBudget has
// one. Ownership: writes only the `room` bytes at data. MAC addresses are left for the next-hop
// stage. Units: bytes from the Ethernet header, without FCS. Errors: 0 when nothing may or can be
// sent; the packet is unchanged then. Sources: RFC 9293 3.10.7.1 (RST), RFC 792 and 1122 3.2.2, RFC
// 1812 4.3.2 (576 bytes; what is never answered), RFC 1191 (MTU), RFC 4443 2.4, 3.
#pragma once

#include <cstdint>

#include "dataplane/packet/family.h"

namespace sluice {

class AnswerBudget {
 public:
  explicit AnswerBudget(std::uint32_t per_second)
      : per_tick_((per_second + kTicksPerSecond - 1) / kTicksPerSecond),
        size_(per_second),
        tokens_(per_second) {}
  bool take(Ticks now);

 private:
  std::uint32_t per_tick_, size_, tokens_;
  Ticks last_ = 0;
};

struct AnswerFrame {
  std::uint8_t* data;
  std::uint32_t length;  // Contiguous bytes of the packet.
  std::uint32_t room;    // Bytes that may be written: length and the tailroom.
  std::uint32_t l3, l4, end;
  const std::uint8_t* from =
      nullptr;  // Address the answer comes from, if not that the packet went to.
};

// Whether the address is that of one host, that could receive an answer.
template <typename Family>
bool is_single_host(const typename Family::Address& address);

// All give the new length of the frame. answer_tcp() makes a RST, for TCP only, and answers no
// reset; answer_udp() makes a port unreachable. The errors are for whatever the caller may answer
// with one: no ICMP error, no later fragment, nothing that was sent to a group.
template <typename Family>
std::uint32_t answer_tcp(const AnswerFrame& frame);
template <typename Family>
std::uint32_t answer_udp(const AnswerFrame& frame);
template <typename Family>
std::uint32_t answer_time_exceeded(const AnswerFrame& frame);
// `mtu`: the longest packet that would have passed, as its sender counts.
template <typename Family>
std::uint32_t answer_too_big(const AnswerFrame& frame, std::uint32_t mtu);

// Writes the headers of an ICMP error at l3, about the packet of which `quoted` bytes lie behind
// them. `word`: what stands behind the checksum.
template <typename Family>
void write_error(std::uint8_t* l3, const typename Family::Address& from,
                 const typename Family::Address& to, std::uint8_t type, std::uint8_t code,
                 std::uint32_t word, std::uint32_t quoted);
// How much may be quoted at most.
template <typename Family>
inline constexpr std::uint32_t kMaxQuoted = Family::kAddressBytes == 4 ? 576 - 28 : 1280 - 48;

// The least MTU a path must have (RFC 8200 5, and 576 as hosts take it for IPv4), and so the least
// that is believed or told.
template <typename Family>
inline constexpr std::uint32_t kLeastMtu = Family::kAddressBytes == 4 ? 576 : 1280;

}  // namespace sluice
