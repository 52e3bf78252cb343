// Allocation over time; single moments are cases/*.yaml.
#include "control/model/allocation.h"

#include <gmock/gmock.h>

#include "world.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

std::string pool(const std::string& name, const std::string& addresses) {
  return "{apiVersion: sluice.dev/v1, kind: AddressPool, metadata: {name: " + name +
         "}, spec: {addresses: [" + addresses + "]}}\n---\n";
}
std::string service(const std::string& name, const std::string& annotations = "",
                    const std::string& ports = "{port: 80}", const std::string& more = "") {
  return "{apiVersion: v1, kind: Service, metadata: {name: " + name + ", uid: uid-" + name +
         ", annotations: {" + annotations + "}}, spec: {type: LoadBalancer, ports: [" + ports +
         "]" + more + "}}\n---\n";
}
IpAddress ip(const std::string& text) {
  return *IpAddress::parse(text);
}

TEST(Allocation, NothingChangesWithoutNeed) {
  World world;
  world.apply(pool("p", "192.0.2.0/24") + service("a"));
  world.step();
  EXPECT_EQ(world.condition("a"), "True Allocated: 192.0.2.1");
  EXPECT_THAT(world.allocation.writes, SizeIs(1));
  world.apply(service("b"));
  world.step();
  EXPECT_THAT(world.allocation.writes, SizeIs(1));
  EXPECT_EQ(world.condition("b"), "True Allocated: 192.0.2.2");
  world.step();
  EXPECT_THAT(world.allocation.writes, IsEmpty());
}

TEST(Allocation, AReleasedAddressRestsAndGoesBack) {
  World world;
  world.apply(pool("p", "192.0.2.0/24") + service("a"));
  world.step();
  world.remove(v1::KIND_SERVICE, "a");
  world.step();
  EXPECT_EQ(world.ledger.at(ip("192.0.2.1")).last_holder().name(), "a");
  EXPECT_EQ(world.ledger.at(ip("192.0.2.1")).released_unix_ms(), world.now_unix_ms);
  EXPECT_EQ(world.vip("192.0.2.1", 80), nullptr);
  // Another one does not get it within the hold time, its last holder does.
  world.now_unix_ms += 59'000;
  world.apply(service("b"));
  world.step();
  EXPECT_EQ(world.condition("b"), "True Allocated: 192.0.2.2");
  world.apply(service("a"));
  world.step();
  EXPECT_EQ(world.condition("a"), "True Allocated: 192.0.2.1");
  EXPECT_EQ(world.ledger.at(ip("192.0.2.1")).released_unix_ms(), 0);
  EXPECT_FALSE(world.ledger.at(ip("192.0.2.1")).has_last_holder());
}

TEST(Allocation, AnInvalidRequestKeepsWhatItHasButNothingOfAnOlderServiceOfItsName) {
  World world;
  world.apply(pool("p", "192.0.2.0/24") + service("a"));
  world.step();
  // As an API server may have it, not a manifest.
  const ObjectKey key{kManualSource, v1::KIND_SERVICE, "default", "a"};
  v1::Object object = *world.model.find(key);
  v1::ObjectMeta& metadata = *object.mutable_service()->mutable_metadata();
  (*metadata.mutable_annotations())[kAddressesAnnotation] = "2001:db8::1";
  world.model.upsert(key, std::make_shared<const v1::Object>(object));
  world.step();
  EXPECT_THAT(world.condition("a"), StartsWith("False InvalidRequest: "));
  EXPECT_NE(world.vip("192.0.2.1", 80), nullptr);
  metadata.set_uid("another");
  world.model.upsert(key, std::make_shared<const v1::Object>(object));
  world.step();
  EXPECT_THAT(world.condition("a"), StartsWith("False InvalidRequest: "));
  EXPECT_THAT(world.ledger.at(ip("192.0.2.1")).holders(), IsEmpty());
  EXPECT_EQ(world.vip("192.0.2.1", 80), nullptr);
  // Once it can be understood it gets the address back.
  metadata.clear_annotations();
  world.model.upsert(key, std::make_shared<const v1::Object>(object));
  world.step();
  EXPECT_EQ(world.condition("a"), "True Allocated: 192.0.2.1");
}

