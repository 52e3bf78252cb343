// The state a dataplane should have, over changes; and the difference that gets it there.
#include "control/model/desired.h"

#include <gmock/gmock.h>

#include "world.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr const char* kPool =
    "{apiVersion: sluice.dev/v1, kind: AddressPool, metadata: {name: p}, spec: {addresses: "
    "[192.0.2.0/24]}}\n---\n";

std::string service(const std::string& name, const std::string& more = "") {
  return "{apiVersion: v1, kind: Service, metadata: {name: " + name +
         "}, spec: {type: LoadBalancer, ports: [{port: 80}]" + more + "}}\n---\n";
}
std::string slice(const std::string& name, const std::string& endpoints) {
  return "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: " + name +
         "-1, labels: {kubernetes.io/service-name: " + name +
         "}}, addressType: IPv4, ports: [{port: 8080}], endpoints: [" + endpoints + "]}\n---\n";
}
std::string endpoint(const std::string& address, const std::string& conditions = "") {
  return "{addresses: [" + address + "], conditions: {" + conditions + "}},";
}

v1::ApplyPart part_of(const Difference& change, std::size_t i) {
  v1::ApplyPart part;
  EXPECT_TRUE(part.ParseFromString(change.parts.at(i)));
  return part;
}

TEST(Desired, AnEndpointDrainsAndThenGoes) {
  World world;
  world.apply(kPool + service("a") + slice("a", endpoint("10.0.0.1") + endpoint("10.0.0.2")));
  world.step();
  const std::uint32_t first = world.vip("192.0.2.1", 80)->members(0).backend();
  world.apply(slice("a", endpoint("10.0.0.1", "ready: false, serving: true, terminating: true") +
                             endpoint("10.0.0.2")));
  world.step();
  EXPECT_TRUE(world.vip("192.0.2.1", 80)->members(0).draining());
  EXPECT_EQ(world.vip("192.0.2.1", 80)->members(0).backend(), first);
  EXPECT_EQ(world.last.upserts, 1u);  // The VIP alone; its backends are as they were.
  EXPECT_EQ(world.last.deletes, 0u);
  world.apply(slice("a", endpoint("10.0.0.2")));
  world.step();
  EXPECT_THAT(world.vip("192.0.2.1", 80)->members(), SizeIs(1));
  EXPECT_EQ(world.last.upserts, 1u);
  EXPECT_EQ(world.last.deletes, 1u);
}

TEST(Desired, TheLastEndpointsServeWhileTheyTerminate) {
  World world;
  world.apply(
      kPool + service("a") +
      slice("a", endpoint("10.0.0.1", "ready: false, serving: true, terminating: true") +
                     endpoint("10.0.0.2", "ready: false, serving: false, terminating: true")));
  world.step();
  EXPECT_FALSE(world.vip("192.0.2.1", 80)->members(0).draining());
  EXPECT_TRUE(world.vip("192.0.2.1", 80)->members(1).draining());
}

TEST(Desired, OneChangeTouchesOneVip) {
  World world;
  world.apply(kPool + service("a") + service("b") + slice("a", endpoint("10.0.0.1")) +
              slice("b", endpoint("10.0.0.2")));
  world.step();
  EXPECT_EQ(world.last.upserts, 6u);  // Two addresses, two backends, two VIPs.
  world.apply(slice("b", endpoint("10.0.0.2") + endpoint("10.0.0.3")));
  world.step();
  EXPECT_EQ(world.last.upserts, 2u);
  ASSERT_THAT(world.last.parts, SizeIs(1));
  EXPECT_EQ(part_of(world.last, 0).upsert_vips(0).service(), "manual/default/b");
}

std::string node(const std::string& name, const std::string& address) {
  return "{apiVersion: v1, kind: Node, metadata: {name: " + name +
         "}, status: {addresses: [{type: InternalIP, address: " + address + "}]}}\n---\n";
}
constexpr const char* kOverlaid =
    "{apiVersion: v1, kind: Service, metadata: {name: a, annotations: {sluice.dev/overlay: ipip}}, "
    "spec: {type: LoadBalancer, ports: [{port: 80}]}}\n---\n";

