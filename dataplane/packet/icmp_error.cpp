#include "dataplane/packet/icmp_error.h"

#include <algorithm>

#include "dataplane/packet/checksum.h"

namespace sluice {
namespace {

constexpr std::uint32_t kLeastTransport = 8;  // RFC 792: 64 bits behind the header.
constexpr unsigned kMaxQuotedExtensions = 8;
constexpr std::uint32_t kTcpChecksumAt = 16;

// `need(at)` says why the bytes before `at` cannot be read.
template <typename Need>
DropReason quoted_ipv4(const std::uint8_t* frame, Need need, Quote<Ipv4>& out) {
  if (const auto r = need(out.l3 + sizeof(Ipv4Header)); r != DropReason::none) return r;
  const auto& ip = *reinterpret_cast<const Ipv4Header*>(frame + out.l3);
  const std::uint32_t header = ip.header_bytes(), total = ip.total_length.host();
  if (ip.version_ihl >> 4 != 4 || header < sizeof(Ipv4Header) || total < header) {
    return DropReason::icmp_quote;
  }
  out.source = read_address<Ipv4>(ip.source);
  out.destination = read_address<Ipv4>(ip.destination);
  out.protocol = ip.protocol;
  out.later_fragment = (ip.fragment.host() & kIpv4FragmentOffset) != 0;
  out.l4 = out.l3 + header;
  out.end = std::min(out.end, out.l3 + total);
  return need(out.l4);
}

// Extension headers that the quoted packet has; a later fragment's are followed by its data.
template <typename Need>
DropReason quoted_ipv6(const std::uint8_t* frame, Need need, Quote<Ipv6>& out) {
  if (const auto r = need(out.l3 + sizeof(Ipv6Header)); r != DropReason::none) return r;
  const auto& ip = *reinterpret_cast<const Ipv6Header*>(frame + out.l3);
  if (ip.version_class_label[0] >> 4 != 6) return DropReason::icmp_quote;
  out.source = read_address<Ipv6>(ip.source);
  out.destination = read_address<Ipv6>(ip.destination);
  out.protocol = ip.next_header;
  out.l4 = out.l3 + static_cast<std::uint32_t>(sizeof(Ipv6Header));
  out.end = std::min(out.end, out.l4 + ip.payload_length.host());
  for (unsigned count = 0; out.protocol == kIpv6HopByHop || out.protocol == kIpv6Routing ||
                           out.protocol == kIpv6DestinationOptions || out.protocol == kIpv6Fragment;
       ++count) {
    if (count == kMaxQuotedExtensions) return DropReason::icmp_quote;
    if (const auto r = need(out.l4 + 8); r != DropReason::none) return r;
    const std::uint8_t* extension = frame + out.l4;
    const bool fragment = out.protocol == kIpv6Fragment;
    out.protocol = extension[0];
    out.l4 += fragment ? 8 : (extension[1] + 1u) * 8;
    if (!fragment) continue;
    Be16 offset;
    std::memcpy(&offset, extension + 2, sizeof(offset));
    out.later_fragment = (offset.host() & 0xfff8) != 0;
    if (out.later_fragment) break;
  }
  return need(out.l4);
}

// Replaces words of the quoted packet; the error's own checksum, in which each of them counts,
// follows.
class QuoteWriter {
 public:
  explicit QuoteWriter(ChecksumDelta& icmp) : icmp_(icmp) {}

  void set(std::uint8_t* at, Be16 value) {
    Be16 before;
    std::memcpy(&before, at, sizeof(before));
    icmp_.replace(before, value);
    std::memcpy(at, &value, sizeof(value));
  }
  template <std::size_t kBytes>
  void set(std::uint8_t* at, const std::uint8_t* value) {
    icmp_.replace<kBytes>(at, value);
    std::memcpy(at, value, kBytes);
  }

