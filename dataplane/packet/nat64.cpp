#include "dataplane/packet/nat64.h"

#include <algorithm>

#include "dataplane/packet/encapsulate.h"

namespace sluice {
namespace {

constexpr std::uint32_t kFragmentHeaderBytes = 8;
// RFC 7915 5.1: an IPv4 packet up to here, that is of a path MTU of 1280, may be fragmented later.
constexpr std::uint32_t kMayFragment = 1260;

// What a header says that is neither addresses nor lengths.
struct IpFields {
  std::uint8_t traffic_class = 0, ttl = 0;
  bool fragment = false, more = false;
  std::uint16_t offset = 0;  // By eights of bytes.
  std::uint32_t id = 0;
};

template <typename Family>
IpFields read_fields(const std::uint8_t* l3, std::uint32_t header_bytes);

template <>
IpFields read_fields<Ipv4>(const std::uint8_t* l3, std::uint32_t) {
  const auto& ip = *reinterpret_cast<const Ipv4Header*>(l3);
  IpFields f{traffic_class<Ipv4>(l3), ip.ttl};
  const std::uint16_t word = ip.fragment.host();
  f.more = (word & kIpv4MoreFragments) != 0;
  f.offset = word & kIpv4FragmentOffset;
  f.fragment = f.more || f.offset != 0;
  f.id = ip.id.host();
  return f;
}

template <>
IpFields read_fields<Ipv6>(const std::uint8_t* l3, std::uint32_t header_bytes) {
  const auto& ip = *reinterpret_cast<const Ipv6Header*>(l3);
  IpFields f{traffic_class<Ipv6>(l3), ip.hop_limit};
  std::uint8_t next = ip.next_header;
  for (std::uint32_t at = sizeof(Ipv6Header); at + kFragmentHeaderBytes <= header_bytes;) {
    const std::uint8_t* extension = l3 + at;
    if (next == kIpv6Fragment) {
      Be16 word;
      std::memcpy(&word, extension + 2, sizeof(word));
      f.offset = word.host() >> 3;
      f.more = (word.host() & 1) != 0;
      f.fragment = f.more || f.offset != 0;  // An atomic one is a whole packet (RFC 6946).
      f.id = read32(extension + 4);
      at += kFragmentHeaderBytes;
    } else {
      at += (extension[1] + 1u) * 8;
    }
    next = extension[0];
  }
  return f;
}

template <typename Family>
std::uint32_t header_bytes_for(const IpFields& fields) {
  const bool extension = Family::kAddressBytes == 16 && fields.fragment;
  return sizeof(IpHeader<Family>) + (extension ? kFragmentHeaderBytes : 0);
}

// Writes header_bytes_for() bytes. `payload`: the bytes behind them.
template <typename Family>
void write_ip(std::uint8_t* out, const IpFields& f, std::uint8_t protocol, std::uint32_t payload,
              const typename Family::Address& source, const typename Family::Address& destination,
              std::uint16_t id) {
  auto& ip = *reinterpret_cast<IpHeader<Family>*>(out);
  std::memcpy(ip.source, source.data(), Family::kAddressBytes);
  std::memcpy(ip.destination, destination.data(), Family::kAddressBytes);
  if constexpr (Family::kAddressBytes == 4) {
    const std::uint32_t total = sizeof(ip) + payload;
    ip.version_ihl = 0x45;
    ip.tos = f.traffic_class;
    ip.total_length = Be16::from_host(static_cast<std::uint16_t>(total));
    std::uint16_t word = 0;
    if (f.fragment) {
      id = static_cast<std::uint16_t>(f.id);
      word = static_cast<std::uint16_t>((f.more ? kIpv4MoreFragments : 0) | f.offset);
    } else if (total > kMayFragment) {
      id = 0;
      word = kIpv4DontFragment;
    }
    ip.id = Be16::from_host(id);
    ip.fragment = Be16::from_host(word);
    ip.ttl = f.ttl;
    ip.protocol = protocol;
    ip.checksum = Be16{};
    ip.checksum = header_checksum(out, sizeof(ip));
  } else {
    write32(ip.version_class_label, 6u << 28 | std::uint32_t{f.traffic_class} << 20);
    const std::uint32_t extension = f.fragment ? kFragmentHeaderBytes : 0;
    ip.payload_length = Be16::from_host(static_cast<std::uint16_t>(payload + extension));
    ip.next_header = f.fragment ? kIpv6Fragment : protocol;
    ip.hop_limit = f.ttl;
    if (!f.fragment) return;
    std::uint8_t* fragment = out + sizeof(ip);
    write32(fragment, std::uint32_t{protocol} << 24 | std::uint32_t{f.offset} << 3 | f.more);
    write32(fragment + 4, f.id);
  }
}

// Ports and checksum of the transport header, of which `bytes` are there, at least eight. The
// length and protocol in the pseudo header are the same numbers in both families.
template <typename From>
void cross_transport(std::uint8_t* l4, std::uint32_t bytes, std::uint8_t protocol,
                     std::uint64_t addresses_before, const Endpoint<Other<From>>& source,
                     const Endpoint<Other<From>>& destination) {
  constexpr std::size_t kBytes = Other<From>::kAddressBytes;
  const std::uint64_t addresses =
      sum_bytes(source.address.data(), kBytes) + sum_bytes(destination.address.data(), kBytes);
  ChecksumDelta delta;
  delta.replace(Be16{fold(addresses_before)}, Be16{fold(addresses)});
  auto& ports = *reinterpret_cast<UdpHeader*>(l4);
  delta.replace(ports.source_port, source.port);
  delta.replace(ports.destination_port, destination.port);
  ports.source_port = source.port;
  ports.destination_port = destination.port;
  if (protocol == kProtocolUdp) {
    ports.checksum = delta.apply_udp(ports.checksum);
  } else if (protocol == kProtocolTcp && bytes >= 18) {
    auto& tcp = *reinterpret_cast<TcpHeader*>(l4);
    tcp.checksum = delta.apply(tcp.checksum);
  }
}

template <typename Family>
std::uint64_t sum_addresses(const std::uint8_t* l3) {
  const auto& ip = *reinterpret_cast<const IpHeader<Family>*>(l3);
  return sum_bytes(ip.source, Family::kAddressBytes) +
         sum_bytes(ip.destination, Family::kAddressBytes);
}

// Parameter problem: where a byte of one header is in the other; -1: nowhere (RFC 7915 figures 3
// and 6).
int cross_pointer_from_ipv4(std::uint32_t at) {
  constexpr std::int8_t kTo[] = {0, 1, 4, 4, -1, -1, -1, -1, 7, 6, -1, -1};
  if (at < sizeof(kTo)) return kTo[at];
  return at < 16 ? 8 : at < 20 ? 24 : -1;
}
int cross_pointer_from_ipv6(std::uint32_t at) {
  constexpr std::int8_t kTo[] = {0, 1, -1, -1, 2, 2, 9, 8};
  if (at < sizeof(kTo)) return kTo[at];
  return at < 24 ? 12 : at < 40 ? 16 : -1;
}

// The MTU a router meant that did not say it: RFC 1191 7.1, the next plateau below the packet.
std::uint32_t plateau_below(std::uint32_t bytes) {
  for (const std::uint32_t mtu : {65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296}) {
    if (mtu < bytes) return mtu;
  }
  return 68;
}

bool cross_unreachable_from_ipv4(const IcmpMeaning& from, std::uint32_t quoted_bytes,
                                 IcmpMeaning& to) {
  constexpr std::uint32_t kNextHeader = 6;
  to.type = kIcmp6Unreachable;
  switch (from.code) {
    case 2:  // Protocol.
      to = {kIcmp6Parameter, 1, kNextHeader};
      return true;
    case 3:  // Port.
      to.code = 4;
      return true;
    case kIcmpFragmentationNeeded: {
      std::uint32_t mtu = from.rest & 0xffff;
      if (mtu == 0) mtu = plateau_below(quoted_bytes);
      to = {kIcmp6TooBig, 0, std::max<std::uint32_t>(mtu + 20, 1280)};
      return true;
    }
    case 9:
    case 10:
    case 13:
    case 15:  // Prohibited in one way or another.
      to.code = 1;
      return true;
    case 14:  // Host precedence violation.
      return false;
    default:
      to.code = 0;
      return from.code <= 12;
  }
}

}  // namespace

template <>
bool cross_meaning<Ipv4>(const IcmpMeaning& from, std::uint32_t quoted_bytes, IcmpMeaning& to) {
  to = {};
  switch (from.type) {
    case kIcmpUnreachable:
      return cross_unreachable_from_ipv4(from, quoted_bytes, to);
    case kIcmpTimeExceeded:
      to = {kIcmp6TimeExceeded, from.code, 0};
      return true;
    case kIcmpParameter: {
      const int pointer = cross_pointer_from_ipv4(from.rest >> 24);
      if ((from.code != 0 && from.code != 2) || pointer < 0) return false;
      to = {kIcmp6Parameter, 0, static_cast<std::uint32_t>(pointer)};
      return true;
    }
    default:
      return false;
  }
}

template <>
bool cross_meaning<Ipv6>(const IcmpMeaning& from, std::uint32_t, IcmpMeaning& to) {
  to = {};
  switch (from.type) {
    case kIcmp6Unreachable: {
      constexpr std::uint8_t kCodes[] = {1, 10, 1, 1, 3};
      if (from.code >= sizeof(kCodes)) return false;
      to = {kIcmpUnreachable, kCodes[from.code], 0};
      return true;
    }
    case kIcmp6TooBig: {
      constexpr std::uint32_t kLeast = 68, kMost = 65535;
      const std::uint32_t mtu = std::max(from.rest, kLeast + 20) - 20;
      to = {kIcmpUnreachable, kIcmpFragmentationNeeded, std::min(mtu, kMost)};
      return true;
    }
    case kIcmp6TimeExceeded:
      to = {kIcmpTimeExceeded, from.code, 0};
      return true;
    case kIcmp6Parameter: {
      if (from.code == 1) {  // Unknown next header.
        to = {kIcmpUnreachable, 2, 0};
        return true;
      }
      const int pointer = cross_pointer_from_ipv6(from.rest);
      if (from.code != 0 || pointer < 0) return false;
      to = {kIcmpParameter, 0, static_cast<std::uint32_t>(pointer) << 24};
      return true;
    }
    default:
      return false;
  }
}

template <typename Family>
std::int32_t crossing_growth(const std::uint8_t* l3, std::uint32_t header_bytes) {
  return static_cast<std::int32_t>(
             header_bytes_for<Other<Family>>(read_fields<Family>(l3, header_bytes))) -
         static_cast<std::int32_t>(header_bytes);
}

template <typename From>
DropReason cross(CrossingFrame& packet, const Endpoint<Other<From>>& source,
                 const Endpoint<Other<From>>& destination, std::uint32_t id) {
  using To = Other<From>;
  std::uint8_t* l3 = packet.frame + packet.l3;
  std::uint8_t* l4 = packet.frame + packet.l4;
  const std::uint32_t payload = packet.end - packet.l4;
  IpFields fields = read_fields<From>(l3, packet.l4 - packet.l3);
  if (fields.fragment) fields.id = id;
  const std::uint32_t added = sizeof(EthernetHeader) + header_bytes_for<To>(fields);
  if (packet.headroom + packet.l4 < added) return DropReason::tunnel_headroom;

  bool compute = false;
  if (fields.offset == 0 && packet.protocol == kProtocolUdp && To::kAddressBytes == 16 &&
      reinterpret_cast<const UdpHeader*>(l4)->checksum.raw == 0) {
    if (fields.fragment || packet.length < packet.end) return DropReason::udp_no_checksum;
    compute = true;
  }
  if (fields.offset == 0) {
    cross_transport<From>(l4, payload, packet.protocol, sum_addresses<From>(l3), source,
                          destination);
  }
  if (compute) {
    auto& udp = *reinterpret_cast<UdpHeader*>(l4);
    udp.checksum = transport_checksum<To>(source.address.data(), destination.address.data(),
                                          kProtocolUdp, l4, udp.length.host());
  }
  --fields.ttl;
  std::uint8_t* frame = l4 - added;
  write_ip<To>(frame + sizeof(EthernetHeader), fields, packet.protocol, payload, source.address,
               destination.address, static_cast<std::uint16_t>(id));
  const Be16 type = Be16::from_host(To::kEtherType);
  std::memcpy(frame + 12, &type, sizeof(type));

  // Modulo 2^32: it may be less.
  const auto grown = static_cast<std::uint32_t>(packet.frame - frame);
  packet.frame = frame;
  packet.headroom -= grown;
  packet.length += grown;
  packet.l3 = sizeof(EthernetHeader);
  packet.l4 = added;
  packet.end += grown;
  return DropReason::none;
}

template <typename From>
std::uint32_t cross_error(const CrossingFrame& error, const Quote<From>& quote,
                          const ErrorTranslation<Other<From>>& translation, std::uint16_t id,
                          std::uint8_t* out, std::uint32_t room) {
  using To = Other<From>;
  const std::uint8_t* frame = error.frame;
  const auto& icmp = *reinterpret_cast<const IcmpHeader*>(frame + error.l4);
  const auto& quoted = *reinterpret_cast<const IpHeader<From>*>(frame + quote.l3);
  const std::uint32_t quoted_header = quote.l4 - quote.l3;
  std::uint32_t quoted_bytes, attribute;  // Where extensions begin (RFC 4884); 0: there are none.
  if constexpr (From::kAddressBytes == 4) {
    quoted_bytes = quoted.total_length.host();
    attribute = icmp.rest[1] * 4u;
  } else {
    quoted_bytes = quoted.payload_length.host() + static_cast<std::uint32_t>(sizeof(quoted));
    attribute = icmp.type == kIcmp6TooBig || icmp.type == kIcmp6Parameter ? 0 : icmp.rest[0] * 8u;
  }
  if (quoted_bytes < quoted_header) return 0;
  IcmpMeaning meaning;
  if (!cross_meaning<From>({icmp.type, icmp.code, read32(icmp.rest)}, quoted_bytes, meaning))
    return 0;

  const IpFields quoted_fields = read_fields<From>(frame + quote.l3, quoted_header);
  const std::uint32_t quote_at = sizeof(IpHeader<To>) + sizeof(IcmpHeader);
  const std::uint32_t l4_at = quote_at + header_bytes_for<To>(quoted_fields);
  std::uint32_t end = std::min(quote.end, quote.l3 + quoted_bytes);
  if (attribute != 0) end = std::min(end, quote.l3 + attribute);
  constexpr std::uint32_t kPorts = 8;
  if (end < quote.l4 + kPorts || l4_at + kPorts > room) return 0;
  const std::uint32_t rest = std::min({end - quote.l4, room - l4_at, kMostErrorBytes - l4_at});

  std::memcpy(out + l4_at, frame + quote.l4, rest);
  if (!quote.later_fragment) {
    cross_transport<From>(out + l4_at, rest, quote.protocol, sum_addresses<From>(frame + quote.l3),
                          translation.quoted_source, translation.quoted_destination);
  }
  write_ip<To>(out + quote_at, quoted_fields, quote.protocol, quoted_bytes - quoted_header,
               translation.quoted_source.address, translation.quoted_destination.address,
               static_cast<std::uint16_t>(quoted_fields.id));

  auto& made = *reinterpret_cast<IcmpHeader*>(out + sizeof(IpHeader<To>));
  made.type = meaning.type;
  made.code = meaning.code;
  made.checksum = Be16{};
  write32(made.rest, meaning.rest);
  const std::uint32_t message = l4_at + rest - static_cast<std::uint32_t>(sizeof(IpHeader<To>));
  IpFields fields = read_fields<From>(frame + error.l3, error.l4 - error.l3);
  fields.fragment = false;
  --fields.ttl;
  write_ip<To>(out, fields, icmp_protocol<To>(), message, translation.source,
               translation.destination, id);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&made);
  if constexpr (To::kAddressBytes == 4) {
    made.checksum = header_checksum(bytes, message);
  } else {
    made.checksum = transport_checksum<Ipv6>(
        translation.source.data(), translation.destination.data(), kProtocolIcmp6, bytes, message);
  }
  return l4_at + rest;
}

#define SLUICE_INSTANTIATE(From)                                                                \
  template std::int32_t crossing_growth<From>(const std::uint8_t*, std::uint32_t);              \
  template DropReason cross<From>(CrossingFrame&, const Endpoint<Other<From>>&,                 \
                                  const Endpoint<Other<From>>&, std::uint32_t);                 \
  template std::uint32_t cross_error<From>(const CrossingFrame&, const Quote<From>&,            \
                                           const ErrorTranslation<Other<From>>&, std::uint16_t, \
                                           std::uint8_t*, std::uint32_t);
SLUICE_INSTANTIATE(Ipv4)
SLUICE_INSTANTIATE(Ipv6)

}  // namespace sluice
