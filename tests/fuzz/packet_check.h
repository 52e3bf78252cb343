// What must hold of a packet the pipeline has sent, against the packet as it came: it parses, is
// untagged, carries the same payload, and has right checksums wherever it had them.
// Thread: any. Errors: FUZZ_CHECK.
#pragma once

#include "dataplane/forward/burst.h"
#include "dataplane/packet/parse.h"
#include "tests/unit/packet/packets.h"

namespace sluice::fuzz {

struct Seen {  // A packet as the parser sees it.
  PacketKind kind = PacketKind::refused;
  std::uint32_t l3 = 0, l4 = 0, end = 0;
  std::uint8_t protocol = 0, vlan_tags = 0;
  Be16 source_port{}, destination_port{};
  bool fragment_or_routed = false;

  bool has_ports() const { return protocol == kProtocolTcp || protocol == kProtocolUdp; }
};
Seen parse(const test::Bytes& present, std::uint32_t total_length);

// Puts right the IPv4 header's checksum and, where the whole packet is there, that of TCP or UDP.
void repair(test::Bytes& packet);

// What the receiver of a TCP or UDP packet would answer; TCP with these flags.
test::Bytes reply_to(const test::Bytes& packet, std::uint8_t tcp_flags);

// A packet forwarded by NAT or direct return. `whole`: `after` is all of it, not its first buffer.
void check_forwarded(const test::Bytes& before, const test::Bytes& after, bool whole,
                     std::uint32_t total_length);
// What came in is treated by other rules than whole packets of TCP and UDP.
bool is_fragment_or_icmp(const test::Bytes& before, std::uint32_t total_length);
void check_parses(const test::Bytes& after, std::uint32_t total_length);
// A refused packet's answer.
void check_answer(const test::Bytes& after);

}  // namespace sluice::fuzz
