// Objects, lists and events made by hand: what is absent, unknown or absurd.
#include "control/kubernetes/api_json.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>

namespace sluice::kube {
namespace {

namespace json = boost::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kMeta =
    R"("metadata":{"name":"web","namespace":"shop","uid":"u-1","resourceVersion":"7"})";

std::string service(const std::string& spec) {
  return std::string("{") + kMeta + R"(,"spec":)" + spec + "}";
}
std::string slice(const std::string& fields) {
  return std::string("{") + kMeta + R"(,"addressType":"IPv4",)" + fields + "}";
}
Decoded decode(v1::Kind kind, const std::string& text) {
  auto decoded = decode_object(kind, text);
  EXPECT_TRUE(decoded.ok()) << decoded.error() << " in " << text;
  return decoded ? std::move(*decoded) : Decoded{};
}

TEST(ApiJson, NullAndMissingAreAbsent) {
  const Decoded decoded = decode(
      v1::KIND_ENDPOINT_SLICE,
      R"({"metadata":{"name":"a","namespace":"n","uid":"u","resourceVersion":"1","labels":null,)"
      R"("annotations":{"x":null}},"addressType":"IPv6","endpoints":null,"ports":null})");
  EXPECT_EQ(decoded.error, "");
  EXPECT_EQ(decoded.object.endpoint_slice().endpoints_size(), 0);
  EXPECT_EQ(decoded.object.endpoint_slice().metadata().annotations().at("x"), "");
}

TEST(ApiJson, AbsentConditionsStayAbsent) {
  const Decoded decoded =
      decode(v1::KIND_ENDPOINT_SLICE,
             slice(R"("endpoints":[{"addresses":["192.0.2.1"],"conditions":{}},)"
                   R"({"addresses":["192.0.2.2"],"conditions":{"ready":false,"serving":null}}])"));
  ASSERT_EQ(decoded.error, "");
  const auto& endpoints = decoded.object.endpoint_slice().endpoints();
  EXPECT_FALSE(endpoints[0].conditions().has_ready());
  EXPECT_TRUE(endpoints[1].conditions().has_ready());
  EXPECT_FALSE(endpoints[1].conditions().ready());
  EXPECT_FALSE(endpoints[1].conditions().has_serving());
}

TEST(ApiJson, TargetPortIsANumberOrAName) {
  const Decoded decoded = decode(v1::KIND_SERVICE, service(R"({"type":"LoadBalancer","ports":[)"
                                                           R"({"port":80,"targetPort":8080},)"
                                                           R"({"port":81,"targetPort":"http"}]})"));
  ASSERT_EQ(decoded.error, "");
  EXPECT_EQ(decoded.object.service().spec().ports(0).target_port().number(), 8080);
  EXPECT_EQ(decoded.object.service().spec().ports(1).target_port().name(), "http");
}

TEST(ApiJson, DropsManagedFieldsAndTheLastAppliedConfiguration) {
  const Decoded decoded = decode(
      v1::KIND_SERVICE,
      R"({"metadata":{"name":"a","namespace":"n","uid":"u","resourceVersion":"1",)"
      R"("annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"a\":1}","b":"c"},)"
      R"("managedFields":[{"fieldsV1":{"f:spec":{"k:{\"port\":1}":{".":{}}}}}]},)"
      R"("spec":{"type":"ClusterIP"}})");
  ASSERT_EQ(decoded.error, "");
  const auto& metadata = decoded.object.service().metadata();
  EXPECT_EQ(metadata.annotations_size(), 1);
  EXPECT_EQ(metadata.annotations().at("b"), "c");
  EXPECT_EQ(decoded.object.header().unknown_fields_size(), 0);
}

TEST(ApiJson, NamesFieldsItDoesNotKnow) {
  const Decoded decoded = decode(
      v1::KIND_SERVICE,
      service(
          R"({"type":"LoadBalancer","newThing":{"a":[1,{"b":2}]},)"
          R"("ports":[{"port":1,"x":1},{"port":2,"x":null}]},"status":{"later":[[]]},"odd":1)"));
  ASSERT_EQ(decoded.error, "");
  EXPECT_THAT(decoded.object.header().unknown_fields(),
              ElementsAre("spec.newThing", "spec.ports[].x", "status.later", "odd"));
  EXPECT_EQ(decoded.object.service().spec().ports_size(), 2);
}

