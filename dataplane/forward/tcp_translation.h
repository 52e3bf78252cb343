// What full NAT does to TCP beside addresses and ports: timestamps by one clock, a PROXY protocol
// header in the stream, and with it sequence numbers, acknowledgments, SACK and MSS.
//
// A flow keeps a TcpTranslation of a few bytes. It changes when a packet is seen (begin, saw_...);
// rewriting a packet only reads it, so a copy taken when the packet was seen is right whatever
// comes after.
//
// Timestamps: all flows to a backend show one clock, the gateway's at their SYN, so that a backend
//   that still holds an older connection of the same NAT port in TIME-WAIT takes the new SYN, from
//   whichever client it is.
// PROXY header: it rides on the client's segments that begin at ISN + 1, the handshake's ACK first,
//   until the backend has acknowledged past it: the client's own retransmissions and ACKs repeat
//   it, and it needs neither data of the client nor a timer here. Everything behind it is later in
//   the backend's sequence numbers by its size.
// Requires: the whole TCP header lies in the bytes given (header_bytes() of it).
// Thread: any, pure; the flow's worker owns its state. Ownership: the caller's bytes. Units: bytes;
//   sequence numbers in host order. Errors: see insert_proxy_header().
// Sources: RFC 9293, 7323 (timestamps), 6191 (TIME-WAIT by timestamps), 2018, 2883 (SACK), PROXY
//   protocol specification 2.2.
#pragma once

#include <cstdint>

#include "dataplane/packet/headers.h"
#include "dataplane/packet/proxy_protocol.h"
#include "dataplane/packet/tcp_options.h"

namespace sluice {

struct __attribute__((packed)) TcpTranslation {
  enum Flag : std::uint8_t {
    kTimestamps = 1,
    kProxyIpv4 = 2,  // A header of this family goes in front.
    kProxyIpv6 = 4,
    kHeaderAcknowledged = 8,
    kFar = 16,  // The stream is so far on that a number near its start has come round.
  };
  std::uint32_t client_isn = 0;
  std::uint32_t timestamp_delta = 0;  // The gateway's clock less the client's.
  std::uint8_t flags = 0;

  bool any() const { return flags != 0; }
  bool timestamps() const { return (flags & kTimestamps) != 0; }
  std::uint32_t header_bytes() const {
    if ((flags & (kProxyIpv4 | kProxyIpv6)) == 0) return 0;
    return (flags & kProxyIpv4) != 0 ? kProxyHeaderBytes<Ipv4> : kProxyHeaderBytes<Ipv6>;
  }
  bool acknowledged() const { return (flags & kHeaderAcknowledged) != 0; }

  std::uint32_t sequence_for_backend(std::uint32_t client) const;
  std::uint32_t acknowledgment_for_client(std::uint32_t backend) const;
};
static_assert(sizeof(TcpTranslation) == 9);

// From the client's SYN. `milliseconds`: the gateway's clock, the same on all gateways and workers.
template <typename Family>
TcpTranslation begin_tcp_translation(std::uint8_t* tcp, bool proxy, std::uint32_t milliseconds);

// A packet of the backend without SYN was seen, that acknowledges so much.
void saw_backend_acknowledgment(TcpTranslation& translation, std::uint32_t acknowledgment);

// Whether the header is to be put into this packet of the client's.
bool carries_proxy_header(const TcpTranslation& translation, const std::uint8_t* tcp);

// Numbers and options; not the PROXY header, which is to come after.
void translate_tcp_to_backend(const TcpTranslation& translation, std::uint8_t* tcp);
void translate_tcp_to_client(const TcpTranslation& translation, std::uint8_t* tcp);

// Puts the header behind the TCP header: that and all before it move to the front by
// kProxyHeaderBytes, which must be there to be written; the payload stays. Addresses are still
// those of client and VIP, or have been changed: only lengths and checksums are touched. `l3` and
// `l4` are offsets from `frame`, and hold for the new one too. Gives where the frame begins now.
// Errors: nullptr when the packet would exceed 65,535 bytes; nothing has changed then.
template <typename Family>
std::uint8_t* insert_proxy_header(std::uint8_t* frame, std::uint32_t l3, std::uint32_t l4,
                                  const Endpoint<Family>& client, const Endpoint<Family>& vip);

// The largest segment that fits `mtu`, of which `overhead` bytes are taken by what the gateway
// adds.
template <typename Family>
std::uint16_t mss_for(std::uint32_t mtu, std::uint32_t overhead) {
  const std::uint32_t headers = sizeof(IpHeader<Family>) + sizeof(TcpHeader) + overhead;
  constexpr std::uint32_t kLeast = 64;  // Less would be a mistake, and no connection could live.
  if (mtu < headers + kLeast) return kLeast;
  const std::uint32_t mss = mtu - headers;
  return static_cast<std::uint16_t>(mss < 0xffff ? mss : 0xffff);
}

// Of a SYN or SYN-ACK.
void clamp_tcp_mss(std::uint8_t* tcp, std::uint16_t limit);

}  // namespace sluice
