// Packets for tests, made byte by byte and checked by code of their own, sharing nothing with the
// dataplane's rewrites but the header structs. Exact-length heap memory, so that the address
// sanitizer sees any read past a packet.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/packet/family.h"
#include "dataplane/packet/headers.h"
#include "proto/address.h"

namespace sluice::test {

using Bytes = std::vector<std::uint8_t>;

inline void put16(Bytes& b, unsigned v) {
  b.push_back(static_cast<std::uint8_t>(v >> 8));
  b.push_back(static_cast<std::uint8_t>(v));
}
inline void put32(Bytes& b, std::uint32_t v) {
  put16(b, v >> 16);
  put16(b, v & 0xffff);
}
inline unsigned get16(const Bytes& b, std::size_t at) {
  return b.at(at) << 8 | b.at(at + 1);
}
inline std::uint32_t get32(const Bytes& b, std::size_t at) {
  return get16(b, at) << 16 | get16(b, at + 2);
}

// RFC 1071, as plainly as it can be written.
inline unsigned plain_sum(const std::uint8_t* p, std::size_t n, unsigned sum = 0) {
  for (std::size_t i = 0; i < n; ++i) {
    sum += i % 2 == 0 ? p[i] << 8 : p[i];
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return sum;
}

struct Packet {
  std::string source = "192.0.2.1", destination = "198.51.100.1";
  unsigned source_port = 40000, destination_port = 80;
  std::uint8_t protocol = kProtocolTcp;
  std::uint8_t flags = kTcpSyn;
  std::uint32_t sequence = 1000, acknowledgment = 0;
  unsigned payload = 0;  // Bytes, a pattern.
  unsigned ttl = 64;
  std::vector<std::uint16_t> vlans;
  Bytes ip_options;  // IPv4, a multiple of 4.
  std::vector<std::pair<std::uint8_t, Bytes>>
      extensions;         // IPv6: type, whole header (next header filled in).
  unsigned fragment = 0;  // IPv4 field as it is.
  bool udp_checksum = true;
  Bytes tcp_options;  // A multiple of 4.
  std::uint8_t icmp_type = 8;
  std::uint8_t destination_mac[6] = {2, 0, 0, 0, 0, 1};
  unsigned padding = 0;  // Ethernet padding behind the IP packet.
};

inline Bytes build(const Packet& p) {
  const IpAddress source = *IpAddress::parse(p.source),
                  destination = *IpAddress::parse(p.destination);
  Bytes l4;
  if (p.protocol == kProtocolTcp) {
    put16(l4, p.source_port);
    put16(l4, p.destination_port);
    put32(l4, p.sequence);
    put32(l4, p.acknowledgment);
    l4.push_back(static_cast<std::uint8_t>((5 + p.tcp_options.size() / 4) << 4));
    l4.push_back(p.flags);
    put16(l4, 0xffff);
    put32(l4, 0);
    l4.insert(l4.end(), p.tcp_options.begin(), p.tcp_options.end());
  } else if (p.protocol == kProtocolUdp) {
    put16(l4, p.source_port);
    put16(l4, p.destination_port);
    put16(l4, 8 + p.payload);
    put16(l4, 0);
  } else {
    l4 = {p.icmp_type, 0, 0, 0, 0, 1, 0, 2};
  }
  for (unsigned i = 0; i < p.payload; ++i) l4.push_back(static_cast<std::uint8_t>(i * 7 + 1));

  unsigned sum = plain_sum(source.data(), source.size());
  sum = plain_sum(destination.data(), destination.size(), sum);
  const std::uint8_t rest[4] = {0, p.protocol, static_cast<std::uint8_t>(l4.size() >> 8),
                                static_cast<std::uint8_t>(l4.size())};
  sum = plain_sum(rest, 4, sum);
  if (p.protocol == kProtocolIcmp) sum = 0;
  unsigned checksum = ~plain_sum(l4.data(), l4.size(), sum) & 0xffff;
  if (p.protocol == kProtocolUdp && checksum == 0) checksum = 0xffff;
  const std::size_t at = p.protocol == kProtocolTcp ? 16 : p.protocol == kProtocolUdp ? 6 : 2;
  if (p.protocol != kProtocolUdp || p.udp_checksum) {
    l4[at] = static_cast<std::uint8_t>(checksum >> 8);
    l4[at + 1] = static_cast<std::uint8_t>(checksum);
  }

  Bytes b(p.destination_mac, p.destination_mac + 6);
  for (std::uint8_t byte : {2, 0, 0, 0, 0, 2}) b.push_back(byte);
  for (std::size_t i = 0; i < p.vlans.size(); ++i) {
    put16(b, i + 1 < p.vlans.size() ? kEtherTypeQinQ : kEtherTypeVlan);
    put16(b, p.vlans[i]);
  }
  put16(b, source.is_v4() ? Ipv4::kEtherType : Ipv6::kEtherType);
  const std::size_t l3 = b.size();
  if (source.is_v4()) {
    const std::size_t header = 20 + p.ip_options.size();
    b.push_back(static_cast<std::uint8_t>(0x40 | header / 4));
    b.push_back(0);
    put16(b, static_cast<unsigned>(header + l4.size()));
    put16(b, 0x1234);
    put16(b, p.fragment);
    b.push_back(static_cast<std::uint8_t>(p.ttl));
    b.push_back(p.protocol);
    put16(b, 0);
    b.insert(b.end(), source.data(), source.data() + 4);
    b.insert(b.end(), destination.data(), destination.data() + 4);
    b.insert(b.end(), p.ip_options.begin(), p.ip_options.end());
    const unsigned ip_checksum = ~plain_sum(b.data() + l3, header) & 0xffff;
    b[l3 + 10] = static_cast<std::uint8_t>(ip_checksum >> 8);
    b[l3 + 11] = static_cast<std::uint8_t>(ip_checksum);
  } else {
    std::size_t extensions = 0;
    for (const auto& e : p.extensions) extensions += e.second.size();
    put32(b, 0x60012345);
    put16(b, static_cast<unsigned>(extensions + l4.size()));
    b.push_back(p.extensions.empty() ? p.protocol : p.extensions[0].first);
    b.push_back(static_cast<std::uint8_t>(p.ttl));
    b.insert(b.end(), source.data(), source.data() + 16);
    b.insert(b.end(), destination.data(), destination.data() + 16);
    for (std::size_t i = 0; i < p.extensions.size(); ++i) {
      Bytes e = p.extensions[i].second;
      e[0] = i + 1 < p.extensions.size() ? p.extensions[i + 1].first : p.protocol;
      b.insert(b.end(), e.begin(), e.end());
    }
  }
  b.insert(b.end(), l4.begin(), l4.end());
  b.insert(b.end(), p.padding, 0);
  return b;
}

// What a packet says, read by plain code; checksums are recomputed from scratch.
struct Decoded {
  bool ok = false;
  std::string source, destination;
  unsigned source_port = 0, destination_port = 0, ttl = 0;
  std::uint8_t protocol = 0, flags = 0;
  std::size_t l3 = 0, l4 = 0, ip_bytes = 0;
  bool ip_checksum_right = true, l4_checksum_right = true, l4_checksum_none = false;
};

inline Decoded decode(const Bytes& b) {
  Decoded d;
  d.l3 = 14;
  unsigned type = get16(b, 12);
  while (type == kEtherTypeVlan || type == kEtherTypeQinQ) {
    type = get16(b, d.l3 + 2);
    d.l3 += 4;
  }
  std::size_t address_bytes = 4, source_at = d.l3 + 12;
  if (type == Ipv4::kEtherType) {
    const std::size_t header = (b.at(d.l3) & 15u) * 4u;
    d.ip_bytes = get16(b, d.l3 + 2);
    d.ttl = b.at(d.l3 + 8);
    d.protocol = b.at(d.l3 + 9);
    d.ip_checksum_right = plain_sum(b.data() + d.l3, header) == 0xffff;
    d.l4 = d.l3 + header;
    d.source = IpAddress::v4(b.data() + source_at).text();
    d.destination = IpAddress::v4(b.data() + source_at + 4).text();
  } else {
    address_bytes = 16;
    source_at = d.l3 + 8;
    d.ip_bytes = 40 + get16(b, d.l3 + 4);
    d.ttl = b.at(d.l3 + 7);
    d.protocol = b.at(d.l3 + 6);
    d.l4 = d.l3 + 40;
    while (d.protocol == 0 || d.protocol == 43 || d.protocol == 44 || d.protocol == 60) {
      const std::uint8_t next = b.at(d.l4);
      d.l4 += d.protocol == 44 ? 8 : (b.at(d.l4 + 1) + 1u) * 8u;
      d.protocol = next;
    }
    d.source = IpAddress::v6(b.data() + source_at).text();
    d.destination = IpAddress::v6(b.data() + source_at + 16).text();
  }
  const std::size_t length = d.l3 + d.ip_bytes - d.l4;
  unsigned sum = plain_sum(b.data() + source_at, 2 * address_bytes);
  const std::uint8_t rest[4] = {0, d.protocol, static_cast<std::uint8_t>(length >> 8),
                                static_cast<std::uint8_t>(length)};
  sum = d.protocol == kProtocolIcmp ? 0 : plain_sum(rest, 4, sum);
  d.l4_checksum_right = plain_sum(b.data() + d.l4, length, sum) == 0xffff;
  if (d.protocol == kProtocolTcp || d.protocol == kProtocolUdp) {
    d.source_port = get16(b, d.l4);
    d.destination_port = get16(b, d.l4 + 2);
  }
  if (d.protocol == kProtocolTcp) d.flags = b.at(d.l4 + 13);
  if (d.protocol == kProtocolUdp) d.l4_checksum_none = get16(b, d.l4 + 6) == 0;
  d.ok = true;
  return d;
}

// Exactly `bytes` bytes on the heap.
inline std::unique_ptr<std::uint8_t[]> exact(const Bytes& b, std::size_t bytes) {
  auto copy = std::make_unique<std::uint8_t[]>(bytes);
  std::memcpy(copy.get(), b.data(), bytes);
  return copy;
}

}  // namespace sluice::test
