#include "dataplane/packet/parse.h"

#include "dataplane/packet/checksum.h"
#include "dataplane/packet/headers.h"
#include "dataplane/packet/sctp.h"

namespace sluice {
namespace {

// One packet on its way through the layers; each layer starts where the one before left `at`.
struct Cursor {
  const std::uint8_t* data;
  std::uint32_t contiguous;  // Bytes at data.
  std::uint32_t end;         // Bytes of the packet as far as the layer above vouches for them.
  std::uint32_t at;

  // none if `bytes` more are there to be read, else the reason.
  DropReason need(std::uint32_t bytes, DropReason truncated) const {
    if (at + bytes > end) return truncated;
    if (at + bytes > contiguous) return DropReason::split_header;
    return DropReason::none;
  }
  template <typename Header>
  const Header& header() const {
    return *reinterpret_cast<const Header*>(data + at);
  }
};

// Leaves the EtherType behind the tags in `type`.
DropReason parse_ethernet(Cursor& cursor, ParsedBurst& out, unsigned i, std::uint16_t& type) {
  constexpr DropReason kTruncated = DropReason::ethernet_truncated;
  if (const auto r = cursor.need(sizeof(EthernetHeader), kTruncated); r != DropReason::none)
    return r;
  const auto& ethernet = cursor.header<EthernetHeader>();
  out.group[i] = (ethernet.destination[0] & 1) != 0;
  type = ethernet.type.host();
  cursor.at = sizeof(EthernetHeader);
  while (type == kEtherTypeVlan || type == kEtherTypeQinQ) {
    if (out.vlan_tags[i] == kMaxVlanTags) return DropReason::vlan_depth;
    if (const auto r = cursor.need(kVlanTagBytes, kTruncated); r != DropReason::none) return r;
    Be16 next;
    std::memcpy(&next, cursor.data + cursor.at + 2, sizeof(next));
    type = next.host();
    cursor.at += kVlanTagBytes;
    ++out.vlan_tags[i];
  }
  out.l3[i] = static_cast<std::uint16_t>(cursor.at);
  return DropReason::none;
}

DropReason parse_ipv4(Cursor& cursor, ParsedBurst& out, unsigned i) {
  if (const auto r = cursor.need(sizeof(Ipv4Header), DropReason::ipv4_truncated);
      r != DropReason::none) {
    return r;
  }
  const auto& ip = cursor.header<Ipv4Header>();
  if (ip.version_ihl >> 4 != 4) return DropReason::ipv4_version;
  const std::uint32_t header = ip.header_bytes();
  const std::uint32_t total = ip.total_length.host();
  if (header < sizeof(Ipv4Header) || header > total) return DropReason::ipv4_header_length;
  if (cursor.at + total > cursor.end) return DropReason::ipv4_total_length;
  if (const auto r = cursor.need(header, DropReason::ipv4_truncated); r != DropReason::none)
    return r;
  if (fold(sum_bytes(cursor.data + cursor.at, header)) != 0xffff) return DropReason::ipv4_checksum;
  out.protocol[i] = ip.protocol;
  const std::uint16_t fragment = ip.fragment.host();
  if ((fragment & kIpv4FragmentOffset) != 0) {
    out.form[i] = Form::later_fragment;
  } else if ((fragment & kIpv4MoreFragments) != 0) {
    out.form[i] = Form::first_fragment;
  }
  cursor.end = cursor.at + total;
  cursor.at += header;
  return DropReason::none;
}

// Moves over one extension header to `next`. Units of their length field: RFC 8200, 4.3 to 4.6.
DropReason skip_extension(Cursor& cursor, std::uint8_t& next, ParsedBurst& out, unsigned i) {
  constexpr DropReason kTruncated = DropReason::ipv6_extension_truncated;
  if (const auto r = cursor.need(8, kTruncated); r != DropReason::none) return r;
  const std::uint8_t* extension = cursor.data + cursor.at;
  std::uint32_t bytes = (extension[1] + 1u) * 8;
  if (next == kIpv6Fragment) {
    bytes = 8;
    Be16 offset;
    std::memcpy(&offset, extension + 2, sizeof(offset));
    if (out.form[i] == Form::whole) {  // Of several the first that is not atomic.
      out.fragment[i] = static_cast<std::uint16_t>(cursor.at);
      if ((offset.host() & kIpv6FragmentOffset) != 0) {
        out.form[i] = Form::later_fragment;
      } else if ((offset.host() & kIpv6MoreFragments) != 0) {
        out.form[i] = Form::first_fragment;
      }
    }
  } else if (next == kIpv6Routing && extension[3] != 0) {
    out.not_for_vip[i] = DropReason::ipv6_routing_header;
  }
  if (const auto r = cursor.need(bytes, kTruncated); r != DropReason::none) return r;
  next = extension[0];
  cursor.at += bytes;
  return DropReason::none;
}

DropReason parse_ipv6(Cursor& cursor, ParsedBurst& out, unsigned i) {
  if (const auto r = cursor.need(sizeof(Ipv6Header), DropReason::ipv6_truncated);
      r != DropReason::none) {
    return r;
  }
  const auto& ip = cursor.header<Ipv6Header>();
  if (ip.version_class_label[0] >> 4 != 6) return DropReason::ipv6_version;
  const std::uint32_t payload = ip.payload_length.host();
  cursor.at += sizeof(Ipv6Header);
  if (cursor.at + payload > cursor.end) return DropReason::ipv6_payload_length;
  cursor.end = cursor.at + payload;
  std::uint8_t next = ip.next_header;
  for (unsigned count = 0; next == kIpv6HopByHop || next == kIpv6Routing || next == kIpv6Fragment ||
                           next == kIpv6DestinationOptions;
       ++count) {
    if (count == kMaxExtensionHeaders) return DropReason::ipv6_extension_count;
    if (const auto r = skip_extension(cursor, next, out, i); r != DropReason::none) return r;
    if (out.form[i] == Form::later_fragment) break;  // No header follows.
  }
  out.protocol[i] = next;
  return DropReason::none;
}

DropReason parse_tcp(const Cursor& cursor, ParsedBurst& out, unsigned i) {
  if (const auto r = cursor.need(sizeof(TcpHeader), DropReason::tcp_truncated);
      r != DropReason::none) {
    return r;
  }
  const auto& tcp = cursor.header<TcpHeader>();
  const std::uint32_t header = tcp.header_bytes();
  if (header < sizeof(TcpHeader) || cursor.at + header > cursor.end)
    return DropReason::tcp_data_offset;
  out.tcp_flags[i] = tcp.flags;
  out.source_port[i] = tcp.source_port;
  out.destination_port[i] = tcp.destination_port;
  return DropReason::none;
}

DropReason parse_udp(const Cursor& cursor, ParsedBurst& out, unsigned i) {
  if (const auto r = cursor.need(sizeof(UdpHeader), DropReason::udp_truncated);
      r != DropReason::none) {
    return r;
  }
  const auto& udp = cursor.header<UdpHeader>();
  const std::uint32_t length = udp.length.host();
  const bool beyond = cursor.at + length > cursor.end && out.form[i] == Form::whole;
  if (length < sizeof(UdpHeader) || beyond) return DropReason::udp_length;
  out.source_port[i] = udp.source_port;
  out.destination_port[i] = udp.destination_port;
  return DropReason::none;
}

DropReason parse_sctp(const Cursor& cursor, ParsedBurst& out, unsigned i) {
  if (const auto r = cursor.need(sizeof(SctpHeader), DropReason::sctp_truncated);
      r != DropReason::none) {
    return r;
  }
  const auto& sctp = cursor.header<SctpHeader>();
  out.source_port[i] = sctp.source_port;
  out.destination_port[i] = sctp.destination_port;
  return DropReason::none;
}

DropReason parse_transport(const Cursor& cursor, ParsedBurst& out, unsigned i) {
  if (out.form[i] == Form::later_fragment) return DropReason::none;
  switch (out.protocol[i]) {
    case kProtocolTcp:
      return parse_tcp(cursor, out, i);
    case kProtocolUdp:
      return parse_udp(cursor, out, i);
    case kProtocolSctp:
      return parse_sctp(cursor, out, i);
    case kProtocolIcmp:
    case kProtocolIcmp6:
      return cursor.need(sizeof(IcmpHeader), DropReason::icmp_truncated);
    default:
      return DropReason::none;
  }
}

// Sum of the 20 bytes of an IPv4 header without options, as of sum_bytes().
std::uint64_t sum_ipv4_header(const std::uint8_t* header) {
  std::uint64_t first, second;
  std::uint32_t third;
  std::memcpy(&first, header, sizeof(first));
  std::memcpy(&second, header + 8, sizeof(second));
  std::memcpy(&third, header + 16, sizeof(third));
  const std::uint64_t sum = (first >> 32) + (first & 0xffffffff) + (second >> 32) +
                            (second & 0xffffffff) + third;
  return sum;
}

// Most packets: no tags, no options or extension headers, no fragment, TCP or UDP, the headers in
// one piece. False: not such a packet, or something is wrong with it; nothing was decided. Says the
// same as parse(), which the tests compare it with.
bool parse_plain(const std::uint8_t* data, std::uint32_t length, std::uint32_t total_length,
                 ParsedBurst& out, unsigned i) {
  constexpr std::uint32_t kL3 = sizeof(EthernetHeader);
  constexpr std::uint32_t kLeast = kL3 + sizeof(Ipv4Header) + sizeof(TcpHeader);
  if (length < kLeast) return false;
  const auto& ethernet = *reinterpret_cast<const EthernetHeader*>(data);
  std::uint32_t l4, end;
  std::uint8_t protocol;
  PacketKind kind;
  if (ethernet.type == Be16::from_host(Ipv4::kEtherType)) {
    const auto& ip = *reinterpret_cast<const Ipv4Header*>(data + kL3);
    l4 = kL3 + sizeof(Ipv4Header);
    end = kL3 + ip.total_length.host();
    protocol = ip.protocol;
    kind = PacketKind::ipv4;
    constexpr Be16 kFragment = Be16::from_host(kIpv4MoreFragments | kIpv4FragmentOffset);
    const bool plain = ip.version_ihl == 0x45 && (ip.fragment.raw & kFragment.raw) == 0 &&
                       fold(sum_ipv4_header(data + kL3)) == 0xffff;
    if (!plain) return false;
  } else if (ethernet.type == Be16::from_host(Ipv6::kEtherType)) {
    const auto& ip = *reinterpret_cast<const Ipv6Header*>(data + kL3);
    l4 = kL3 + sizeof(Ipv6Header);
    if (length < l4 + sizeof(TcpHeader) || ip.version_class_label[0] >> 4 != 6) return false;
    end = l4 + ip.payload_length.host();
    protocol = ip.next_header;
    kind = PacketKind::ipv6;
  } else {
    return false;
  }
  const auto& tcp = *reinterpret_cast<const TcpHeader*>(data + l4);
  std::uint32_t l4_bytes = tcp.header_bytes();
  std::uint32_t least = sizeof(TcpHeader);
  std::uint8_t flags = tcp.flags;
  if (protocol == kProtocolUdp) {
    l4_bytes = reinterpret_cast<const UdpHeader*>(data + l4)->length.host();
    least = sizeof(UdpHeader);
    flags = 0;
  } else if (protocol != kProtocolTcp) {
    return false;
  }
  if (end > total_length || l4_bytes < least || l4 + l4_bytes > end) return false;
  out.kind[i] = kind;
  out.group[i] = (ethernet.destination[0] & 1) != 0;
  out.l3[i] = kL3;
  out.l4[i] = static_cast<std::uint16_t>(l4);
  out.end[i] = end;
  out.protocol[i] = protocol;
  out.tcp_flags[i] = flags;
  out.source_port[i] = tcp.source_port;
  out.destination_port[i] = tcp.destination_port;
  return true;
}

DropReason parse(Cursor cursor, ParsedBurst& out, unsigned i) {
  std::uint16_t type = 0;
  if (const auto r = parse_ethernet(cursor, out, i, type); r != DropReason::none) return r;
  DropReason reason;
  if (type == Ipv4::kEtherType) {
    out.kind[i] = PacketKind::ipv4;
    reason = parse_ipv4(cursor, out, i);
  } else if (type == Ipv6::kEtherType) {
    out.kind[i] = PacketKind::ipv6;
    reason = parse_ipv6(cursor, out, i);
  } else {
    return DropReason::none;
  }
  if (reason != DropReason::none) return reason;
  out.l4[i] = static_cast<std::uint16_t>(cursor.at);
  out.end[i] = cursor.end;
  out.unusual += out.form[i] != Form::whole || out.protocol[i] == kProtocolIcmp ||
                 out.protocol[i] == kProtocolIcmp6;
  reason = parse_transport(cursor, out, i);
  if (reason == DropReason::none || reason == DropReason::split_header) return reason;
  return out.form[i] == Form::first_fragment ? DropReason::fragment_too_short : reason;
}

}  // namespace

void parse_burst(const std::uint8_t* const* data, const std::uint32_t* length,
                 const std::uint32_t* total_length, const std::uint8_t* places, unsigned count,
                 ParsedBurst& out) {
  std::memset(out.reason, 0, sizeof(out.reason));
  std::memset(out.not_for_vip, 0, sizeof(out.not_for_vip));
  std::memset(out.vlan_tags, 0, sizeof(out.vlan_tags));
  std::memset(out.form, 0, sizeof(out.form));
  out.unusual = 0;
  static_assert(static_cast<int>(DropReason::none) == 0);
  for (unsigned n = 0; n < count; ++n) {
    const unsigned i = places[n];
    if (parse_plain(data[i], length[i], total_length[i], out, i)) [[likely]]
      continue;
    out.kind[i] = PacketKind::other;
    out.group[i] = false;
    out.l3[i] = out.l4[i] = 0;
    out.end[i] = 0;
    out.protocol[i] = out.tcp_flags[i] = 0;
    out.source_port[i] = out.destination_port[i] = Be16{};
    out.reason[i] = parse({data[i], length[i], total_length[i], 0}, out, i);
    if (out.reason[i] != DropReason::none) out.kind[i] = PacketKind::refused;
  }
}

}  // namespace sluice
