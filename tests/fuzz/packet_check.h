// What must hold of a packet the pipeline has sent, against the packet as it came, in any mode: it
// parses, is untagged, carries the same payload, and has right checksums wherever it had them; the
// headers of tunnels and of the PROXY protocol are what they ought to be.
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
  bool fragment = false, routed = false;

  bool v4() const { return kind == PacketKind::ipv4; }
  bool has_ports() const {
    return protocol == kProtocolTcp || protocol == kProtocolUdp || protocol == kProtocolSctp;
  }
  bool is_icmp() const { return protocol == (v4() ? kProtocolIcmp : kProtocolIcmp6); }
};
Seen parse(const test::Bytes& present, std::uint32_t total_length);

// What there is of a packet in its first buffer, and the bytes it has in all.
struct Part {
  test::Bytes present;
  std::uint32_t total_length = 0;

  bool whole() const { return present.size() == total_length; }
};

// A packet that was not refused and went out.
void check_forwarded(const Part& before, const Part& after);
// A refused packet's answer.
void check_answer(const test::Bytes& after);

// Where the checksum of TCP, UDP or ICMP stands.
std::size_t checksum_at(const Seen& seen);
// Folded sum over pseudo header and transport bytes; 0xffff when the checksum in them is right.
unsigned transport_sum(const test::Bytes& packet, const Seen& seen);

}  // namespace sluice::fuzz