TEST(ApiJson, UnknownNamesAreBoundedAndPlain) {
  std::string spec = R"({"type":"ClusterIP")";
  for (int i = 0; i < 200; ++i) spec += ",\"x" + std::to_string(i) + "\":0";
  spec += ",\"" + std::string(99, 'y') + "\xc3\xa4\\n\":1}";
  const Decoded decoded = decode(v1::KIND_SERVICE, service(spec));
  EXPECT_EQ(decoded.object.header().unknown_fields_size(), 50);
  const Decoded odd =
      decode(v1::KIND_SERVICE, service("{\"type\":\"ClusterIP\",\"\xc3\xa4\\n\":1}"));
  EXPECT_THAT(odd.object.header().unknown_fields(), ElementsAre("spec.???"));
}

struct Absurd {
  const char* spec;
  const char* error;
};
TEST(ApiJson, AnAbsurdFieldIsNamedAndTheObjectIsHeld) {
  for (const Absurd& c : std::vector<Absurd>{
           {R"("none")", "spec: expected an object, found \"none\""},
           {R"([])", "spec: expected an object, found a list"},
           {R"({"ports":{}})", "spec.ports: expected a list, found an object"},
           {R"({"ports":[[]]})", "spec.ports[0]: expected an object, found a list"},
           {R"({"ports":[null]})", "spec.ports[0]: expected an object, found null"},
           {R"({"ports":[{"port":1},{"port":"x"}]})",
            "spec.ports[1].port: expected a whole number, found \"x\""},
           {R"({"ports":[{"port":80.5}]})", "spec.ports[0].port: expected a whole number"},
           {R"({"ports":[{"port":5000000000}]})", "spec.ports[0].port: 5000000000 is out of range"},
           {R"({"ports":[{"port":18446744073709551615}]})",
            "spec.ports[0].port: expected a whole number, found 18446744073709551615"},
           {R"({"ports":[{"port":1,"targetPort":true}]})",
            "spec.ports[0].targetPort: expected a number or a name, found true"},
           {R"({"ports":[{"port":1,"targetPort":{}}]})", "spec.ports[0].targetPort: expected"},
           {R"({"ports":7})", "spec.ports: expected a list, found 7"},
           {R"({"clusterIPs":[[1]]})", "spec.clusterIPs[0]: expected a text, found a list"},
           {R"({"clusterIPs":[3]})", "spec.clusterIPs[0]: expected a text, found 3"},
           {R"({"clusterIPs":"x"})", "spec.clusterIPs: expected a list"},
           {R"({"selector":{"a":{}}})", "spec.selector[a]: expected a text, found an object"},
           {R"({"selector":{"a":1}})", "spec.selector[a]: expected a text, found 1"},
           {R"({"selector":"a"})", "spec.selector: expected an object"},
           {R"({"selector":[]})", "spec.selector: expected an object, found a list"},
           {R"({"publishNotReadyAddresses":"yes"})", "expected true or false, found \"yes\""},
           {R"({"type":false})", "spec.type: expected a text, found false"},
           {R"({"type":1e400})", "spec.type: expected a text"},
           {R"({"type":"LoadBalancer","ports":[{"port":0}]})",
            "spec.ports[0].port: 0 is not a port"},
           {R"({"type":"LoadBalancer","ports":[{"port":70000}]})", "70000 is not a port"},
           {R"({"type":"LoadBalancer","ports":[{"port":-1}]})", "-1 is not a port"},
           {R"({"type":"LoadBalancer","ports":[{"port":1,"targetPort":70000}]})", "targetPort"},
           {R"({"type":"LoadBalancer","ports":[{"port":1,"protocol":"TCP"},)"
            R"({"port":1,"protocol":"TCP"}]})",
            "spec.ports[1]: port 1 is given twice"},
           {R"({})", "spec.type: is missing"},
       }) {
    const Decoded decoded = decode(v1::KIND_SERVICE, service(c.spec));
    EXPECT_THAT(decoded.error, HasSubstr(c.error)) << c.spec;
    EXPECT_EQ(decoded.object.service().metadata().name(), "web") << c.spec;
  }
}

TEST(ApiJson, AnErrorBeforeTheNameLeavesTheNameKnown) {
  const Decoded decoded =
      decode(v1::KIND_SERVICE, std::string(R"({"spec":{"ports":5},)") + kMeta + "}");
  EXPECT_EQ(decoded.error, "spec.ports: expected a list, found 5");
  EXPECT_EQ(decoded.object.service().metadata().name(), "web");
}

TEST(ApiJson, AnotherKindIsHeld) {
  const Decoded decoded =
      decode(v1::KIND_SERVICE, std::string(R"({"kind":"Pod","spec":{},)") + kMeta + "}");
  EXPECT_EQ(decoded.error, "kind: is \"Pod\", not Service");
}

