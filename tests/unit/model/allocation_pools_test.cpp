// Whom pools are for, sharing, externalIPs, and what a Service's status tells.
#include <gmock/gmock.h>

#include "control/model/allocation.h"
#include "control/model/label_selector.h"
#include "world.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

std::string pool(const std::string& name, const std::string& addresses,
                 const std::string& more = "") {
  return "{apiVersion: sluice.dev/v1, kind: AddressPool, metadata: {name: " + name +
         "}, spec: {addresses: [" + addresses + "]" + (more.empty() ? "" : ", " + more) +
         "}}\n---\n";
}
struct Wish {
  std::string annotations = "";
  std::string spec = "type: LoadBalancer";
  std::string ns = "default";
  std::string labels = "";
  int port = 80;
  std::string status = "";
};
std::string service(const std::string& name, const Wish& wish = {}) {
  return "{apiVersion: v1, kind: Service, metadata: {name: " + name + ", namespace: " + wish.ns +
         ", uid: uid-" + name + ", labels: {" + wish.labels + "}, annotations: {" +
         wish.annotations + "}}, spec: {ports: [{port: " + std::to_string(wish.port) + "}], " +
         wish.spec + "}" + (wish.status.empty() ? "" : ", status: {" + wish.status + "}") +
         "}\n---\n";
}
std::string ns_object(const std::string& name, const std::string& labels) {
  return "{apiVersion: v1, kind: Namespace, metadata: {name: " + name + ", labels: {" + labels +
         "}}}\n---\n";
}
std::string shares(const std::string& key) {
  return "sluice.dev/allow-shared-ip: " + key;
}
std::string in_status(const std::string& address) {
  return "loadBalancer: {ingress: [{ip: " + address + "}]}";
}
const v1::AddressHolder& holder(const World& world, const std::string& address) {
  return world.ledger.at(*IpAddress::parse(address)).holders(0);
}

Match matched(const std::string& selector, const std::map<std::string, std::string>& labels,
              bool known = true) {
  World world;
  world.apply(pool("p", "192.0.2.1", "serviceSelector: " + selector));
  const auto pools = world.model.pools();
  return match(pools.at("p")->address_pool().spec().service_selector(),
               [&](const std::string& key) {
                 const auto at = labels.find(key);
                 return Label{known, at == labels.end() ? nullptr : &at->second};
               });
}

TEST(LabelSelector, FollowsKubernetes) {
  const std::map<std::string, std::string> labels{{"a", "1"}, {"b", "2"}};
  EXPECT_EQ(matched("{}", labels), Match::yes);
  EXPECT_EQ(matched("{matchLabels: {a: \"1\"}}", labels), Match::yes);
  EXPECT_EQ(matched("{matchLabels: {a: \"1\", b: \"3\"}}", labels), Match::no);
  const auto term = [&](const std::string& text) {
    return matched("{matchExpressions: [{" + text + "}]}", labels);
  };
  EXPECT_EQ(term("key: a, operator: In, values: [\"0\", \"1\"]"), Match::yes);
  EXPECT_EQ(term("key: c, operator: In, values: [\"1\"]"), Match::no);
  EXPECT_EQ(term("key: a, operator: NotIn, values: [\"1\"]"), Match::no);
  EXPECT_EQ(term("key: c, operator: NotIn, values: [\"1\"]"), Match::yes);
  EXPECT_EQ(term("key: a, operator: Exists"), Match::yes);
  EXPECT_EQ(term("key: c, operator: Exists"), Match::no);
  EXPECT_EQ(term("key: c, operator: DoesNotExist"), Match::yes);
  EXPECT_EQ(term("key: a, operator: DoesNotExist"), Match::no);
  EXPECT_EQ(matched("{matchExpressions: [{key: a, operator: DoesNotExist}]}", {}, false),
            Match::unknown);
  EXPECT_EQ(matched("{}", {}, false), Match::yes);
}