TEST(Allocation, AfterTheHoldTimeAndWithdrawalAnybodyMayHaveIt) {
  World world;
  world.apply(pool("p", "192.0.2.1") + service("a"));
  world.step();
  world.remove(v1::KIND_SERVICE, "a");
  world.apply(service("b", "sluice.dev/addresses: 192.0.2.1"));
  world.step();
  EXPECT_THAT(world.condition("b"), StartsWith("False AddressOnHold: 192.0.2.1 was released"));
  world.now_unix_ms += 60'000;
  world.withdrawn = false;
  world.step();
  EXPECT_THAT(world.condition("b"), HasSubstr("has not withdrawn"));
  world.withdrawn = true;
  world.step();
  EXPECT_EQ(world.condition("b"), "True Allocated: 192.0.2.1");
}

TEST(Allocation, NobodyIsGivenWhatAnotherAsksFor) {
  World world;
  world.apply(pool("p", "192.0.2.0/24") + service("a") +
              service("b", "sluice.dev/addresses: 192.0.2.1"));
  world.step();
  EXPECT_EQ(world.condition("a"), "True Allocated: 192.0.2.2");
  EXPECT_EQ(world.condition("b"), "True Allocated: 192.0.2.1");
}

TEST(Allocation, NothingIsReleasedForASourceThatIsNotKnown) {
  World world;
  world.apply(pool("p", "192.0.2.0/24") + service("a"));
  world.step();
  world.model.set_complete(kManualSource, v1::KIND_SERVICE, false);
  world.remove(v1::KIND_SERVICE, "a");
  world.step();
  EXPECT_THAT(world.allocation.writes, IsEmpty());
  EXPECT_NE(world.vip("192.0.2.1", 80), nullptr);  // And it is served on.
  world.model.set_complete(kManualSource, v1::KIND_SERVICE, true);
  world.step();
  EXPECT_THAT(world.allocation.writes, SizeIs(1));
  EXPECT_EQ(world.vip("192.0.2.1", 80), nullptr);
}

TEST(Allocation, ShrinkingAPoolRenumbersNobody) {
  World world;
  world.apply(pool("p", "192.0.2.0/24") + service("a") +
              service("b", "sluice.dev/address-pool: p"));
  world.step();
  world.apply(pool("p", "198.51.100.0/24"));
  world.step();
  EXPECT_THAT(world.allocation.writes, IsEmpty());
  EXPECT_EQ(world.condition("a"), "True Allocated: 192.0.2.1");
  EXPECT_THAT(world.warnings("a"),
              ElementsAre("AddressKept: 192.0.2.1 is in no pool any more, and is kept"));
  world.remove(v1::KIND_ADDRESS_POOL, "p");
  world.step();
  EXPECT_NE(world.vip("192.0.2.1", 80), nullptr);
  EXPECT_NE(world.vip("192.0.2.2", 80), nullptr);
}

TEST(Allocation, ANewWishKeepsTheOldAddressUntilItIsGranted) {
  World world;
  world.apply(pool("p", "192.0.2.0/24") + service("a") + service("b"));
  world.step();
  world.apply(service("b", "sluice.dev/addresses: 192.0.2.1"));
  world.step();
  EXPECT_THAT(world.condition("b"),
              StartsWith("False AddressTaken: 192.0.2.2; 192.0.2.1 is held by default/a (80/TCP)"));
  EXPECT_THAT(world.condition("b"), HasSubstr("it keeps 192.0.2.2"));
  EXPECT_NE(world.vip("192.0.2.2", 80), nullptr);
  world.apply(service("b", "sluice.dev/addresses: 192.0.2.77"));
  world.step();
  EXPECT_EQ(world.condition("b"), "True Allocated: 192.0.2.77");
  EXPECT_EQ(world.vip("192.0.2.2", 80), nullptr);
  EXPECT_NE(world.vip("192.0.2.77", 80), nullptr);
}

