// TCP options: a bounded walk over them, and the changes a gateway makes to MSS, timestamps, SACK
// and Fast Open, in place.
//
// Requires: header_bytes() of the TCP header lie within the caller's bytes, and are at least 20.
// Thread: any, pure. Ownership: the caller's bytes. Units: host order where a number is given.
// Errors: what stands behind a malformed option is left as it is; the receiver judges it.
// Checksums: what changed is added to a ChecksumDelta, which the caller applies once.
// Sources: RFC 9293 3.1 (options) and 3.7.1 (MSS), 6691, 7323 (timestamps), 2018 and 2883 (SACK),
//   7413 (Fast Open), 6994 (experiments).
#pragma once

#include <cstdint>
#include <cstring>

#include "dataplane/packet/checksum.h"
#include "dataplane/packet/headers.h"

namespace sluice {

inline constexpr std::uint8_t kTcpOptionEnd = 0, kTcpOptionNop = 1, kTcpOptionMss = 2,
                              kTcpOptionSack = 5, kTcpOptionTimestamps = 8, kTcpOptionFastOpen = 34,
                              kTcpOptionExperiment = 254;
inline constexpr std::uint32_t kTcpTimestampsBytes = 10;

// visit(option, bytes) for each option but NOP; `bytes` counts its kind and length, and is at least
// 2.
template <typename Visit>
void for_each_tcp_option(std::uint8_t* tcp, Visit visit) {
  const std::uint32_t end = reinterpret_cast<const TcpHeader*>(tcp)->header_bytes();
  std::uint32_t at = sizeof(TcpHeader);
  while (at < end && tcp[at] != kTcpOptionEnd) {
    if (tcp[at] == kTcpOptionNop) {
      ++at;
      continue;
    }
    if (at + 2 > end) return;
    const std::uint32_t bytes = tcp[at + 1];
    if (bytes < 2 || at + bytes > end) return;
    visit(tcp + at, bytes);
    at += bytes;
  }
}

// The timestamps option; nullptr: there is none. The layout that nearly all segments have is one
// comparison.
inline std::uint8_t* find_tcp_timestamps(std::uint8_t* tcp) {
  constexpr std::uint8_t kUsual[4] = {kTcpOptionNop, kTcpOptionNop, kTcpOptionTimestamps,
                                      kTcpTimestampsBytes};
  const std::uint32_t header = reinterpret_cast<const TcpHeader*>(tcp)->header_bytes();
  if (header == sizeof(TcpHeader)) return nullptr;
  if (header >= sizeof(TcpHeader) + 12 && std::memcmp(tcp + sizeof(TcpHeader), kUsual, 4) == 0)
      [[likely]]
    return tcp + sizeof(TcpHeader) + 2;
  std::uint8_t* found = nullptr;
  for_each_tcp_option(tcp, [&found](std::uint8_t* option, std::uint32_t bytes) {
    if (option[0] == kTcpOptionTimestamps && bytes == kTcpTimestampsBytes) found = option;
  });
  return found;
}

// Writes the number over the four bytes at `field`, which lie in the segment that begins at `tcp`.
void replace_number(std::uint8_t* tcp, std::uint8_t* field, std::uint32_t number,
                    ChecksumDelta& delta);

// Towards one side a clock is shifted, towards the other its echo. An echo of zero stays: nothing
// is echoed then.
void shift_timestamps(std::uint8_t* tcp, std::uint32_t value, std::uint32_t echo,
                      ChecksumDelta& delta);

// No MSS option names more than `limit` bytes afterwards.
void clamp_mss(std::uint8_t* tcp, std::uint16_t limit, ChecksumDelta& delta);

// Each edge of each SACK block becomes edge_of(edge).
template <typename EdgeOf>
void translate_sack(std::uint8_t* tcp, EdgeOf edge_of, ChecksumDelta& delta) {
  for_each_tcp_option(tcp, [&](std::uint8_t* option, std::uint32_t bytes) {
    if (option[0] != kTcpOptionSack) return;
    for (std::uint32_t at = 2; at + 4 <= bytes; at += 4)
      replace_number(tcp, option + at, edge_of(read32(option + at)), delta);
  });
}

// Fast Open options, the experiment's too, become NOPs: no data is taken from the SYN then, and it
// comes again.
void remove_fast_open(std::uint8_t* tcp, ChecksumDelta& delta);

inline void apply_tcp(std::uint8_t* tcp, const ChecksumDelta& delta) {
  auto& header = *reinterpret_cast<TcpHeader*>(tcp);
  header.checksum = delta.apply(header.checksum);
}

}  // namespace sluice
