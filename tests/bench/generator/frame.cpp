#include "tests/bench/generator/frame.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace sluice::generator {
namespace {

constexpr unsigned kLargestSize = 1518;
constexpr std::uint8_t kTcpPush = 8;
constexpr std::uint8_t kProtocolIpv4 = 4, kProtocolIpv6 = 41;  // RFC 2003, RFC 2473.
constexpr unsigned kGueHeader = 4;

template <typename T>
void put(std::uint8_t* at, const T& header) {
  std::memcpy(at, &header, sizeof(header));
}

void write_ip(std::uint8_t* at, const FrameConfig& config, std::uint16_t payload,
              std::uint8_t protocol, Ipv4*) {
  Ipv4Header ip{};
  ip.version_ihl = 0x45;
  ip.total_length = Be16::from_host(static_cast<std::uint16_t>(sizeof(ip) + payload));
  ip.fragment = Be16::from_host(kIpv4DontFragment);
  ip.ttl = 64;
  ip.protocol = protocol;
  std::memcpy(ip.source, config.first_client.data(), sizeof(ip.source));
  std::memcpy(ip.destination, config.destination.data(), sizeof(ip.destination));
  put(at, ip);
}

void write_ip(std::uint8_t* at, const FrameConfig& config, std::uint16_t payload,
              std::uint8_t protocol, Ipv6*) {
  Ipv6Header ip{};
  ip.version_class_label[0] = 0x60;
  ip.payload_length = Be16::from_host(payload);
  ip.next_header = protocol;
  ip.hop_limit = 64;
  std::memcpy(ip.source, config.first_client.data(), sizeof(ip.source));
  std::memcpy(ip.destination, config.destination.data(), sizeof(ip.destination));
  put(at, ip);
}

}  // namespace

unsigned smallest_size(bool ipv6, Kind kind) {
  // TCP's stamp lies in its header, UDP's behind it.
  const unsigned l4 = kind == Kind::udp ? sizeof(UdpHeader) + sizeof(Stamp) : sizeof(TcpHeader);
  const unsigned bytes =
      4 + sizeof(EthernetHeader) + l4 + (ipv6 ? sizeof(Ipv6Header) : sizeof(Ipv4Header));
  return std::max(bytes, 64u);
}

Result<std::vector<unsigned>> parse_sizes(const std::string& text, bool ipv6, Kind kind) {
  const unsigned least = smallest_size(ipv6, kind);
  if (text == "imix") {
    std::vector<unsigned> sizes;
    for (const char one : {'s', 's', 'm', 's', 's', 'm', 's', 'm', 's', 's', 'm', 'l'})
      sizes.push_back(one == 's' ? least : one == 'm' ? 570 : kLargestSize);
    return sizes;
  }
  unsigned size = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
  if (error != std::errc{} || end != text.data() + text.size() || size < least ||
      size > kLargestSize) {
    return Error{"size: \"" + text + "\" is neither imix nor " + std::to_string(least) + " to " +
                 std::to_string(kLargestSize) + " (bytes with FCS, for this family and kind)"};
  }
  return std::vector<unsigned>{size};
}

Result<Mac> parse_mac(const std::string& text) {
  unsigned byte[6];
  char rest = 0;
  if (text.size() != 17 ||
      std::sscanf(text.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x%c", &byte[0], &byte[1], &byte[2], &byte[3],
                  &byte[4], &byte[5], &rest) != 6) {
    return Error{"\"" + text + "\" is not a MAC such as 02:00:00:00:00:01"};
  }
  Mac mac;
  std::copy(std::begin(byte), std::end(byte), mac.begin());
  return mac;
}

