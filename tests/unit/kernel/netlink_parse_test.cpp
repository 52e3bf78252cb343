// Messages as the kernel forms them, whole and cut at every length.
#include "dataplane/kernel/netlink_parse.h"

#include <gtest/gtest.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cstring>
#include <functional>
#include <memory>
#include <vector>

namespace sluice {
namespace {

class MessageTest : public testing::Test {
 protected:
  template <typename Header>
  Header& start(std::uint16_t type) {
    message_ = mnl_nlmsg_put_header(buffer_);
    message_->nlmsg_type = type;
    return *static_cast<Header*>(mnl_nlmsg_put_extra_header(message_, sizeof(Header)));
  }
  void put(std::uint16_t type, const char* address) {
    const IpAddress ip = IpAddress::parse(address).value();
    mnl_attr_put(message_, type, ip.size(), ip.data());
  }
  void multipath_hop(const char* gateway, int link, std::uint8_t weight) {
    const IpAddress ip = IpAddress::parse(gateway).value();
    auto* hop = static_cast<rtnexthop*>(mnl_nlmsg_get_payload_tail(message_));
    *hop = {};
    hop->rtnh_ifindex = link;
    hop->rtnh_hops = static_cast<std::uint8_t>(weight - 1);
    const std::uint32_t before = message_->nlmsg_len;
    message_->nlmsg_len += sizeof *hop;
    mnl_attr_put(message_, RTA_GATEWAY, ip.size(), ip.data());
    hop->rtnh_len = static_cast<std::uint16_t>(message_->nlmsg_len - before);
  }
  // On heap copies of the exact length, so that the address sanitizer sees a byte read beyond.
  void cut_everywhere() {
    for (std::uint32_t length = MNL_NLMSG_HDRLEN; length <= message_->nlmsg_len; ++length) {
      const auto copy = std::make_unique<char[]>(length);
      std::memcpy(copy.get(), message_, length);
      auto* cut = reinterpret_cast<nlmsghdr*>(copy.get());
      cut->nlmsg_len = length;
      (void)parse_kernel_event(cut);
    }
  }

  alignas(nlmsghdr) char buffer_[4096] = {};
  nlmsghdr* message_ = nullptr;
};

TEST_F(MessageTest, AMultipathRoute) {
  auto& header = start<rtmsg>(RTM_NEWROUTE);
  header.rtm_family = AF_INET6;
  header.rtm_dst_len = 48;
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_type = RTN_UNICAST;
  put(RTA_DST, "2001:db8:9::");
  mnl_attr_put_u32(message_, RTA_PRIORITY, 1024);
  nlattr* nest = mnl_attr_nest_start(message_, RTA_MULTIPATH);
  multipath_hop("2001:db8::1", 3, 1);
  multipath_hop("2001:db8::2", 4, 200);
  mnl_attr_nest_end(message_, nest);

  const auto event = parse_kernel_event(message_);
  ASSERT_TRUE(event.has_value());
  const auto& route = std::get<RouteEvent>(*event);
  EXPECT_EQ(route.prefix.text(), "2001:db8:9::/48");
  EXPECT_EQ(route.metric, 1024u);
  ASSERT_EQ(route.hops.size(), 2u);
  EXPECT_EQ(route.hops[1].gateway.text(), "2001:db8::2");
  EXPECT_EQ(route.hops[1].link, 4);
  EXPECT_EQ(route.hops[1].weight, 200u);
  cut_everywhere();
}

TEST_F(MessageTest, ARouteThatLiesOfItsLengthsIsRefused) {
  auto& header = start<rtmsg>(RTM_NEWROUTE);
  header.rtm_family = AF_INET;
  header.rtm_dst_len = 33;
  put(RTA_DST, "10.0.0.0");
  EXPECT_FALSE(parse_kernel_event(message_).has_value());
  auto& other = start<rtmsg>(RTM_NEWROUTE);
  other.rtm_family = AF_INET;
  other.rtm_dst_len = 32;
  put(RTA_DST, "2001:db8::1");  // Of the other family.
  EXPECT_FALSE(parse_kernel_event(message_).has_value());
}

TEST_F(MessageTest, ANeighbourAndAProxy) {
  auto& header = start<ndmsg>(RTM_NEWNEIGH);
  header.ndm_family = AF_INET;
  header.ndm_ifindex = 7;
  header.ndm_state = NUD_STALE;
  put(NDA_DST, "10.0.0.5");
  const std::uint8_t mac[6] = {2, 0, 0, 0, 0, 9};
  mnl_attr_put(message_, NDA_LLADDR, sizeof mac, mac);
  auto event = parse_kernel_event(message_);
  ASSERT_TRUE(event.has_value());
  const auto& neighbour = std::get<NeighbourEvent>(*event);
  EXPECT_EQ(neighbour.link, 7);
  EXPECT_TRUE(neighbour.has_mac);
  EXPECT_FALSE(neighbour.proxy);
  EXPECT_EQ(neighbour.mac[5], 9);
  cut_everywhere();
  static_cast<ndmsg*>(mnl_nlmsg_get_payload(message_))->ndm_flags = NTF_PROXY;
  EXPECT_TRUE(std::get<NeighbourEvent>(*parse_kernel_event(message_)).proxy);
}

TEST_F(MessageTest, AnAddressIsTheLinksOwnAndNotItsPeers) {
  auto& header = start<ifaddrmsg>(RTM_NEWADDR);
  header.ifa_family = AF_INET;
  header.ifa_prefixlen = 200;  // Nonsense is bounded.
  header.ifa_index = 3;
  put(IFA_ADDRESS, "10.0.0.2");
  put(IFA_LOCAL, "10.0.0.1");
  const auto event = parse_kernel_event(message_);
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(std::get<AddressEvent>(*event).address.text(), "10.0.0.1");
  EXPECT_EQ(std::get<AddressEvent>(*event).prefix_length, 32u);
  cut_everywhere();
}

TEST_F(MessageTest, OtherMessagesAreIgnored) {
  start<rtmsg>(RTM_NEWRULE);
  EXPECT_FALSE(parse_kernel_event(message_).has_value());
}

}  // namespace
}  // namespace sluice