TEST(Desired, AChangeOfANodeIsSeenAndOneThatGoesDrains) {
  World world;
  world.apply(std::string(kPool) + kOverlaid + node("n", "10.1.0.1") +
              slice("a", "{addresses: [10.0.0.1], nodeName: n}"));
  world.step();
  EXPECT_FALSE(world.model.take_changed_nodes().empty());
  const std::uint32_t first = world.vip("192.0.2.1", 80)->members(0).backend();
  EXPECT_EQ(world.dataplane.backends.at(first).message().overlay().remote(),
            IpAddress::parse("10.1.0.1")->bytes());
  world.apply(node("n", "10.1.0.2"));
  EXPECT_FALSE(world.model.take_changed_nodes().empty());
  EXPECT_THAT(world.model.take_changed(), IsEmpty()) << "no Service needs another plan";
  world.step();
  const std::uint32_t second = world.vip("192.0.2.1", 80)->members(0).backend();
  EXPECT_NE(second, first);
  EXPECT_FALSE(world.vip("192.0.2.1", 80)->members(0).draining());
  // The Node is deleted before its pods: what flows there goes on.
  world.remove(v1::KIND_NODE, "n");
  EXPECT_FALSE(world.model.take_changed_nodes().empty());
  world.step();
  ASSERT_THAT(world.vip("192.0.2.1", 80)->members(), SizeIs(1));
  EXPECT_EQ(world.vip("192.0.2.1", 80)->members(0).backend(), second);
  EXPECT_TRUE(world.vip("192.0.2.1", 80)->members(0).draining());
  EXPECT_EQ(world.dataplane.backends.at(second).message().overlay().remote(),
            IpAddress::parse("10.1.0.2")->bytes());
  EXPECT_THAT(world.text(), HasSubstr("node n: not known"));
}

TEST(Desired, UnknownNodesLeaveWhatIsServedByOverlay) {
  World world;
  world.apply(std::string(kPool) + kOverlaid + service("b") + node("n", "10.1.0.1") +
              slice("a", "{addresses: [10.0.0.1], nodeName: n}") +
              slice("b", endpoint("10.0.0.2")));
  world.step();
  world.model.set_complete(kManualSource, v1::KIND_NODE, false);
  world.remove(v1::KIND_NODE, "n");
  world.apply(slice("b", endpoint("10.0.0.3")));
  world.step();
  EXPECT_THAT(world.text(), HasSubstr("Warning-NodesUnknown"));
  EXPECT_THAT(world.text(), HasSubstr("10.0.0.1:8080 id=1 weight=1 ipip to 10.1.0.1"));
  EXPECT_THAT(world.text(), HasSubstr("10.0.0.3:8080")) << "the others go on";
}

TEST(Desired, EndpointsOfTheOtherFamilyDrainWhenTheVipsOwnCome) {
  World world;
  const std::string pool =
      "{apiVersion: sluice.dev/v1, kind: AddressPool, metadata: {name: p}, spec: {addresses: "
      "[\"2001:db8::/64\"]}}\n---\n";
  const std::string six =
      "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a-6, labels: "
      "{kubernetes.io/service-name: a}}, addressType: IPv6, ports: [{port: 8080}], endpoints: "
      "[{addresses: [\"fd00::1\"]}]}\n---\n";
  world.apply(pool + service("a", ", ipFamilies: [IPv6]") + slice("a", endpoint("10.0.0.1")));
  world.step();
  ASSERT_THAT(world.vip("2001:db8::1", 80)->members(), SizeIs(1));
  EXPECT_FALSE(world.vip("2001:db8::1", 80)->members(0).draining());
  world.apply(six + slice("a", endpoint("10.0.0.1") + endpoint("10.0.0.2")));
  world.step();
  const auto& members = world.vip("2001:db8::1", 80)->members();
  ASSERT_THAT(members, SizeIs(2)) << "10.0.0.2 never was served";
  EXPECT_TRUE(members[0].draining());
  EXPECT_FALSE(members[1].draining());
  world.apply(slice("a", endpoint("10.0.0.2")));
  world.step();
  EXPECT_THAT(world.vip("2001:db8::1", 80)->members(), SizeIs(1));
}

