// Answers to refused packets, made in place in the same buffer: TCP RST, and ICMP or ICMPv6 port
// unreachable; and what limits their number.
//
// Requires: the parser accepted the packet; no VLAN tags. Thread: any, pure; a AnswerBudget has one.
// Ownership: writes only the `room` bytes at data. MAC addresses are left for the next-hop stage.
// Units: bytes from the Ethernet header, without FCS.
// Errors: 0 when nothing may or can be sent; the packet is unchanged then.
// Sources: RFC 9293 3.10.7.1 (RST), RFC 792 and 1122 3.2.2, RFC 1812 4.3.2.3 (576 bytes), RFC 4443
// 2.4, 3.1.
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
};

// Whether the address is that of one host, that could receive an answer.
template <typename Family>
bool is_single_host(const typename Family::Address& address);

// Both give the new length of the frame; they refuse to answer resets and ICMP errors by their
// callers' choice of protocol: answer_tcp() gets TCP only, answer_udp() UDP only.
template <typename Family>
std::uint32_t answer_tcp(const AnswerFrame& frame);
template <typename Family>
std::uint32_t answer_udp(const AnswerFrame& frame);

}  // namespace sluice
