#include "control/cli/pool_usage.h"

#include <gmock/gmock.h>

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

v1::AddressPool pool(const std::string& name, std::initializer_list<const char*> addresses) {
  v1::AddressPool p;
  p.mutable_metadata()->set_name(name);
  for (const char* text : addresses) p.mutable_spec()->add_addresses(text);
  return p;
}

Ledger ledger_of(std::initializer_list<const char*> held,
                 std::initializer_list<const char*> released) {
  Ledger ledger;
  for (const char* text : held) {
    v1::Address& record = ledger[*IpAddress::parse(text)];
    record.set_pool("p");
    v1::AddressHolder& holder = *record.add_holders();
    holder.set_source("prod");
    holder.set_namespace_("shop");
    holder.set_name("web");
    v1::HeldPort& port = *holder.add_ports();
    port.set_protocol("TCP");
    port.set_port(443);
  }
  for (const char* text : released) {
    v1::Address& record = ledger[*IpAddress::parse(text)];
    record.set_pool("p");
    record.set_released_unix_ms(1'000);
    record.mutable_last_holder()->set_name("old");
  }
  return ledger;
}

std::chrono::system_clock::time_point now() {
  return std::chrono::system_clock::time_point(std::chrono::seconds(11));
}

TEST(PoolUsage, CountsByFamily) {
  const v1::AddressPool p = pool("p", {"192.0.2.0/29", "2001:db8::/126"});
  const auto status = usage_of(
      p.spec(), ledger_of({"192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.100"}, {"192.0.2.3"}));
  EXPECT_EQ(status.ipv4().total(), 8u);
  EXPECT_EQ(status.ipv4().used(), 2u);
  EXPECT_EQ(status.ipv4().on_hold(), 1u);
  EXPECT_EQ(status.ipv4().free(), 5u);
  EXPECT_EQ(status.ipv6().used(), 1u);
  EXPECT_EQ(status.ipv6().free(), 3u);
  EXPECT_EQ(usage_text(status, &v1::PoolUsage::used), "IPv4:2,IPv6:1");
  const auto single = usage_of(pool("q", {"192.0.2.0/30"}).spec(), {});
  EXPECT_FALSE(single.has_ipv6());
  EXPECT_EQ(usage_text(single, &v1::PoolUsage::free), "4");
}

TEST(PoolUsage, DescribesWhoHoldsWhat) {
  v1::AddressPool p = pool("p", {"192.0.2.0/29"});
  p.mutable_spec()->add_clusters("prod");
  (*p.mutable_spec()->mutable_namespace_selector()->mutable_match_labels())["env"] = "live";
  const v1::AddressPool q = pool("q", {"192.0.2.4"});
  const std::string text =
      describe_pool(p, {&p, &q}, ledger_of({"192.0.2.1"}, {"192.0.2.2"}), now());
  EXPECT_THAT(text, HasSubstr("Clusters:             prod\n"));
  EXPECT_THAT(text, HasSubstr("Namespace Selector:   env=live\n"));
  EXPECT_THAT(text, HasSubstr("Free:                 6\n"));
  EXPECT_THAT(text, HasSubstr("overlaps pools q"));
  EXPECT_THAT(text, HasSubstr("prod/shop/web"));
  EXPECT_THAT(text, HasSubstr("443/TCP"));
  EXPECT_THAT(text, HasSubstr("released 10s ago"));
}

TEST(PoolUsage, WarnsOfOverlapsAndOfHoldersLeftOutside) {
  const v1::AddressPool before = pool("p", {"192.0.2.0/24"}),
                        other = pool("q", {"198.51.100.0/24"});
  const v1::AddressPool small = pool("p", {"192.0.2.0/29", "198.51.100.7"});
  const Ledger ledger = ledger_of({"192.0.2.1", "192.0.2.77"}, {"192.0.2.99"});
  const auto warnings = pool_warnings({&small}, {&before, &other}, ledger);
  ASSERT_EQ(warnings.size(), 2u);
  EXPECT_THAT(warnings[0], HasSubstr("pool p overlaps q"));
  EXPECT_THAT(warnings[1],
              HasSubstr("no longer has 192.0.2.77 (prod/shop/web); who holds them keeps them"));
  EXPECT_THAT(warnings[1], Not(HasSubstr("192.0.2.99")));
  EXPECT_THAT(pool_warnings({&before}, {&before, &other}, ledger), IsEmpty());
}

}  // namespace
}  // namespace sluice