TEST(Desired, UnknownEndpointsLeaveWhatIsServed) {
  World world;
  world.apply(kPool + service("a") + slice("a", endpoint("10.0.0.1")));
  world.step();
  const std::string before = world.text();
  world.model.set_complete(kManualSource, v1::KIND_ENDPOINT_SLICE, false);
  world.remove(v1::KIND_ENDPOINT_SLICE, "a-1");
  world.step();
  EXPECT_TRUE(world.last.empty());
  EXPECT_THAT(world.text(), HasSubstr("EndpointsUnknown"));
  EXPECT_NE(world.vip("192.0.2.1", 80), nullptr);
  // And ids survive it.
  world.model.set_complete(kManualSource, v1::KIND_ENDPOINT_SLICE, true);
  world.apply(slice("a", endpoint("10.0.0.1")));
  world.step();
  EXPECT_TRUE(world.last.empty());
  EXPECT_EQ(world.text(), before);
}

TEST(Desired, AControlThatKnowsNothingTakesNothingDown) {
  World served;
  served.apply(kPool + service("a") + slice("a", endpoint("10.0.0.1")));
  served.step();
  World ignorant(false);
  ignorant.dataplane = served.dataplane;
  ignorant.step();
  EXPECT_TRUE(ignorant.last.empty());
  EXPECT_THAT(ignorant.dataplane.vips, SizeIs(1));
  // Once it knows that there is nothing, it does.
  ignorant.model.set_complete(kManualSource, v1::KIND_SERVICE, true);
  ignorant.step();
  EXPECT_EQ(ignorant.last.deletes, 3u);
}

TEST(Desired, ARestartedControlChangesNothing) {
  World first;
  const std::string objects = kPool + service("a") + service("b") +
                              slice("b", endpoint("10.0.0.1") + endpoint("10.0.0.2")) +
                              slice("a", endpoint("10.0.0.2"));
  first.apply(service("zz") + slice("zz", endpoint("10.0.0.9")));
  first.step();
  first.apply(objects);
  first.step();
  first.remove(v1::KIND_SERVICE, "zz");
  first.step();
  World second;  // Without its disk: the ids come from the dataplane.
  second.ledger = first.ledger;
  second.dataplane = first.dataplane;
  second.generation = first.generation;
  second.apply(objects);
  second.step();
  EXPECT_TRUE(second.last.empty()) << second.text() << first.text();
}

TEST(Desired, NewcomersDoNotTakeTheRoomOfThoseServed) {
  World world;
  world.capacity.set_vips(1);
  world.apply(kPool + service("b", ", loadBalancerIP: 192.0.2.5"));
  world.step();
  world.apply(service("a"));  // Its address will be the lower one.
  world.step();
  EXPECT_EQ(world.condition("a"), "True Allocated: 192.0.2.1");
  EXPECT_THAT(world.dataplane.vips, SizeIs(1));
  EXPECT_EQ(world.vip("192.0.2.5", 80)->service(), "manual/default/b");
  EXPECT_THAT(world.text(), HasSubstr("CapacityExceeded"));
}

TEST(Difference, PartsAreBounded) {
  DataplaneState state;
  for (std::uint32_t i = 1; i <= 40'000; ++i) {
    v1::Backend backend;
    backend.set_id(i);
    backend.set_address("\x0a\x01\x01\x01");
    backend.set_port(8080);
    backend.set_name("10.1.1.1:8080");
    backend.set_target("default/a-pod-with-a-name");
    state.backends[i] = EncodedBackend(backend);
  }
  const Difference whole_state = difference(state, {});
  EXPECT_EQ(whole_state.upserts, 40'000u);
  EXPECT_GT(whole_state.parts.size(), 2u);
  int backends = 0;
  for (std::size_t i = 0; i < whole_state.parts.size(); ++i) {
    EXPECT_LE(whole_state.parts[i].size(), kMaxPartBytes);
    backends += part_of(whole_state, i).upsert_backends_size();
  }
  EXPECT_EQ(backends, 40'000);
  EXPECT_TRUE(difference(state, state).empty());
  EXPECT_THAT(difference(state, state).parts, IsEmpty());
  EXPECT_EQ(difference({}, state).deletes, 40'000u);
}

}  // namespace
}  // namespace sluice