TEST(Pools, AreForClustersNamespacesAndLabels) {
  World world;
  world.set_complete("prod", true);
  world.apply(pool("by-cluster", "192.0.2.0/28", "clusters: [prod], priority: 4") +
              pool("by-name", "192.0.2.16/28", "namespaces: [team-a], priority: 3") +
              pool("by-label", "192.0.2.32/28",
                   "serviceSelector: {matchLabels: {tier: web}}, priority: 2") +
              pool("rest", "192.0.2.48/28"));
  world.apply(service("a", {.ns = "team-a"}) + service("b", {.labels = "tier: web"}) +
              service("c"));
  world.apply_to("prod", service("d"));
  world.step();
  EXPECT_EQ(world.condition("b"), "True Allocated: 192.0.2.33");
  EXPECT_EQ(world.condition("c"), "True Allocated: 192.0.2.49");
  EXPECT_EQ(world.condition("prod", "d"), "True Allocated: 192.0.2.1");
  EXPECT_EQ(holder(world, "192.0.2.17").name(), "a");
}

TEST(Pools, ARequestWorksOnlyInsideWhatTheOperatorAllowed) {
  World world;
  world.apply(
      pool("p", "192.0.2.0/24", "namespaces: [team-a], autoAssign: false") +
      service("by-ip", {.spec = "type: LoadBalancer, loadBalancerIP: 192.0.2.5"}) +
      service("by-annotation", {.annotations = "sluice.dev/addresses: 192.0.2.6"}) +
      service("by-pool", {.annotations = "sluice.dev/address-pool: p"}) +
      service("outside", {.annotations = "sluice.dev/addresses: 198.51.100.1"}) +
      service("allowed", {.annotations = "sluice.dev/addresses: 192.0.2.5", .ns = "team-a"}));
  world.step();
  EXPECT_EQ(world.condition("by-ip"),
            "False AddressNotAllowed: 192.0.2.5 is not for this Service: pool p is for namespaces "
            "team-a alone");
  EXPECT_THAT(world.condition("by-annotation"), StartsWith("False AddressNotAllowed: 192.0.2.6"));
  EXPECT_EQ(world.condition("by-pool"),
            "False PoolNotAllowed: pool p is for namespaces team-a alone");
  EXPECT_THAT(world.condition("outside"), StartsWith("False AddressOutsidePools: 198.51.100.1"));
  EXPECT_THAT(world.allocation.writes, SizeIs(1));
  EXPECT_EQ(holder(world, "192.0.2.5").name(), "allowed");
}

TEST(Pools, ANamespaceOfAClusterThatIsNotKnownYetIsWaitedFor) {
  World world;
  world.set_complete("prod", true);
  world.apply(
      pool("first", "192.0.2.0/28", "priority: 1, namespaceSelector: {matchLabels: {env: prod}}") +
      pool("rest", "192.0.2.16/28"));
  world.apply_to("prod", service("a"));
  world.step();
  EXPECT_EQ(world.condition("prod", "a"),
            "False NamespaceUnknown: pool first is for namespaces with labels env=prod, and "
            "those of namespace default are not known yet");
  EXPECT_THAT(world.allocation.writes, IsEmpty());
  EXPECT_TRUE((world.model.take_namespaces_changed(), true));
  world.apply_to("prod", ns_object("default", "env: prod"));
  EXPECT_TRUE(world.model.take_namespaces_changed());
  world.step();
  EXPECT_EQ(world.condition("prod", "a"), "True Allocated: 192.0.2.1");
  // Known, and not for it: the next pool.
  world.apply_to("prod", ns_object("other", "env: test") + service("b", {.ns = "other"}));
  world.step();
  EXPECT_EQ(holder(world, "192.0.2.17").name(), "b");
}

TEST(Pools, AManualNamespaceHasLabelsOnlyIfApplied) {
  World world;
  world.apply(pool("first", "192.0.2.0/28",
                   "namespaceSelector: {matchExpressions: [{key: env, operator: NotIn, values: "
                   "[test]}]}") +
              service("a"));
  world.step();
  EXPECT_THAT(world.condition("a"), StartsWith("False PoolNotAllowed: pool first is for"));
  EXPECT_THAT(world.condition("a"), HasSubstr("apply the Namespace"));
  world.apply(ns_object("default", ""));
  world.step();
  EXPECT_EQ(world.condition("a"), "True Allocated: 192.0.2.1");
}

