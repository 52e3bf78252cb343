// SCTP: its common header, and its CRC32c kept right when ports change, without reading the rest.
//
// The CRC is linear: that of a packet with other ports is the old one xor that of the difference,
// which is zero but for its first four bytes. What those become after all the zeros behind them is
// a product of polynomials, found by squaring: the work does not depend on the packet's length.
// A wrong CRC stays wrong by the same difference. A CRC of zero means none (RFC 9653) and stays.
// Thread: any, pure. Ownership: the caller's bytes. Units: bytes. No errors.
// Sources: RFC 9260 3.1 and appendix A (CRC32c), RFC 9653.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/packet/family.h"
#include "dataplane/packet/headers.h"

namespace sluice {

struct SLUICE_WIRE SctpHeader {
  Be16 source_port;
  Be16 destination_port;
  std::uint8_t tag[4];
  std::uint8_t checksum[4];  // Lowest byte first.
};
static_assert(sizeof(SctpHeader) == 12);

// Of a whole packet whose own checksum field is zero, as a number.
std::uint32_t crc32c(const std::uint8_t* data, std::size_t bytes);

// Writes the ports and corrects the checksum; `bytes` is the length of the SCTP packet, at least
// its header's, at most 65,535.
void translate_sctp_ports(std::uint8_t* sctp, std::uint32_t bytes, Be16 source, Be16 destination);

}  // namespace sluice
