// What pipeline_fuzz makes of packets before they are sent: right checksums, which mutation would
// never find, and what others would answer to a packet that was sent.
// Thread: any. Errors: no packet (empty) where there is nothing to answer.
#pragma once

#include "tests/fuzz/packet_check.h"

namespace sluice::fuzz {

// Puts right the IPv4 header's checksum and, where the whole packet is there, that of its
// transport.
void repair(test::Bytes& packet);

// What the receiver of a packet with ports would answer; TCP with these flags.
test::Bytes reply_to(const test::Bytes& packet, std::uint8_t tcp_flags);

// What a router on a packet's way would say of it. `which`: its lower three bits choose the error,
// the others how much is quoted. `mtu` for those that name one.
test::Bytes error_about(const test::Bytes& packet, std::uint8_t which, std::uint16_t mtu);

}  // namespace sluice::fuzz