template <typename Family>
Result<Frames<Family>> Frames<Family>::make(const FrameConfig& config) {
  constexpr bool kIpv6 = std::is_same_v<Family, Ipv6>;
  for (const IpAddress* address : {&config.first_client, &config.destination}) {
    if (address->size() != Family::kAddressBytes)
      return Error{address->text() + ": client and destination must be of one family"};
  }
  Frames frames;
  frames.first_client_ = read32(config.first_client.data() + Family::kAddressBytes - 4);
  if (frames.first_client_ > UINT32_MAX - kMostClients)
    return Error{config.first_client.text() + ": too few addresses follow it"};
  frames.tcp_ = config.kind != Kind::udp;
  frames.protocol_ = frames.tcp_ ? kProtocolTcp : kProtocolUdp;
  frames.stamp_offset_ = frames.tcp_ ? 4 : sizeof(UdpHeader);
  frames.checksum_offset_ = frames.tcp_ ? 16 : 6;
  frames.l4_bytes_ = frames.tcp_ ? sizeof(TcpHeader) : sizeof(UdpHeader) + sizeof(Stamp);
  frames.kinds_ = static_cast<unsigned>(config.sizes.size());
  frames.turn_ = Modulo(frames.kinds_);
  const std::uint8_t data = config.kind == Kind::syn ? kTcpSyn : kTcpAck | kTcpPush;
  for (const std::uint8_t flags : {data, kTcpSyn}) {
    for (const unsigned size : config.sizes) {
      if (size < smallest_size(kIpv6, config.kind) || size > kLargestSize)
        return Error{"size " + std::to_string(size) + " is out of range"};
      frames.templates_.push_back(frames.make_template(config, size, flags));
      frames.longest_ = std::max(frames.longest_, frames.templates_.back().length);
    }
  }
  return frames;
}

template <typename Family>
typename Frames<Family>::Template Frames<Family>::make_template(const FrameConfig& config,
                                                                unsigned size,
                                                                std::uint8_t flags) const {
  Template out{};
  out.length = size - kFcs;
  EthernetHeader ethernet{};
  std::copy(config.destination_mac.begin(), config.destination_mac.end(), ethernet.destination);
  std::copy(config.source_mac.begin(), config.source_mac.end(), ethernet.source);
  ethernet.type = Be16::from_host(Family::kEtherType);
  put(out.bytes, ethernet);
  const auto payload = static_cast<std::uint16_t>(out.length - kL4);
  write_ip(out.bytes + kL3, config, payload, protocol_, static_cast<Family*>(nullptr));
  std::memset(out.bytes + kClient, 0,
              4);  // Each packet's own; added to the sums when it is written.
  if (tcp_) {
    TcpHeader tcp{};
    tcp.destination_port = Be16::from_host(config.destination_port);
    tcp.data_offset = sizeof(tcp) / 4 << 4;
    tcp.flags = flags;
    tcp.window = Be16::from_host(0xffff);
    put(out.bytes + kL4, tcp);
  } else {
    UdpHeader udp{};
    udp.destination_port = Be16::from_host(config.destination_port);
    udp.length = Be16::from_host(payload);
    put(out.bytes + kL4, udp);
  }
  const std::uint8_t* source = out.bytes + kL3 + kSource;
  out.ip_sum = sum_bytes(out.bytes + kL3, kL4 - kL3);
  out.l4_sum =
      sum_bytes(out.bytes + kL4, kTemplateBytes - kL4) +
      pseudo_header_sum<Family>(source, source + Family::kAddressBytes, protocol_, payload);
  return out;
}

template <typename Family>
bool Frames<Family>::find_in_tunnel(std::uint8_t* frame, unsigned length, Found& found) const {
  const std::uint16_t type = ether_type(frame, length);
  unsigned at, next;
  if (type == Ipv4::kEtherType && length >= kL3 + sizeof(Ipv4Header)) {
    at = kL3 + (frame[kL3] & 15u) * 4u;
    next = frame[kL3 + offsetof(Ipv4Header, protocol)];
  } else if (type == Ipv6::kEtherType && length >= kL3 + sizeof(Ipv6Header)) {
    at = kL3 + sizeof(Ipv6Header);
    next = frame[kL3 + offsetof(Ipv6Header, next_header)];
  } else {
    return false;
  }
  if (next == kProtocolUdp) {
    if (length < at + sizeof(UdpHeader) + kGueHeader ||
        (frame[at + 2] << 8 | frame[at + 3]) != kGuePort)
      return false;
    next = frame[at + sizeof(UdpHeader) + 1];
    at += sizeof(UdpHeader) + kGueHeader;
  }
  const std::uint16_t inner = next == kProtocolIpv4   ? Ipv4::kEtherType
                              : next == kProtocolIpv6 ? Ipv6::kEtherType
                                                      : std::uint16_t{0};
  if (at >= length || !is_ours(frame + at, length - at, inner)) return false;
  found = {frame + at, frame + at + (kL4 - kL3)};
  return true;
}

template class Frames<Ipv4>;
template class Frames<Ipv6>;

}  // namespace sluice::generator
