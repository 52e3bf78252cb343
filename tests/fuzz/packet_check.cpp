#include "tests/fuzz/packet_check.h"

#include <algorithm>

#include "dataplane/packet/encapsulate.h"
#include "dataplane/packet/proxy_protocol.h"
#include "dataplane/packet/sctp.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/pipeline_world.h"

namespace sluice::fuzz {
namespace {

using test::Bytes;

Seen parse(const Part& part) {
  return fuzz::parse(part.present, part.total_length);
}

bool same(const Bytes& a, std::size_t a_at, const Bytes& b, std::size_t b_at, std::size_t bytes) {
  return a.size() >= a_at + bytes && b.size() >= b_at + bytes &&
         std::equal(a.begin() + static_cast<std::ptrdiff_t>(a_at),
                    a.begin() + static_cast<std::ptrdiff_t>(a_at + bytes),
                    b.begin() + static_cast<std::ptrdiff_t>(b_at));
}

std::size_t ip_bytes(const Seen& seen) {
  return seen.end - seen.l3;
}

// Source or destination, 4 or 16 bytes.
Bytes address(const Bytes& b, const Seen& seen, bool source) {
  const std::size_t bytes = seen.v4() ? 4 : 16;
  const std::size_t at = seen.l3 + (seen.v4() ? 12 : 8) + (source ? 0 : bytes);
  const auto begin = b.begin() + static_cast<std::ptrdiff_t>(at);
  return Bytes(begin, begin + static_cast<std::ptrdiff_t>(bytes));
}

bool is_tunnel_source(const Bytes& a) {
  const IpAddress prefix =
      test::ip(a.size() == 4 ? World::tunnel_prefix<Ipv4>() : World::tunnel_prefix<Ipv6>());
  return std::equal(a.begin(), a.end() - 1, prefix.data()) && a.back() < 16;
}

// What is in a packet from a source of our tunnels; the packet itself if it is from another.
Part leave_tunnel(const Part& part, const Seen& seen) {
  const Bytes& b = part.present;
  std::size_t l3 = seen.l4;
  bool v4 = seen.protocol == kProtocolIpv4;
  if (seen.protocol == kProtocolUdp) {
    const bool vxlan = seen.destination_port == Be16::from_host(World::kVxlanPort);
    FUZZ_CHECK(vxlan || seen.destination_port == Be16::from_host(kGuePort));
    FUZZ_CHECK(test::get16(b, seen.l4 + 4) == seen.end - seen.l4);
    const unsigned checksum = test::get16(b, seen.l4 + 6);
    if (seen.v4()) FUZZ_CHECK(checksum == 0);
    l3 += sizeof(UdpHeader);
    if (vxlan) {
      FUZZ_CHECK(b.at(l3) == 8 && b.at(l3 + 6) == 1);
      l3 += sizeof(VxlanHeader) + sizeof(EthernetHeader);
      v4 = test::get16(b, l3 - 2) == Ipv4::kEtherType;
    } else {
      FUZZ_CHECK(b.at(l3) == 0);
      v4 = b.at(l3 + 1) == kProtocolIpv4;
      l3 += sizeof(GueHeader);
    }
  } else {
    FUZZ_CHECK(seen.protocol == kProtocolIpv4 || seen.protocol == kProtocolIpv6);
  }
  FUZZ_CHECK(b.size() >= l3);
  Part inner;
  inner.present.resize(12);  // MACs do not count.
  test::put16(inner.present, v4 ? Ipv4::kEtherType : Ipv6::kEtherType);
  inner.present.insert(inner.present.end(), b.begin() + static_cast<std::ptrdiff_t>(l3), b.end());
  const std::size_t gone = l3 - sizeof(EthernetHeader);
  inner.total_length = part.total_length - static_cast<std::uint32_t>(gone);
  return inner;
}

enum class Checksum { none, right, wrong };

Checksum checksum_of(const Bytes& b, const Seen& seen) {
  if (seen.protocol == kProtocolSctp) {
    Bytes sctp(b.begin() + static_cast<std::ptrdiff_t>(seen.l4),
               b.begin() + static_cast<std::ptrdiff_t>(seen.end));
    std::uint32_t given = 0;
    std::memcpy(&given, sctp.data() + 8, sizeof(given));
    if (given == 0) return Checksum::none;
    std::memset(sctp.data() + 8, 0, sizeof(given));
    return crc32c(sctp.data(), sctp.size()) == given ? Checksum::right : Checksum::wrong;
  }
  if (seen.protocol == kProtocolUdp && test::get16(b, checksum_at(seen)) == 0)
    return Checksum::none;
  return transport_sum(b, seen) == 0xffff ? Checksum::right : Checksum::wrong;
}

// The outer UDP checksum of IPv6 is right unless one inside is wrong.
void check_outer_checksum(const Part& outer, const Seen& seen, const Part& inside,
                          const Seen& inner) {
  if (seen.v4() || seen.protocol != kProtocolUdp || !outer.whole()) return;
  const bool relies =
      !inner.fragment && (inner.protocol == kProtocolTcp || inner.protocol == kProtocolUdp);
  if (relies && checksum_of(inside.present, inner) == Checksum::wrong) return;
  FUZZ_CHECK(test::get16(outer.present, seen.l4 + 6) != 0);
  FUZZ_CHECK(transport_sum(outer.present, seen) == 0xffff);
}

void check_checksum(const Bytes& before, const Seen& old, const Bytes& after, const Seen& now) {
  const Checksum was = checksum_of(before, old), is = checksum_of(after, now);
  // UDP over IPv6 must have one.
  const bool computed = was == Checksum::none && old.v4() && !now.v4();
  FUZZ_CHECK(is == (computed ? Checksum::right : was));
}

std::size_t transport_header(const Bytes& b, const Seen& seen) {
  switch (seen.protocol) {
    case kProtocolTcp:
      return (b[seen.l4 + 12] >> 4) * 4u;
    case kProtocolUdp:
      return sizeof(UdpHeader);
    default:
      return sizeof(SctpHeader);
  }
}

// What stands behind the transport header, as far as it is there. By how many bytes of a PROXY
// header it is longer.
std::size_t check_payload(const Bytes& before, const Seen& old, const Bytes& after,
                          const Seen& now) {
  const std::size_t header = transport_header(before, old);
  FUZZ_CHECK(transport_header(after, now) == header);
  const std::size_t was = old.end - old.l4, is = now.end - now.l4;
  FUZZ_CHECK(is >= was);
  const std::size_t added = is - was;
  if (added != 0) {
    const std::size_t bytes = now.v4() ? kProxyHeaderBytes<Ipv4> : kProxyHeaderBytes<Ipv6>;
    const Bytes signature = {'\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};
    FUZZ_CHECK(now.protocol == kProtocolTcp && added == bytes && old.kind == now.kind);
    FUZZ_CHECK(same(after, now.l4 + header, signature, 0, signature.size()));
  }
  const std::size_t there = std::min<std::size_t>(old.end, before.size());
  if (there <= old.l4 + header) return added;
  FUZZ_CHECK(
      same(before, old.l4 + header, after, now.l4 + header + added, there - old.l4 - header));
  return added;
}

// The rest of the transport header, but for what is translated: numbers and options of TCP.
void check_header(const Bytes& before, const Seen& old, const Bytes& after, const Seen& now,
                  bool proxy) {
  if (old.protocol != kProtocolTcp) {
    FUZZ_CHECK(same(before, old.l4 + 4, after, now.l4 + 4, 2));
  } else {
    const std::uint8_t added = proxy ? kTcpPsh : 0;
    FUZZ_CHECK(after[now.l4 + 12] == before[old.l4 + 12]);
    FUZZ_CHECK(after[now.l4 + 13] == (before[old.l4 + 13] | added));
    FUZZ_CHECK(same(before, old.l4 + 14, after, now.l4 + 14, 2));
  }
}

// Direct return: all of the packet is as it was, but for its TTL and the checksum with it.
void check_untouched(const Bytes& before, const Seen& old, const Bytes& after, const Seen& now,
                     bool aged) {
  FUZZ_CHECK(ip_bytes(old) == ip_bytes(now));
  const std::size_t ttl_at = old.v4() ? 8 : 7;
  FUZZ_CHECK(after[now.l3 + ttl_at] == before[old.l3 + ttl_at] - (aged ? 1 : 0));
  const std::size_t from = old.v4() ? 12 : 8;
  FUZZ_CHECK(same(before, old.l3, after, now.l3, ttl_at));
  const std::size_t there = std::min<std::size_t>(old.end, before.size());
  FUZZ_CHECK(same(before, old.l3 + from, after, now.l3 + from, there - old.l3 - from));
}

void check_translated(const Part& before, const Seen& old, const Part& after, const Seen& now) {
  const Bytes &b = before.present, &a = after.present;
  const bool comparable = before.whole() && after.whole() && !old.fragment;
  if (old.is_icmp()) {
    FUZZ_CHECK(now.is_icmp());
    if (comparable && transport_sum(b, old) == 0xffff) FUZZ_CHECK(transport_sum(a, now) == 0xffff);
  } else if (old.fragment) {
    FUZZ_CHECK(now.fragment);
  } else {
    FUZZ_CHECK(now.protocol == old.protocol && now.has_ports() && !now.fragment);
    const std::size_t added = check_payload(b, old, a, now);
    check_header(b, old, a, now, added != 0);
    if (comparable) check_checksum(b, old, a, now);
  }
}

}  // namespace

std::size_t checksum_at(const Seen& seen) {
  switch (seen.protocol) {
    case kProtocolTcp:
      return seen.l4 + 16;
    case kProtocolUdp:
      return seen.l4 + 6;
    default:
      return seen.l4 + 2;
  }
}

unsigned transport_sum(const Bytes& b, const Seen& seen) {
  std::size_t length = seen.end - seen.l4;
  // What stands behind UDP in its packet is not summed.
  if (seen.protocol == kProtocolUdp) length = test::get16(b, seen.l4 + 4);
  unsigned sum = 0;
  if (seen.protocol != kProtocolIcmp) {
    sum = test::plain_sum(b.data() + seen.l3 + (seen.v4() ? 12 : 8), seen.v4() ? 8 : 32);
    const std::uint8_t rest[4] = {0, seen.protocol, static_cast<std::uint8_t>(length >> 8),
                                  static_cast<std::uint8_t>(length)};
    sum = test::plain_sum(rest, sizeof(rest), sum);
  }
  return test::plain_sum(b.data() + seen.l4, length, sum);
}

Seen parse(const Bytes& present, std::uint32_t total_length) {
  ParsedBurst parsed;
  const std::uint8_t* data = present.data();
  const auto length = static_cast<std::uint32_t>(present.size());
  const std::uint8_t place = 0;
  parse_burst(&data, &length, &total_length, &place, 1, parsed);
  return {parsed.kind[0],
          parsed.l3[0],
          parsed.l4[0],
          parsed.end[0],
          parsed.protocol[0],
          parsed.vlan_tags[0],
          parsed.source_port[0],
          parsed.destination_port[0],
          parsed.form[0] != Form::whole,
          parsed.not_for_vip[0] != DropReason::none};
}

void check_forwarded(const Part& before, const Part& after) {
  const Seen old = parse(before), now = parse(after);
  FUZZ_CHECK(old.kind == PacketKind::ipv4 || old.kind == PacketKind::ipv6);
  FUZZ_CHECK(now.kind == PacketKind::ipv4 || now.kind == PacketKind::ipv6);
  FUZZ_CHECK(now.vlan_tags == 0 && !old.routed);
  // NAT64 takes as many bytes as IP-in-IP adds.
  const bool entered = ip_bytes(now) > ip_bytes(old) ||
                       (now.protocol == kProtocolIpv4 && old.protocol != kProtocolIpv4);
  if (entered && is_tunnel_source(address(after.present, now, true))) {
    const Part inside = leave_tunnel(after, now);
    const Seen inner = parse(inside);
    FUZZ_CHECK(inner.kind == PacketKind::ipv4 || inner.kind == PacketKind::ipv6);
    FUZZ_CHECK(inside.total_length == inner.end || !inside.whole());
    const bool translated =
        address(inside.present, inner, false) != address(before.present, old, false);
    if (translated) {
      check_translated(before, old, inside, inner);
    } else {
      check_untouched(before.present, old, inside.present, inner, true);
    }
    return check_outer_checksum(after, now, inside, inner);
  }
  check_translated(before, old, after, now);
  const bool direct = address(after.present, now, true) == address(before.present, old, true) &&
                      address(after.present, now, false) == address(before.present, old, false);
  if (direct) check_untouched(before.present, old, after.present, now, false);
}

void check_answer(const Bytes& after) {
  const Seen now = parse(after, static_cast<std::uint32_t>(after.size()));
  FUZZ_CHECK(now.kind == PacketKind::ipv4 || now.kind == PacketKind::ipv6);
  FUZZ_CHECK(now.vlan_tags == 0 && !now.fragment && !now.routed);
  FUZZ_CHECK(transport_sum(after, now) == 0xffff);
  if (now.protocol == kProtocolTcp) {
    FUZZ_CHECK((after[now.l4 + 13] & kTcpRst) != 0);
  } else {
    FUZZ_CHECK(now.is_icmp());
  }
}

}  // namespace sluice::fuzz
