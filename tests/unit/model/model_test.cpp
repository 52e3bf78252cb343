#include "control/model/model.h"

#include <gmock/gmock.h>

#include "control/model/maglev_size.h"
#include "world.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

ServiceKey service(const std::string& name) {
  return {kManualSource, "default", name};
}

std::string service_yaml(const std::string& name, const std::string& app) {
  return "{apiVersion: v1, kind: Service, metadata: {name: " + name +
         "}, spec: {type: LoadBalancer, selector: {app: " + app + "}, ports: [{port: 80}]}}\n---\n";
}
std::string pod_yaml(const std::string& name, const std::string& app, const std::string& ip) {
  return "{apiVersion: v1, kind: Pod, metadata: {name: " + name + ", labels: {app: " + app +
         ", x: y}}, status: {podIP: " + ip +
         ", conditions: [{type: Ready, status: \"True\"}]}}\n---\n";
}

TEST(Model, OneChangeConcernsOneService) {
  World world;
  world.apply(service_yaml("a", "one") + service_yaml("b", "two") +
              pod_yaml("p", "one", "10.0.0.1"));
  EXPECT_THAT(world.model.take_changed(), ElementsAre(service("a"), service("b")));
  EXPECT_THAT(world.model.take_changed(), IsEmpty());
  world.apply(pod_yaml("q", "two", "10.0.0.2"));
  EXPECT_THAT(world.model.take_changed(), ElementsAre(service("b")));
  world.apply(pod_yaml("q", "one", "10.0.0.2"));  // Relabelled: leaves one, joins the other.
  EXPECT_THAT(world.model.take_changed(), ElementsAre(service("a"), service("b")));
  world.apply(pod_yaml("q", "one", "10.0.0.2"));  // The same again.
  EXPECT_THAT(world.model.take_changed(), IsEmpty());
  world.apply(pod_yaml("r", "three", "10.0.0.3"));
  EXPECT_THAT(world.model.take_changed(), IsEmpty());
  world.remove(v1::KIND_POD, "q");
  EXPECT_THAT(world.model.take_changed(), ElementsAre(service("a")));
  world.remove(v1::KIND_SERVICE, "a");
  EXPECT_THAT(world.model.take_changed(), ElementsAre(service("a")));
  world.remove(v1::KIND_SERVICE, "a");
  EXPECT_THAT(world.model.take_changed(), IsEmpty());
}

TEST(Model, SlicesAndEndpointsConcernTheirService) {
  World world;
  (void)world.model.take_changed();
  const auto slice = [](const std::string& name) {
    return "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s, labels: "
           "{kubernetes.io/service-name: " +
           name + "}}, addressType: IPv4}\n";
  };
  world.apply(slice("a"));
  EXPECT_THAT(world.model.take_changed(), ElementsAre(service("a")));
  world.apply(slice("b"));
  EXPECT_THAT(world.model.take_changed(), ElementsAre(service("a"), service("b")));
  EXPECT_THAT(world.model.inputs(service("a")).slices, IsEmpty());
  EXPECT_EQ(world.model.inputs(service("b")).slices.size(), 1u);
  world.apply("{apiVersion: v1, kind: Endpoints, metadata: {name: c}}");
  EXPECT_THAT(world.model.take_changed(), ElementsAre(service("c")));
}

TEST(Model, SelectorChangesAreFollowed) {
  World world;
  world.apply(service_yaml("a", "one") + pod_yaml("p", "one", "10.0.0.1") +
              pod_yaml("q", "two", "10.0.0.2"));
  ASSERT_EQ(world.model.inputs(service("a")).pods.size(), 1u);
  EXPECT_EQ(world.model.inputs(service("a")).pods[0]->pod().metadata().name(), "p");
  world.apply(service_yaml("a", "two"));
  ASSERT_EQ(world.model.inputs(service("a")).pods.size(), 1u);
  EXPECT_EQ(world.model.inputs(service("a")).pods[0]->pod().metadata().name(), "q");
}

TEST(Model, UnknownIsNotEmpty) {
  World world(false);
  world.apply(service_yaml("a", "one"));
  EXPECT_FALSE(world.model.inputs(service("a")).endpoints_known);
  (void)world.model.take_changed();
  for (const auto kind : {v1::KIND_SERVICE, v1::KIND_ENDPOINT_SLICE}) {
    world.model.set_complete(kManualSource, kind, true);
  }
  EXPECT_FALSE(world.model.inputs(service("a")).endpoints_known);
  world.model.set_complete(kManualSource, v1::KIND_POD, true);
  EXPECT_TRUE(world.model.inputs(service("a")).endpoints_known);
  EXPECT_THAT(world.model.take_changed(), ElementsAre(service("a")));
}

TEST(Model, SourcesDoNotMix) {
  World world;
  world.apply(service_yaml("a", "one") + pod_yaml("p", "one", "10.0.0.1"));
  const ServiceKey other{"cluster", "default", "a"};
  world.model.upsert({"cluster", v1::KIND_SERVICE, "default", "a"},
                     world.model.find({kManualSource, v1::KIND_SERVICE, "default", "a"}));
  EXPECT_THAT(world.model.inputs(other).pods, IsEmpty());
  EXPECT_FALSE(world.model.inputs(other).endpoints_known);
  EXPECT_THAT(world.model.services(), ElementsAre(other, service("a")));
}

TEST(Model, PoolsAreToldApart) {
  World world;
  world.apply(
      "{apiVersion: sluice.dev/v1, kind: AddressPool, metadata: {name: p}, spec: {addresses: "
      "[192.0.2.0/24]}}");
  EXPECT_TRUE(world.model.take_pools_changed());
  EXPECT_FALSE(world.model.take_pools_changed());
  EXPECT_TRUE(world.model.pools().contains("p"));
}

TEST(MaglevSize, HasAHundredSlotsForEach) {
  EXPECT_EQ(maglev_size_for(0), 1009u);
  EXPECT_EQ(maglev_size_for(10), 1009u);
  EXPECT_EQ(maglev_size_for(11), 2003u);
  EXPECT_EQ(maglev_size_for(1'000'000), 1048573u);
}

TEST(MaglevSize, GrowsAtOnceAndShrinksAtAQuarter) {
  EXPECT_EQ(sticky_maglev_size(0, 3), 1009u);
  EXPECT_EQ(sticky_maglev_size(1009, 11), 2003u);
  EXPECT_EQ(sticky_maglev_size(2003, 10), 2003u);
  EXPECT_EQ(sticky_maglev_size(2003, 6), 2003u);
  EXPECT_EQ(sticky_maglev_size(2003, 5), 1009u);
  // One more or one less never makes it swing.
  for (std::size_t members = 1; members < 1000; ++members) {
    const std::uint32_t grown = sticky_maglev_size(sticky_maglev_size(0, members), members + 1);
    EXPECT_EQ(sticky_maglev_size(grown, members), grown) << members;
  }
}

}  // namespace
}  // namespace sluice
