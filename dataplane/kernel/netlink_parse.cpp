#include "dataplane/kernel/netlink_parse.h"

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace sluice {
namespace {

// Attributes by type, the last of each; types beyond kMax are ignored.
class Attributes {
 public:
  // `header`: bytes of the family's header, known to be there.
  Attributes(const nlmsghdr* message, std::size_t header)
      : Attributes(mnl_nlmsg_get_payload_offset(message, header),
                   message->nlmsg_len - MNL_NLMSG_HDRLEN - MNL_ALIGN(header)) {}
  Attributes(const void* payload, std::size_t length) {
    const char* const end = static_cast<const char*>(payload) + length;
    for (const auto* attribute = static_cast<const nlattr*>(payload);
         mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)));
         attribute = mnl_attr_next(attribute)) {
      keep(attribute);
    }
  }

  const nlattr* find(unsigned type) const { return type <= kMax ? table_[type] : nullptr; }
  std::uint32_t u32(unsigned type, std::uint32_t otherwise = 0) const {
    return number<std::uint32_t>(type, otherwise);
  }
  std::uint8_t u8(unsigned type) const { return number<std::uint8_t>(type, 0); }
  std::string text(unsigned type) const {
    const nlattr* attribute = find(type);
    if (attribute == nullptr) return {};
    const char* begin = static_cast<const char*>(mnl_attr_get_payload(attribute));
    return {begin, strnlen(begin, mnl_attr_get_payload_len(attribute))};
  }
  // Of 4 or 16 bytes; else the empty address.
  IpAddress address(unsigned type) const {
    const nlattr* attribute = find(type);
    return attribute == nullptr
               ? IpAddress()
               : address_of(mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute));
  }
  // RTA_VIA: a family, then an address of it.
  IpAddress via(unsigned type) const {
    const nlattr* attribute = find(type);
    if (attribute == nullptr || mnl_attr_get_payload_len(attribute) < 2) return {};
    const auto* bytes = static_cast<const std::uint8_t*>(mnl_attr_get_payload(attribute));
    return address_of(bytes + 2, mnl_attr_get_payload_len(attribute) - 2u);
  }

 private:
  static constexpr unsigned kMax = 63;
  static IpAddress address_of(const void* bytes, std::size_t length) {
    if (length == 4) return IpAddress::v4(bytes);
    if (length == 16) return IpAddress::v6(bytes);
    return {};
  }
  template <typename T>
  T number(unsigned type, T otherwise) const {
    const nlattr* attribute = find(type);
    if (attribute == nullptr || mnl_attr_get_payload_len(attribute) < sizeof(T)) return otherwise;
    T value;
    std::memcpy(&value, mnl_attr_get_payload(attribute), sizeof value);
    return value;
  }
  void keep(const nlattr* attribute) {
    const unsigned type = mnl_attr_get_type(attribute);
    if (type <= kMax) table_[type] = attribute;
  }
  std::array<const nlattr*, kMax + 1> table_{};
};

template <typename Header>
const Header* header_of(const nlmsghdr* message) {
  if (message->nlmsg_len < MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(Header))) return nullptr;
  return static_cast<const Header*>(mnl_nlmsg_get_payload(message));
}

bool hop_is_dead(unsigned flags) {
  return (flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)) != 0;
}

std::optional<KernelEvent> parse_link(const nlmsghdr* message) {
  const auto* header = header_of<ifinfomsg>(message);
  if (header == nullptr || header->ifi_family != AF_UNSPEC) return std::nullopt;
  const Attributes attributes(message, sizeof *header);
  LinkEvent event;
  event.removed = message->nlmsg_type == RTM_DELLINK;
  event.index = header->ifi_index;
  event.name = attributes.text(IFLA_IFNAME);
  event.flags = header->ifi_flags;
  event.mtu = attributes.u32(IFLA_MTU);
  return event;
}

std::optional<KernelEvent> parse_address(const nlmsghdr* message) {
  const auto* header = header_of<ifaddrmsg>(message);
  if (header == nullptr) return std::nullopt;
  const Attributes attributes(message, sizeof *header);
  AddressEvent event;
  event.removed = message->nlmsg_type == RTM_DELADDR;
  event.link = static_cast<int>(header->ifa_index);
  event.address = attributes.address(IFA_LOCAL);
  if (event.address.size() == 0) event.address = attributes.address(IFA_ADDRESS);
  if (event.address.size() == 0) return std::nullopt;
  event.prefix_length = std::min<unsigned>(header->ifa_prefixlen, event.address.size() * 8u);
  event.scope = header->ifa_scope;
  event.flags = attributes.u32(IFA_FLAGS, header->ifa_flags);
  return event;
}

// False: malformed.
bool parse_multipath(const nlattr* attribute, std::vector<RouteHop>& hops) {
  const auto* at = static_cast<const char*>(mnl_attr_get_payload(attribute));
  std::size_t left = mnl_attr_get_payload_len(attribute);
  while (left >= sizeof(rtnexthop)) {
    rtnexthop header;
    std::memcpy(&header, at, sizeof header);
    if (header.rtnh_len < sizeof header || header.rtnh_len > left) return false;
    const Attributes nested(at + sizeof header, header.rtnh_len - sizeof header);
    RouteHop& hop = hops.emplace_back();
    hop.link = header.rtnh_ifindex;
    hop.gateway = nested.address(RTA_GATEWAY);
    if (hop.gateway.size() == 0) hop.gateway = nested.via(RTA_VIA);
    hop.weight = header.rtnh_hops + 1u;
    hop.dead = hop_is_dead(header.rtnh_flags);
    const std::size_t step = std::min<std::size_t>(left, RTNH_ALIGN(header.rtnh_len));
    at += step;
    left -= step;
  }
  return true;
}