TEST(Allocation, TheHolderKeepsAnAddressWhoeverIsOlder) {
  World world;
  world.apply(pool("p", "192.0.2.0/24") + service("z", "sluice.dev/addresses: 192.0.2.5"));
  world.step();
  world.apply(service("a", "sluice.dev/addresses: 192.0.2.5"));
  world.step();
  EXPECT_EQ(world.condition("z"), "True Allocated: 192.0.2.5");
  EXPECT_THAT(world.condition("a"), StartsWith("False AddressTaken"));
  EXPECT_EQ(world.vip("192.0.2.5", 80)->service(), "manual/default/z");
  world.remove(v1::KIND_SERVICE, "z");
  world.now_unix_ms += 1;
  world.step();
  world.now_unix_ms += 60'000;
  world.step();
  EXPECT_EQ(world.condition("a"), "True Allocated: 192.0.2.5");
}

TEST(Allocation, AddedPortsMustBeFreeOnASharedAddress) {
  World world;
  const std::string share = "sluice.dev/allow-shared-ip: k";
  world.apply(pool("p", "192.0.2.0/24") + service("a", share) + service("b", share, "{port: 81}"));
  world.step();
  EXPECT_EQ(world.condition("b"), "True Allocated: 192.0.2.1");
  world.apply(service("b", share, "{name: x, port: 81}, {name: y, port: 80}, {name: z, port: 82}"));
  world.step();
  EXPECT_THAT(
      world.condition("b"),
      StartsWith(
          "False PortTaken: 192.0.2.1; 192.0.2.1 port 80/TCP is held by default/a (80/TCP)"));
  EXPECT_EQ(world.vip("192.0.2.1", 80)->service(), "manual/default/a");
  EXPECT_EQ(world.vip("192.0.2.1", 81)->service(), "manual/default/b");
  EXPECT_EQ(world.vip("192.0.2.1", 82)->service(), "manual/default/b");
  // One of two leaves: the address stays held.
  world.remove(v1::KIND_SERVICE, "a");
  world.step();
  EXPECT_EQ(world.ledger.at(ip("192.0.2.1")).released_unix_ms(), 0);
  world.step();
  EXPECT_EQ(world.condition("b"), "True Allocated: 192.0.2.1");
  EXPECT_EQ(world.vip("192.0.2.1", 80)->service(), "manual/default/b");
}

TEST(Allocation, FamiliesComeAndGo) {
  World world;
  world.apply(pool("p", "192.0.2.0/24, \"2001:db8::/64\"") + service("a"));
  world.step();
  world.apply(service("a", "", "{port: 80}", ", ipFamilyPolicy: PreferDualStack"));
  world.step();
  EXPECT_EQ(world.condition("a"), "True Allocated: 192.0.2.1, 2001:db8::1");
  world.apply(service("a", "", "{port: 80}", ", ipFamilies: [IPv6]"));
  world.step();
  EXPECT_EQ(world.condition("a"), "True Allocated: 2001:db8::1");
  EXPECT_FALSE(world.dataplane.addresses.contains(ip("192.0.2.1")));
}

TEST(Allocation, RequiringTwoFamiliesTakesNoneIfOneLacks) {
  World world;
  world.apply(pool("p", "192.0.2.0/24") +
              service("a", "", "{port: 80}", ", ipFamilyPolicy: RequireDualStack"));
  world.step();
  EXPECT_THAT(world.condition("a"),
              StartsWith("False NoPool: no pool with autoAssign has IPv6 addresses"));
  EXPECT_THAT(world.allocation.writes, IsEmpty());
  // One that has both keeps them when the pool goes.
  world.apply(pool("q", "\"2001:db8::/64\""));
  world.step();
  EXPECT_EQ(world.condition("a"), "True Allocated: 192.0.2.1, 2001:db8::1");
  world.remove(v1::KIND_ADDRESS_POOL, "q");
  world.step();
  EXPECT_THAT(world.condition("a"), StartsWith("True"));
}