TEST(Pools, ANamespacesNameIsKnownWithoutItsObject) {
  World world;
  world.apply(pool("p", "192.0.2.0/28",
                   "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: default}}") +
              service("a"));
  world.step();
  EXPECT_EQ(world.condition("a"), "True Allocated: 192.0.2.1");
}

TEST(Pools, AHolderKeepsItsAddressWhenLabelsChange) {
  World world;
  world.apply(pool("p", "192.0.2.0/28", "serviceSelector: {matchLabels: {tier: web}}") +
              service("a", {.labels = "tier: web"}));
  world.step();
  world.apply(service("a", {.labels = "tier: db"}));
  world.step();
  EXPECT_EQ(world.condition("a"), "True Allocated: 192.0.2.1");
  EXPECT_THAT(world.allocation.writes, IsEmpty());
  EXPECT_THAT(world.warnings("a"),
              ElementsAre("AddressKept: 192.0.2.1 is not for this Service: pool p is for Services "
                          "with labels tier=web alone; it is kept"));
}

TEST(Pools, OverlappingOnesGiveAnAddressOnce) {
  World world;
  world.apply(pool("p", "192.0.2.0/30") + pool("q", "192.0.2.0/30") + service("a") + service("b") +
              service("c", {.annotations = "sluice.dev/address-pool: q"}));
  world.step();
  EXPECT_THAT(world.allocation.writes, SizeIs(2));
  EXPECT_THAT(world.condition("c"), StartsWith("False PoolExhausted"));
}

TEST(Allocation, NothingIsGrantedToASourceThatIsNotKnown) {
  World world;
  world.apply(pool("p", "192.0.2.0/24"));
  world.apply_to("prod", service("a"));
  world.step();
  EXPECT_THAT(world.condition("prod", "a"),
              StartsWith("False SourceUnknown: the Services of prod"));
  world.set_complete("prod", true);
  world.step();
  EXPECT_EQ(world.condition("prod", "a"), "True Allocated: 192.0.2.1");
}

TEST(Allocation, WhatAStatusShowsIsHonouredWhenTheLedgerLostIt) {
  World world;
  world.apply(pool("p", "192.0.2.0/24") + service("a") +
              service("b", {.status = in_status("192.0.2.1")}) +
              service("c", {.status = in_status("192.0.2.1")}) +
              service("d", {.status = in_status("203.0.113.1")}));
  world.step();
  EXPECT_EQ(world.condition("b"), "True Allocated: 192.0.2.1");
  EXPECT_EQ(world.condition("c"), "True Allocated: 192.0.2.2");  // Both claim it; the first has it.
  EXPECT_EQ(world.condition("d"), "True Allocated: 192.0.2.3");  // Not of any pool.
  EXPECT_EQ(world.condition("a"), "True Allocated: 192.0.2.4");
  // The ledger knows better.
  world.apply(service("a", {.status = in_status("192.0.2.9")}));
  world.step();
  EXPECT_THAT(world.allocation.writes, IsEmpty());
}

TEST(Sharing, StopsAtTheNamespaceUnlessThePoolSaysMore) {
  for (const std::string scope : {"namespace", "cluster", "any"}) {
    World world;
    world.set_complete("prod", true);
    world.apply(pool("p", "192.0.2.0/24", "sharing: " + scope) +
                service("a", {.annotations = shares("k")}) +
                service("b", {.annotations = shares("k"), .ns = "other", .port = 81}));
    world.apply_to("prod", service("c", {.annotations = shares("k"), .port = 82}));
    world.step();
    const auto holders = [&](const char* address) {
      const auto at = world.ledger.find(*IpAddress::parse(address));
      return at == world.ledger.end() ? 0 : at->second.holders_size();
    };
    EXPECT_EQ(holders("192.0.2.1"), scope == "namespace" ? 1 : scope == "cluster" ? 2 : 3) << scope;
    EXPECT_EQ(world.ledger.size(), scope == "namespace" ? 3u : scope == "cluster" ? 2u : 1u);
  }
}

