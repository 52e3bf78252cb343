#include "dataplane/kernel/frame.h"

namespace sluice {
namespace {

constexpr std::size_t kMacs = 12;
constexpr std::uint16_t kArp = 0x0806, kIpv4 = 0x0800, kIpv6 = 0x86dd;
constexpr std::uint16_t kVlan = 0x8100, kServiceVlan = 0x88a8;
constexpr std::uint16_t kBgp = 179, kBfd = 3784, kBfdEcho = 3785, kBfdMultihop = 4784;

std::uint16_t be16(const std::uint8_t* at) {
  return static_cast<std::uint16_t>(at[0] << 8 | at[1]);
}

struct Layer3 {
  std::uint16_t ether_type = 0;
  const std::uint8_t* header = nullptr;
  std::size_t length = 0;
};

Layer3 layer3(const std::uint8_t* frame, std::size_t length) {
  std::size_t at = kMacs;
  for (int tags = 0; at + 2 <= length; at += 4, ++tags) {
    const std::uint16_t type = be16(frame + at);
    if ((type == kVlan || type == kServiceVlan) && tags < 2) continue;
    return {type, frame + at + 2, length - at - 2};
  }
  return {};
}

bool is_control_port(std::uint8_t protocol, const std::uint8_t* ports) {
  const std::uint16_t source = be16(ports), destination = be16(ports + 2);
  if (protocol == 6) return source == kBgp || destination == kBgp;
  return protocol == 17 &&
         (destination == kBfd || destination == kBfdEcho || destination == kBfdMultihop);
}

bool ipv4_is_control(const std::uint8_t* header, std::size_t length) {
  if (length < 20) return false;
  if (header[16] == 224 && header[17] == 0 && header[18] == 0) return true;  // 224.0.0.0/24
  const std::size_t header_length = (header[0] & 0x0fu) * 4u;
  const bool first_fragment = (be16(header + 6) & 0x1fff) == 0;
  if (header_length < 20 || length < header_length + 4 || !first_fragment) return false;
  return is_control_port(header[9], header + header_length);
}

bool ipv6_is_control(const std::uint8_t* header, std::size_t length) {
  if (length < 44) return false;
  if (header[24] == 0xff && (header[25] & 0x0f) == 2) return true;  // ff02::/16, link-local
  const std::uint8_t next = header[6];
  if (next == 58) return header[40] >= 133 && header[40] <= 137;  // RFC 4861
  return is_control_port(next, header + 40);
}

}  // namespace

std::optional<IpAddress> frame_destination(const std::uint8_t* frame, std::size_t length) {
  const Layer3 ip = layer3(frame, length);
  if (ip.ether_type == kIpv4 && ip.length >= 20) return IpAddress::v4(ip.header + 16);
  if (ip.ether_type == kIpv6 && ip.length >= 40) return IpAddress::v6(ip.header + 24);
  return std::nullopt;
}

bool frame_is_control(const std::uint8_t* frame, std::size_t length) {
  const Layer3 l3 = layer3(frame, length);
  if (l3.ether_type == kArp) return true;
  if (l3.ether_type == kIpv4) return ipv4_is_control(l3.header, l3.length);
  return l3.ether_type == kIpv6 && ipv6_is_control(l3.header, l3.length);
}

}  // namespace sluice