TEST(Allocation, UnreadableRecordsCountAsTaken) {
  World world;
  world.apply(pool("p", "192.0.2.0/24") + service("a"));
  (void)world.allocate_only();
  const std::vector<IpAddress> unreadable{ip("192.0.2.1")};
  const auto pools = world.model.pools();
  const AddressRequest* request = &world.plans.begin()->second.request;
  AllocationInputs inputs;
  inputs.requests = {&request, 1};
  inputs.pools = &pools;
  inputs.ledger = &world.ledger;
  inputs.unreadable = unreadable;
  inputs.services_known = [](const std::string&) { return true; };
  inputs.withdrawn_everywhere = [](const IpAddress&) { return true; };
  const Allocation result = allocate(inputs);
  ASSERT_THAT(result.writes, SizeIs(1));
  EXPECT_EQ(IpAddress::from_bytes(result.writes[0].address()), ip("192.0.2.2"));
  EXPECT_EQ(result.writes[0].revision(), 1u);
}

TEST(Allocation, TableSizesAreKeptInTheLedger) {
  World world;
  std::string slice =
      "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s, labels: "
      "{kubernetes.io/service-name: a}}, addressType: IPv4, ports: [{port: 8080}], endpoints: [";
  const auto with = [&](int count) {
    std::string text = slice;
    for (int i = 1; i <= count; ++i) text += "{addresses: [10.0.0." + std::to_string(i) + "]},";
    return text + "]}";
  };
  world.apply(pool("p", "192.0.2.0/24") + service("a") + with(3));
  world.step();
  EXPECT_EQ(world.vip("192.0.2.1", 80)->maglev_size(), 1009u);
  EXPECT_EQ(world.ledger.at(ip("192.0.2.1")).holders(0).ports(0).epoch(), 1u);
  world.apply(with(11));
  world.step();
  EXPECT_EQ(world.vip("192.0.2.1", 80)->maglev_size(), 2003u);
  EXPECT_EQ(world.ledger.at(ip("192.0.2.1")).holders(0).ports(0).epoch(), 2u);
  world.apply(with(9));
  world.step();
  EXPECT_EQ(world.vip("192.0.2.1", 80)->maglev_size(), 2003u);
  EXPECT_THAT(world.allocation.writes, IsEmpty());
}

// Each gets its own, and the time does not grow with the square.
TEST(Allocation, Scales) {
  World world;
  world.apply(pool("p", "10.0.0.0/16"));
  std::string all;
  for (int i = 0; i < 2000; ++i) all += service("s" + std::to_string(i));
  world.apply(all);
  world.step();
  EXPECT_THAT(world.allocation.writes, SizeIs(2000));
  EXPECT_THAT(world.dataplane.vips, SizeIs(2000));
}

TEST(AddressRange, SparesTheEndsOfPrefixes) {
  const auto ends = [](const char* text) {
    const auto range = AddressRange::parse(text);
    EXPECT_TRUE(range) << range.error();
    return range->first_automatic().text() + " " + range->last_automatic().text() + " " +
           std::to_string(range->size());
  };
  EXPECT_EQ(ends("192.0.2.0/24"), "192.0.2.1 192.0.2.254 256");
  EXPECT_EQ(ends("192.0.2.0/30"), "192.0.2.1 192.0.2.2 4");
  EXPECT_EQ(ends("192.0.2.0/31"), "192.0.2.0 192.0.2.1 2");
  EXPECT_EQ(ends("192.0.2.7"), "192.0.2.7 192.0.2.7 1");
  EXPECT_EQ(ends("192.0.2.0-192.0.2.255"), "192.0.2.0 192.0.2.255 256");
  EXPECT_EQ(ends("2001:db8::/64"), "2001:db8::1 2001:db8::ffff:ffff:ffff:ffff 9223372036854775808");
  EXPECT_EQ(ends("2001:db8::/127"), "2001:db8:: 2001:db8::1 2");
}

TEST(Allocation, AClockThatWentBackDoesNotHoldAddressesForEver) {
  World world;
  world.apply(pool("p", "192.0.2.1") + service("a"));
  world.now_unix_ms = 1'000'000'000;
  world.step();
  world.remove(v1::KIND_SERVICE, "a");
  world.step();
  world.now_unix_ms = 5'000'000;
  world.apply(service("b"));
  world.step();
  EXPECT_THAT(world.condition("b"), StartsWith("False PoolExhausted"));
  world.now_unix_ms += 60'000;
  world.step();
  EXPECT_EQ(world.condition("b"), "True Allocated: 192.0.2.1");
}

}  // namespace
}  // namespace sluice