TEST(Sharing, DoesNotAskForTheTrafficPolicy) {
  World world;
  const std::string local = "type: LoadBalancer, externalTrafficPolicy: Local";
  world.apply(pool("p", "192.0.2.0/24") +
              service("a", {.annotations = shares("k"), .spec = local}) +
              service("b", {.annotations = shares("k"), .port = 81}));
  world.step();
  EXPECT_EQ(world.condition("b"), "True Allocated: 192.0.2.1");
  EXPECT_NE(world.vip("192.0.2.1", 80), nullptr);
  EXPECT_NE(world.vip("192.0.2.1", 81), nullptr);
}

TEST(Sharing, DeletedTogetherAndMadeAgainTogether) {
  World world;
  const std::string both = service("a", {.annotations = shares("k")}) +
                           service("b", {.annotations = shares("k"), .port = 81});
  world.apply(pool("p", "192.0.2.0/24") + both);
  world.step();
  world.remove(v1::KIND_SERVICE, "a");
  world.step();
  world.remove(v1::KIND_SERVICE, "b");
  world.step();
  world.apply(service("a", {.annotations = shares("k")}) + service("x"));
  world.step();
  EXPECT_EQ(world.condition("a"), "True Allocated: 192.0.2.1");
  EXPECT_EQ(world.condition("x"), "True Allocated: 192.0.2.2");
  world.apply(both);
  world.step();
  EXPECT_EQ(world.condition("b"), "True Allocated: 192.0.2.1");
}

TEST(ExternalIPs, AreServedInsideAPoolThatAllowsThem) {
  World world;
  world.apply(pool("p", "192.0.2.0/24", "allowExternalIPs: true, namespaces: [default]") +
              service("a", {.spec = "type: ClusterIP, externalIPs: [192.0.2.9]"}) +
              service("b", {.spec = "type: NodePort, externalIPs: [192.0.2.9]"}) +
              service("c", {.spec = "externalIPs: [192.0.2.8]", .ns = "other"}) +
              service("headless", {.spec = "clusterIP: None, externalIPs: [192.0.2.7]"}) +
              service("foreign", {.spec = "type: LoadBalancer, loadBalancerClass: x/y, "
                                          "externalIPs: [192.0.2.6]"}));
  world.step();
  EXPECT_EQ(world.condition("a"), "True Allocated: externalIPs 192.0.2.9");
  EXPECT_TRUE(holder(world, "192.0.2.9").external_ip());
  EXPECT_EQ(world.vip("192.0.2.9", 80)->service(), "manual/default/a");
  EXPECT_THAT(world.desired.outcomes.at({kManualSource, "default", "a"}).addresses, IsEmpty());
  EXPECT_THAT(world.condition("b"), StartsWith("False AddressTaken: 192.0.2.9 is held by"));
  EXPECT_EQ(world.vip("192.0.2.8", 80), nullptr);
  EXPECT_EQ(world.condition("headless"), "none");
  EXPECT_EQ(world.condition("foreign"), "none");
  EXPECT_THAT(world.ledger, SizeIs(1));
  world.apply(service("a"));  // A LoadBalancer now, without them.
  world.step();
  EXPECT_EQ(world.condition("a"), "True Allocated: 192.0.2.1");
  EXPECT_EQ(world.vip("192.0.2.9", 80), nullptr);
}

TEST(ExternalIPs, ThatNoPoolHasAreNotOurs) {
  World world;
  world.apply(pool("p", "192.0.2.0/24") +
              service("a", {.spec = "type: ClusterIP, externalIPs: [203.0.113.1]"}) +
              service("b", {.spec = "type: LoadBalancer, externalIPs: [203.0.113.1, 192.0.2.5]"}) +
              service("c", {.spec = "type: ClusterIP, externalIPs: [192.0.2.6]"}));
  world.step();
  EXPECT_EQ(world.condition("a"), "none");
  EXPECT_THAT(world.warnings("a"), IsEmpty());
  EXPECT_EQ(world.condition("b"), "True Allocated: 192.0.2.1");
  ASSERT_THAT(world.warnings("b"), SizeIs(1));
  EXPECT_THAT(world.warnings("b")[0], HasSubstr("203.0.113.1 is in no pool"));
  EXPECT_THAT(world.warnings("b")[0], HasSubstr("pool p does not say allowExternalIPs"));
  EXPECT_THAT(world.condition("c"), StartsWith("False AddressNotAllowed: 192.0.2.6"));
}

