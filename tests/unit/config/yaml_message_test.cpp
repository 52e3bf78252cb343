#include "config/yaml_message.h"

#include <gmock/gmock.h>

#include "config.pb.h"
#include "kubernetes.pb.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

template <typename T>
struct Read {
  T message;
  YamlReport report;
};

template <typename T>
Read<T> read(const std::string& text, UnknownFields unknown = UnknownFields::refuse,
             bool strict = false) {
  Read<T> result;
  const auto documents = parse_yaml(text, "f.yaml");
  EXPECT_TRUE(documents) << documents.error();
  YamlReadOptions options;
  options.file = "f.yaml";
  options.unknown = unknown;
  options.strict_strings = strict;
  read_message((*documents)[0], options, &result.message, &result.report);
  return result;
}

TEST(YamlMessage, ReadsEveryShape) {
  const auto r = read<v1::Service>(
      "metadata: {name: web, generation: 7, labels: {app: web}, annotations: null}\n"
      "spec:\n"
      "  publishNotReadyAddresses: true\n"
      "  allocateLoadBalancerNodePorts: false\n"
      "  ipFamilies: [IPv4, IPv6]\n"
      "  ports:\n"
      "    - {name: a, port: 80, targetPort: 8080}\n"
      "    - {name: b, port: 81, targetPort: http}\n"
      "    - {name: c, port: 82, targetPort: '8082'}\n");
  EXPECT_THAT(r.report.errors, IsEmpty());
  EXPECT_EQ(r.message.metadata().generation(), 7);
  EXPECT_EQ(r.message.metadata().labels().at("app"), "web");
  EXPECT_TRUE(r.message.spec().publish_not_ready_addresses());
  EXPECT_TRUE(r.message.spec().has_allocate_load_balancer_node_ports());
  EXPECT_FALSE(r.message.spec().allocate_load_balancer_node_ports());
  EXPECT_THAT(r.message.spec().ip_families(), ElementsAre("IPv4", "IPv6"));
  EXPECT_EQ(r.message.spec().ports(0).target_port().number(), 8080);
  EXPECT_EQ(r.message.spec().ports(1).target_port().name(), "http");
  EXPECT_EQ(r.message.spec().ports(2).target_port().name(), "8082");
  EXPECT_EQ(r.report.where("spec.ports[1].port"), "f.yaml:8:23");
  EXPECT_EQ(r.report.where("spec.ports[1].protocol"), "f.yaml:8:7");
}

TEST(YamlMessage, TellsEveryMistakeWithItsPlace) {
  const auto r = read<v1::Service>(
      "metadata:\n"
      "  name: [web]\n"
      "  generation: many\n"
      "spec:\n"
      "  ports: {}\n"
      "  selector: web\n"
      "  publishNotReadyAddresses: \"true\"\n"
      "  healthCheckNodePort: 99999999999\n"
      "  ipFamilies: [null]\n");
  EXPECT_THAT(
      r.report.errors,
      ElementsAre(
          HasSubstr("f.yaml:2:9: metadata.name: expected a single value, found a list"),
          HasSubstr("f.yaml:3:15: metadata.generation: \"many\" is not a number"),
          HasSubstr("f.yaml:5:10: spec.ports: expected a list, found a map"),
          HasSubstr("f.yaml:6:13: spec.selector: expected a map"),
          HasSubstr(
              "f.yaml:7:29: spec.publishNotReadyAddresses: \"true\" is neither true nor false"),
          HasSubstr("f.yaml:8:24: spec.healthCheckNodePort: 99999999999 is not a whole number"),
          HasSubstr("f.yaml:9:16: spec.ipFamilies[0]: an empty list element")));
}

TEST(YamlMessage, UnknownFields) {
  const auto refused = read<v1::GatewayConfig>("dataplane:\n  worker: 3\n  nonsense: 1\n");
  EXPECT_THAT(
      refused.report.errors,
      ElementsAre(HasSubstr("f.yaml:2:11: dataplane.worker: there is no such field; did you mean "
                            "\"workers\"?"),
                  HasSubstr("known here: socket, workers")));
  const auto collected = read<v1::Pod>(
      "spec:\n  containers:\n    - {name: a, image: x, env: [{name: b}]}\n    - {name: c, image: "
      "y}\n",
      UnknownFields::collect);
  EXPECT_THAT(collected.report.errors, IsEmpty());
  EXPECT_THAT(collected.report.unknown_fields,
              ElementsAre("spec.containers[].image", "spec.containers[].env"));
}

TEST(YamlMessage, StrictStringsAreKubernetes) {
  const std::string text = "metadata: {labels: {a: true, b: 1, c: \"1\", d: v1}}\n";
  EXPECT_THAT(
      read<v1::Pod>(text, UnknownFields::collect, true).report.errors,
      ElementsAre(HasSubstr("metadata.labels[a]: true is not a text; write \"true\" in quotes"),
                  HasSubstr("metadata.labels[b]: 1 is not a text")));
  EXPECT_THAT(read<v1::Pod>(text, UnknownFields::collect, false).report.errors, IsEmpty());
}

TEST(YamlMessage, QuotedNumberIsNoNumber) {
  EXPECT_THAT(read<v1::GatewayConfig>("dataplane: {workers: \"2\"}\n").report.errors,
              ElementsAre(HasSubstr("write the number without quotes")));
  EXPECT_THAT(read<v1::GatewayConfig>("dataplane: {workers: -1}\n").report.errors,
              ElementsAre(HasSubstr("-1 is not a whole number from 0 to 4294967295")));
  EXPECT_THAT(read<v1::GatewayConfig>("dataplane: {workers: 1.5}\n").report.errors,
              ElementsAre(HasSubstr("1.5 is not a whole number")));
}

TEST(YamlMessage, OverlayReplacesLists) {
  v1::GatewayConfig config;
  config.mutable_dataplane()->set_workers(4);
  config.mutable_control()->add_load_balancer_classes("old/one");
  config.mutable_control()->add_load_balancer_classes("old/two");
  const auto documents =
      parse_yaml("dataplane: {idle: spin}\ncontrol: {loadBalancerClasses: [new/one]}\n", "f");
  YamlReport report;
  read_message((*documents)[0], {}, &config, &report);
  EXPECT_EQ(config.dataplane().workers(), 4u);
  EXPECT_EQ(config.dataplane().idle(), "spin");
  EXPECT_THAT(config.control().load_balancer_classes(), ElementsAre("new/one"));
}

TEST(YamlMessage, WritesWhatItReads) {
  const std::string text =
      "metadata:\n  name: web\n  generation: 7\n  labels:\n    app: web\n    zone: \"1\"\n"
      "spec:\n  type: LoadBalancer\n  ports:\n  - name: http\n    port: 80\n    targetPort: http\n"
      "  - name: alt\n    port: 81\n    targetPort: 8081\n";
  const auto r = read<v1::Service>(text);
  EXPECT_THAT(r.report.errors, IsEmpty());
  EXPECT_EQ(yaml_text(message_tree(r.message)), text);
}

TEST(YamlMessage, BoundsItsReports) {
  std::string text = "spec:\n  ports:\n";
  for (int i = 0; i < 1000; ++i) text += "    - {port: x}\n";
  EXPECT_EQ(read<v1::Service>(text).report.errors.size(), 100u);
}

}  // namespace
}  // namespace sluice