TEST(ApiJson, MetadataThatNamesNothingIsHeld) {
  const auto error = [](const std::string& metadata) {
    return decode(v1::KIND_SERVICE,
                  R"({"metadata":)" + metadata + R"(,"spec":{"type":"ClusterIP"}})")
        .error;
  };
  EXPECT_THAT(error("{}"), HasSubstr("metadata.name"));
  EXPECT_THAT(error("null"), HasSubstr("metadata.name"));
  EXPECT_THAT(error(R"({"name":"../x","namespace":"n","uid":"u","resourceVersion":"1"})"),
              HasSubstr("metadata.name"));
  EXPECT_THAT(error(R"({"name":"x","uid":"u","resourceVersion":"1"})"),
              HasSubstr("metadata.namespace"));
  EXPECT_THAT(error(R"({"name":"x","namespace":"n","resourceVersion":"1"})"),
              HasSubstr("metadata.uid"));
  EXPECT_THAT(error(R"({"name":"x","namespace":"n","uid":"u"})"),
              HasSubstr("metadata.resourceVersion"));
  EXPECT_EQ(error(R"({"name":"x","namespace":"n","uid":"u","resourceVersion":"1"})"), "");
}

TEST(ApiJson, BadAddressesOfASliceAreLeftOutByName) {
  const Decoded decoded = decode(
      v1::KIND_ENDPOINT_SLICE,
      slice(R"("endpoints":[{"addresses":["192.0.2.1"]},{"addresses":["300.1.1.1"]},)"
            R"({"addresses":["2001:db8::1"]},{"addresses":[]},{"addresses":["127.0.0.1"]},{},)"
            R"({"addresses":["192.0.2.2","192.0.2.3"]}],"ports":[{"port":80}])"));
  EXPECT_EQ(decoded.error, "");
  EXPECT_THAT(decoded.problems,
              ElementsAre(HasSubstr("endpoints[1].addresses[0]: \"300.1.1.1\" is no address"),
                          HasSubstr("endpoints[2].addresses[0]: \"2001:db8::1\" is not of"),
                          HasSubstr("endpoints[3].addresses: is empty"),
                          HasSubstr("endpoints[4].addresses[0]: \"127.0.0.1\" is unspecified"),
                          HasSubstr("endpoints[5].addresses: is empty")));
  const auto& endpoints = decoded.object.endpoint_slice().endpoints();
  ASSERT_EQ(endpoints.size(), 2);
  EXPECT_EQ(endpoints[0].addresses(0), "192.0.2.1");
  EXPECT_THAT(endpoints[1].addresses(), ElementsAre("192.0.2.2", "192.0.2.3"));
}

TEST(ApiJson, ABadPortOfASliceHoldsIt) {
  const auto error = [](const char* ports) {
    return decode(v1::KIND_ENDPOINT_SLICE, slice(std::string(R"("ports":)") + ports)).error;
  };
  EXPECT_THAT(error(R"([{"port":65536}])"), HasSubstr("ports[0].port: 65536 is not a port"));
  EXPECT_THAT(error(R"([{"port":1},{"port":0}])"), HasSubstr("ports[1].port"));
  EXPECT_EQ(error(R"([{"name":""}])"), "");
}

TEST(ApiJson, NodesAndNamespaces) {
  const Decoded node =
      decode(v1::KIND_NODE,
             R"({"kind":"Node","metadata":{"name":"n1","uid":"u","resourceVersion":"1"},)"
             R"("spec":{"podCIDRs":["10.0.0.0/24"],"taints":[{"key":"k"}]},"status":{"addresses":[)"
             R"({"type":"InternalIP","address":"192.0.2.9"},{"type":"InternalIP","address":"::"},)"
             R"({"type":"Hostname","address":"n1"}],"images":[{"names":["a"]}]}})");
  EXPECT_EQ(node.error, "");
  EXPECT_EQ(node.object.node().status().addresses_size(), 2);
  EXPECT_THAT(node.problems, ElementsAre(HasSubstr("status.addresses[1].address: \"::\"")));
  EXPECT_EQ(node.object.header().unknown_fields_size(), 0);
  const Decoded ns =
      decode(v1::KIND_NAMESPACE,
             R"({"metadata":{"name":"shop","uid":"u","resourceVersion":"1","labels":{"a":"b"}},)"
             R"("spec":{"finalizers":["kubernetes"]},"status":{"phase":"Active"}})");
  EXPECT_EQ(ns.error, "");
  EXPECT_EQ(ns.object.namespace_().metadata().labels().at("a"), "b");
  EXPECT_EQ(ns.object.header().unknown_fields_size(), 0);
}

TEST(ApiJson, OneBadItemDoesNotEndTheList) {
  const std::string list = R"({"kind":"ServiceList","metadata":{"resourceVersion":"9"},"items":[)" +
                           service(R"({"type":"ClusterIP"})") + "," + service("5") + "," +
                           service(R"({"type":"LoadBalancer"})") + "]}";
  std::vector<std::string> errors;
  const auto metadata =
      decode_list(v1::KIND_SERVICE, list, [&](Decoded item) { errors.push_back(item.error); });
  ASSERT_TRUE(metadata.ok()) << metadata.error();
  EXPECT_EQ(metadata->resource_version, "9");
  EXPECT_THAT(errors, ElementsAre("", "spec: expected an object, found 5", ""));
}