std::optional<KernelEvent> parse_route(const nlmsghdr* message) {
  const auto* header = header_of<rtmsg>(message);
  if (header == nullptr || (header->rtm_family != AF_INET && header->rtm_family != AF_INET6)) {
    return std::nullopt;
  }
  if ((header->rtm_flags & RTM_F_CLONED) != 0)
    return std::nullopt;  // A cached exception, not a route.
  const Attributes attributes(message, sizeof *header);
  RouteEvent event;
  event.removed = message->nlmsg_type == RTM_DELROUTE;
  event.replace = (message->nlmsg_flags & NLM_F_REPLACE) != 0;
  static constexpr std::uint8_t kZero[16] = {};
  const bool v4 = header->rtm_family == AF_INET;
  IpAddress destination = attributes.address(RTA_DST);
  if (destination.size() == 0) destination = v4 ? IpAddress::v4(kZero) : IpAddress::v6(kZero);
  if (destination.is_v4() != v4 || header->rtm_dst_len > destination.size() * 8)
    return std::nullopt;
  if (header->rtm_src_len != 0) return std::nullopt;  // Source routing: not for the main path.
  event.prefix = IpPrefix(destination, header->rtm_dst_len);
  event.table = attributes.u32(RTA_TABLE, header->rtm_table);
  event.metric = attributes.u32(RTA_PRIORITY);
  event.tos = header->rtm_tos;
  event.type = header->rtm_type;
  event.nexthop_id = attributes.u32(RTA_NH_ID);
  if (const nlattr* multipath = attributes.find(RTA_MULTIPATH)) {
    if (!parse_multipath(multipath, event.hops)) return std::nullopt;
  } else if (attributes.find(RTA_OIF) != nullptr) {
    RouteHop& hop = event.hops.emplace_back();
    hop.link = static_cast<int>(attributes.u32(RTA_OIF));
    hop.gateway = attributes.address(RTA_GATEWAY);
    if (hop.gateway.size() == 0) hop.gateway = attributes.via(RTA_VIA);
    hop.dead = hop_is_dead(header->rtm_flags);
  }
  return event;
}

std::optional<KernelEvent> parse_neighbour(const nlmsghdr* message) {
  const auto* header = header_of<ndmsg>(message);
  if (header == nullptr || (header->ndm_family != AF_INET && header->ndm_family != AF_INET6)) {
    return std::nullopt;
  }
  const Attributes attributes(message, sizeof *header);
  NeighbourEvent event;
  event.removed = message->nlmsg_type == RTM_DELNEIGH;
  event.link = header->ndm_ifindex;
  event.address = attributes.address(NDA_DST);
  if (event.address.size() == 0) return std::nullopt;
  event.state = header->ndm_state;
  event.proxy = (header->ndm_flags & NTF_PROXY) != 0;
  event.protocol = attributes.u8(NDA_PROTOCOL);
  const nlattr* mac = attributes.find(NDA_LLADDR);
  if (mac != nullptr && mnl_attr_get_payload_len(mac) == sizeof event.mac) {
    std::memcpy(event.mac, mnl_attr_get_payload(mac), sizeof event.mac);
    event.has_mac = true;
  }
  return event;
}

std::optional<KernelEvent> parse_nexthop(const nlmsghdr* message) {
  const auto* header = header_of<nhmsg>(message);
  if (header == nullptr) return std::nullopt;
  const Attributes attributes(message, sizeof *header);
  NexthopEvent event;
  event.removed = message->nlmsg_type == RTM_DELNEXTHOP;
  event.id = attributes.u32(NHA_ID);
  if (event.id == 0) return std::nullopt;
  event.blackhole = attributes.find(NHA_BLACKHOLE) != nullptr;
  event.hop.link = static_cast<int>(attributes.u32(NHA_OIF));
  event.hop.gateway = attributes.address(NHA_GATEWAY);
  event.hop.dead = hop_is_dead(header->nh_flags);
  if (const nlattr* group = attributes.find(NHA_GROUP)) {
    const auto* at = static_cast<const char*>(mnl_attr_get_payload(group));
    for (std::size_t left = mnl_attr_get_payload_len(group); left >= sizeof(nexthop_grp);
         left -= sizeof(nexthop_grp), at += sizeof(nexthop_grp)) {
      nexthop_grp member;
      std::memcpy(&member, at, sizeof member);
      event.group.push_back({member.id, member.weight + 1u});
    }
  }
  return event;
}

}  // namespace

std::optional<KernelEvent> parse_kernel_event(const nlmsghdr* message) {
  switch (message->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return parse_link(message);
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return parse_address(message);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return parse_route(message);
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      return parse_neighbour(message);
    case RTM_NEWNEXTHOP:
    case RTM_DELNEXTHOP:
      return parse_nexthop(message);
    default:
      return std::nullopt;
  }
}

}  // namespace sluice