 private:
  ChecksumDelta& icmp_;
};

// Ports, a TCP sequence number, and the checksum if it is within the quote.
template <typename Family>
void translate_quoted_transport(std::uint8_t* frame, const Quote<Family>& quote,
                                const ErrorTranslation<Family>& translation,
                                const ChecksumDelta& addresses, QuoteWriter& writer) {
  ChecksumDelta delta = addresses;
  std::uint8_t* l4 = frame + quote.l4;
  delta.replace(quote.source_port, translation.quoted_source.port);
  delta.replace(quote.destination_port, translation.quoted_destination.port);
  writer.set(l4, translation.quoted_source.port);
  writer.set(l4 + 2, translation.quoted_destination.port);
  if (quote.protocol == kProtocolUdp) {
    auto& udp = *reinterpret_cast<UdpHeader*>(l4);
    writer.set(reinterpret_cast<std::uint8_t*>(&udp.checksum), delta.apply_udp(udp.checksum));
    return;
  }
  if (quote.protocol != kProtocolTcp) return;
  if (translation.sequence_delta != 0) {
    std::uint8_t sequence[4];
    write32(sequence, read32(l4 + 4) + translation.sequence_delta);
    delta.replace<4>(l4 + 4, sequence);
    writer.template set<4>(l4 + 4, sequence);
  }
  if (quote.end - quote.l4 < kTcpChecksumAt + sizeof(Be16)) return;
  Be16 checksum;
  std::memcpy(&checksum, l4 + kTcpChecksumAt, sizeof(checksum));
  writer.set(l4 + kTcpChecksumAt, delta.apply(checksum));
}

}  // namespace

template <typename Family>
DropReason find_quoted(const std::uint8_t* frame, std::uint32_t contiguous, std::uint32_t l3,
                       std::uint32_t end, Quote<Family>& out) {
  out = {};
  out.l3 = l3;
  out.end = end;
  const auto need = [&](std::uint32_t at) {
    if (at > out.end) return DropReason::icmp_quote;
    return at > contiguous ? DropReason::split_header : DropReason::none;
  };
  DropReason reason;
  if constexpr (Family::kAddressBytes == 4) {
    reason = quoted_ipv4(frame, need, out);
  } else {
    reason = quoted_ipv6(frame, need, out);
  }
  if (reason != DropReason::none || !out.has_ports()) return reason;
  if (const auto r = need(out.l4 + kLeastTransport); r != DropReason::none) return r;
  // What is further behind is of use only as far as it can be reached.
  out.end = std::min(out.end, contiguous);
  const auto& ports = *reinterpret_cast<const UdpHeader*>(frame + out.l4);
  out.source_port = ports.source_port;
  out.destination_port = ports.destination_port;
  return DropReason::none;
}

template <typename Family>
void translate_error(std::uint8_t* frame, std::uint32_t l3, std::uint32_t l4,
                     const Quote<Family>& quote, const ErrorTranslation<Family>& translation) {
  constexpr std::size_t kBytes = Family::kAddressBytes;
  auto& ip = *reinterpret_cast<IpHeader<Family>*>(frame + l3);
  auto& icmp = *reinterpret_cast<IcmpHeader*>(frame + l4);
  auto& quoted = *reinterpret_cast<IpHeader<Family>*>(frame + quote.l3);
  ChecksumDelta message;
  QuoteWriter writer(message);

  ChecksumDelta quoted_addresses;
  const auto& source = translation.quoted_source.address;
  const auto& destination = translation.quoted_destination.address;
  quoted_addresses.replace<kBytes>(quoted.source, source.data());
  quoted_addresses.replace<kBytes>(quoted.destination, destination.data());
  writer.template set<kBytes>(quoted.source, source.data());
  writer.template set<kBytes>(quoted.destination, destination.data());
  if constexpr (kBytes == 4) {
    writer.set(reinterpret_cast<std::uint8_t*>(&quoted.checksum),
               quoted_addresses.apply(quoted.checksum));
  }
  if (quote.has_ports()) {
    translate_quoted_transport(frame, quote, translation, quoted_addresses, writer);
  }

  ChecksumDelta addresses;
  addresses.replace<kBytes>(ip.source, translation.source.data());
  addresses.replace<kBytes>(ip.destination, translation.destination.data());
  if constexpr (kBytes == 16) {  // ICMPv6 has a pseudo header.
    message.replace<kBytes>(ip.source, translation.source.data());
    message.replace<kBytes>(ip.destination, translation.destination.data());
  }
  std::memcpy(ip.source, translation.source.data(), kBytes);
  std::memcpy(ip.destination, translation.destination.data(), kBytes);
  if constexpr (kBytes == 4) {
    const auto word = [&ip] { return Be16{static_cast<std::uint16_t>(ip.ttl | ip.protocol << 8)}; };
    const Be16 before = word();
    ip.ttl = static_cast<std::uint8_t>(ip.ttl - translation.ages);
    addresses.replace(before, word());
    ip.checksum = addresses.apply(ip.checksum);
  } else {
    ip.hop_limit = static_cast<std::uint8_t>(ip.hop_limit - translation.ages);
  }
  icmp.checksum = message.apply(icmp.checksum);
}

template <typename Family>
std::uint32_t read_mtu(const std::uint8_t* icmp) {
  const std::uint8_t* rest = reinterpret_cast<const IcmpHeader*>(icmp)->rest;
  const std::uint32_t word = read32(rest);
  return Family::kAddressBytes == 4 ? word & 0xffff : word;
}

template <typename Family>
void write_mtu(std::uint8_t* icmp, std::uint32_t mtu) {
  auto& header = *reinterpret_cast<IcmpHeader*>(icmp);
  std::uint8_t rest[4];
  if constexpr (Family::kAddressBytes == 4)
    mtu = std::min(mtu, 0xffffu) | (read32(header.rest) & 0xffff0000);
  write32(rest, mtu);
  ChecksumDelta delta;
  delta.replace<4>(header.rest, rest);
  std::memcpy(header.rest, rest, sizeof(rest));
  header.checksum = delta.apply(header.checksum);
}

template <typename Family>
bool icmp_checksum_right(const std::uint8_t* l3, const std::uint8_t* icmp, std::uint32_t length) {
  std::uint64_t sum = sum_bytes(icmp, length);
  if constexpr (Family::kAddressBytes == 16) {
    const auto& ip = *reinterpret_cast<const Ipv6Header*>(l3);
    sum += pseudo_header_sum<Ipv6>(ip.source, ip.destination, kProtocolIcmp6, length);
  }
  return fold(sum) == 0xffff;
}

#define SLUICE_INSTANTIATE(Family)                                                              \
  template DropReason find_quoted<Family>(const std::uint8_t*, std::uint32_t, std::uint32_t,    \
                                          std::uint32_t, Quote<Family>&);                       \
  template void translate_error<Family>(std::uint8_t*, std::uint32_t, std::uint32_t,            \
                                        const Quote<Family>&, const ErrorTranslation<Family>&); \
  template std::uint32_t read_mtu<Family>(const std::uint8_t*);                                 \
  template void write_mtu<Family>(std::uint8_t*, std::uint32_t);                                \
  template bool icmp_checksum_right<Family>(const std::uint8_t*, const std::uint8_t*,           \
                                            std::uint32_t);
SLUICE_INSTANTIATE(Ipv4)
SLUICE_INSTANTIATE(Ipv6)

}  // namespace sluice