TEST(ApiJson, WhatIsNoListIsRefused) {
  const auto error = [](const std::string& text) {
    const auto metadata = decode_list(v1::KIND_SERVICE, text, [](Decoded) {});
    return metadata ? std::string() : metadata.error();
  };
  const std::string kind = R"({"kind":"ServiceList",)";
  EXPECT_EQ(error(kind + R"("metadata":{"resourceVersion":"1"},"items":null})"), "");
  EXPECT_EQ(error(kind + R"("items":[],"metadata":{"resourceVersion":"1"}} )"
                         "\n"),
            "");
  EXPECT_THAT(error(kind + R"("metadata":{"resourceVersion":"1"}})"), HasSubstr("no items"));
  EXPECT_THAT(error(kind + R"("metadata":{},"items":[]})"), HasSubstr("resourceVersion"));
  EXPECT_THAT(error(R"({"kind":"PodList","metadata":{"resourceVersion":"1"},"items":[]})"),
              HasSubstr("\"PodList\", not a ServiceList"));
  EXPECT_THAT(error(kind + R"("items":{}})"), HasSubstr("items is an object"));
  EXPECT_THAT(error(kind + R"("items":5})"), HasSubstr("items is not a list"));
  EXPECT_THAT(error(kind + R"("items":[1]})"), HasSubstr("a value stands where"));
  EXPECT_THAT(error(kind + R"("items":[null]})"), HasSubstr("a value stands where"));
  EXPECT_THAT(error(kind + R"("items":[[]]})"), HasSubstr("a list stands where"));
  EXPECT_THAT(error("[]"), HasSubstr("a list stands where"));
  EXPECT_THAT(error("7"), HasSubstr("not the JSON expected"));
  EXPECT_THAT(error(""), HasSubstr("not the JSON expected"));
  EXPECT_THAT(error("<html>"), HasSubstr("not the JSON expected, at byte 0"));
  EXPECT_THAT(error(kind + R"("metadata":{"resourceVersion":"1"},"items":[]}x)"),
              HasSubstr("not the JSON expected"));
}

TEST(ApiJson, EventsInAnyOrderOfFields) {
  const std::string object = service(R"({"type":"ClusterIP"})");
  for (const std::string& text : {R"({"type":"DELETED","object":)" + object + "}",
                                  R"({"object":)" + object + R"(,"type":"DELETED"})"}) {
    const auto event = decode_event(v1::KIND_SERVICE, text);
    ASSERT_TRUE(event.ok()) << event.error();
    EXPECT_EQ(event->type, WatchEvent::Type::kDeleted);
    EXPECT_EQ(event->resource_version, "7");
    EXPECT_EQ(event->decoded.error, "");
  }
}

TEST(ApiJson, BookmarksAndErrors) {
  const auto decode_text = [](const char* text) { return decode_event(v1::KIND_SERVICE, text); };
  auto event = decode_text(
      R"({"type":"BOOKMARK","object":{"kind":"Service","metadata":{"resourceVersion":"12",)"
      R"("annotations":{"k8s.io/initial-events-end":"true"}},"spec":{},"status":{}}})");
  ASSERT_TRUE(event.ok()) << event.error();
  EXPECT_EQ(event->type, WatchEvent::Type::kBookmark);
  EXPECT_EQ(event->resource_version, "12");
  EXPECT_TRUE(event->initial_events_end);
  event =
      decode_text(R"({"type":"ERROR","object":{"kind":"Status","status":"Failure","code":410,)"
                  R"("reason":"Expired","message":"too old","details":{"retryAfterSeconds":3}}})");
  ASSERT_TRUE(event.ok()) << event.error();
  EXPECT_EQ(event->type, WatchEvent::Type::kError);
  EXPECT_EQ(event->status.code, 410);
  EXPECT_EQ(event->status.retry_after_seconds, 3);
  for (const char* text :
       {R"({"type":"BOOKMARK","object":{}})", R"({"type":"ERROR","object":{"kind":"Pod"}})",
        R"({"type":"ADDED","object":null})", R"({"type":"ADDED"})",
        R"({"type":"LATER","object":{}})", R"({"object":{}})", R"({"type":"ADDED","object":[]})",
        R"({"type":"ADDED","object":{}}{})", "{", "null"}) {
    EXPECT_FALSE(decode_text(text).ok()) << text;
  }
}

}  // namespace
}  // namespace sluice::kube