TEST(ExternalIPs, OneAddressCanBeBoth) {
  World world;
  const std::string both =
      "type: LoadBalancer, loadBalancerIP: 192.0.2.5, externalIPs: [192.0.2.5, 192.0.2.6]";
  world.apply(pool("p", "192.0.2.0/24", "allowExternalIPs: true") + service("a", {.spec = both}));
  world.step();
  EXPECT_EQ(world.condition("a"), "True Allocated: 192.0.2.5");
  EXPECT_FALSE(holder(world, "192.0.2.5").external_ip());
  EXPECT_TRUE(holder(world, "192.0.2.6").external_ip());
  EXPECT_THAT(world.desired.outcomes.at({kManualSource, "default", "a"}).addresses,
              ElementsAre("192.0.2.5"));
  world.apply(service("a", {.spec = "type: ClusterIP, externalIPs: [192.0.2.5]"}));
  world.step();
  EXPECT_TRUE(holder(world, "192.0.2.5").external_ip());
  EXPECT_NE(world.vip("192.0.2.5", 80), nullptr);
  EXPECT_EQ(world.vip("192.0.2.6", 80), nullptr);
  world.step();
  EXPECT_THAT(world.allocation.writes, IsEmpty());
}

TEST(ExternalIPs, AnAddressOfItsOwnBecomesOneOnlyWhereThePoolAllows) {
  World world;
  world.apply(pool("p", "192.0.2.0/24") +
              service("a", {.spec = "type: LoadBalancer, loadBalancerIP: 192.0.2.5, "
                                    "externalIPs: [192.0.2.5]"}));
  world.step();
  EXPECT_EQ(world.condition("a"), "True Allocated: 192.0.2.5");
  world.apply(service("a", {.spec = "type: ClusterIP, externalIPs: [192.0.2.5]"}));
  world.step();
  EXPECT_THAT(world.condition("a"), StartsWith("False AddressNotAllowed: 192.0.2.5"));
  EXPECT_EQ(world.vip("192.0.2.5", 80), nullptr);
  EXPECT_EQ(world.ledger.begin()->second.holders_size(), 0);
  world.step();
  EXPECT_THAT(world.condition("a"), StartsWith("False AddressNotAllowed: 192.0.2.5"));
  EXPECT_THAT(world.allocation.writes, IsEmpty());
}

TEST(DualStack, PreferringTwoWarnsOfOne) {
  World world;
  world.apply(pool("p", "192.0.2.0/24") +
              service("a", {.spec = "type: LoadBalancer, ipFamilyPolicy: PreferDualStack"}));
  world.step();
  EXPECT_THAT(world.condition("a"), StartsWith("True AllocatedPartly: 192.0.2.1; no pool"));
  ASSERT_THAT(world.warnings("a"), SizeIs(1));
  EXPECT_THAT(world.warnings("a")[0], StartsWith("DualStackNotServed: ipFamilyPolicy"));
}

TEST(DualStack, IngressIsInTheOrderOfTheFamilies) {
  World world;
  world.apply(pool("p", "192.0.2.0/24, \"2001:db8::/64\"") +
              service("a", {.spec = "type: LoadBalancer, ipFamilyPolicy: RequireDualStack, "
                                    "ipFamilies: [IPv6, IPv4]"}));
  world.step();
  EXPECT_THAT(world.desired.outcomes.at({kManualSource, "default", "a"}).addresses,
              ElementsAre("2001:db8::1", "192.0.2.1"));
}

}  // namespace
}  // namespace sluice
