#include "control/manifest/manifest.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "config/yaml_tree.h"
#include "control/manifest/show.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string error_of(const std::string& text) {
  const auto manifest = parse_manifests(text, "f.yaml");
  return manifest ? "" : manifest.error();
}

constexpr const char* kService =
    "apiVersion: v1\n"
    "kind: Service\n"
    "metadata: {name: web}\n"
    "spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}\n";

TEST(Manifest, FillsWhatTheApiServerFills) {
  const auto manifest =
      parse_manifests(kService, "f.yaml", {.default_namespace = "shop", .writer = "test 1"});
  ASSERT_TRUE(manifest) << manifest.error();
  ASSERT_EQ(manifest->objects.size(), 1u);
  const ManifestObject& object = manifest->objects[0];
  EXPECT_EQ(object.line, 1);
  EXPECT_EQ(object.object.header().major(), 1u);
  EXPECT_EQ(object.object.header().writer(), "test 1");
  const v1::Service& service = object.object.service();
  EXPECT_EQ(service.metadata().namespace_(), "shop");
  EXPECT_EQ(service.spec().session_affinity(), "None");
  EXPECT_EQ(service.spec().ip_family_policy(), "SingleStack");
  EXPECT_THAT(service.spec().ip_families(), ElementsAre("IPv4"));
  EXPECT_EQ(service.spec().ports(0).protocol(), "TCP");
  EXPECT_EQ(service.spec().ports(0).target_port().number(), 80);
  EXPECT_EQ(service.spec().external_traffic_policy(), "Cluster");
}

TEST(Manifest, DualStackDefaults) {
  const auto families = [](const std::string& spec) {
    const auto manifest = parse_manifests(
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 1}], " + spec +
            "}\n",
        "f");
    EXPECT_TRUE(manifest) << manifest.error();
    const auto& s = manifest->objects[0].object.service().spec();
    std::string text = s.ip_family_policy();
    for (const auto& f : s.ip_families()) text += " " + f;
    return text;
  };
  EXPECT_EQ(families("ipFamilyPolicy: PreferDualStack"), "PreferDualStack IPv4 IPv6");
  EXPECT_EQ(families("ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv6]"),
            "RequireDualStack IPv6 IPv4");
  EXPECT_EQ(families("ipFamilies: [IPv6, IPv4]"), "RequireDualStack IPv6 IPv4");
  EXPECT_EQ(families("ipFamilies: [IPv6]"), "SingleStack IPv6");
  EXPECT_EQ(families("loadBalancerIP: \"2001:db8::1\""), "SingleStack IPv6");
}

TEST(Manifest, SeveralDocumentsListsAndOtherKinds) {
  const auto manifest = parse_manifests(
      std::string(kService) +
          "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {x: 1}\n"
          "---\napiVersion: v1\nkind: List\nitems:\n"
          "  - {apiVersion: v1, kind: Namespace, metadata: {name: shop}}\n"
          "  - {apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: b}}\n"
          "---\n{\"apiVersion\": \"v1\", \"kind\": \"NodeList\", \"items\": [{\"apiVersion\": "
          "\"v1\", "
          "\"kind\": \"Node\", \"metadata\": {\"name\": \"n1\"}}]}\n"
          "---\napiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: k}\n",
      "f.yaml");
  ASSERT_TRUE(manifest) << manifest.error();
  EXPECT_EQ(manifest->objects.size(), 3u);
  EXPECT_THAT(manifest->warnings,
              ElementsAre("f.yaml:6: Deployment web (apps/v1) is skipped: not a kind Sluice uses",
                          "f.yaml:15: ConfigMap c (v1) is skipped: not a kind Sluice uses",
                          HasSubstr("Service k (serving.knative.dev/v1) is skipped")));
}

TEST(Manifest, CollectsUnknownFields) {
  const auto manifest = parse_manifests(
      "apiVersion: v1\nkind: Pod\nmetadata: {name: p, ownerReferences: []}\n"
      "spec: {containers: [{name: c, image: nginx}, {name: d, image: x}]}\n",
      "f.yaml");
  ASSERT_TRUE(manifest) << manifest.error();
  EXPECT_THAT(manifest->objects[0].object.header().unknown_fields(),
              ElementsAre("metadata.ownerReferences", "spec.containers[].image"));
}

TEST(Manifest, FieldsNobodyKnows) {
  const std::string text =
      "apiVersion: v1\nkind: Pod\nmetadata: {name: p, ownerReferences: []}\n"
      "spec:\n  containers: [{name: c, image: nginx}]\n  hostnetwork: true\n"
      "status: {podips: [{ip: 10.0.0.1}], whatever: 1}\n";
  ManifestOptions options;
  options.validation = FieldValidation::strict;
  const auto refused = parse_manifests(text, "f.yaml", options);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error(),
              HasSubstr("f.yaml:6:16: Pod default/p: spec.hostnetwork: there is no "
                        "such field; did you mean \"hostNetwork\"?"));
  EXPECT_THAT(refused.error(), HasSubstr("status.podips: there is no such field; did you mean"));
  EXPECT_THAT(refused.error(), HasSubstr("status.whatever: there is no such field; known here: "));
  options.validation = FieldValidation::warn;
  const auto warned = parse_manifests(text, "f.yaml", options);
  ASSERT_TRUE(warned) << warned.error();
  EXPECT_THAT(warned->warnings,
              ElementsAre(HasSubstr("hostnetwork"), HasSubstr("podips"), HasSubstr("whatever")));
  EXPECT_THAT(warned->objects[0].object.header().unknown_fields(),
              ElementsAre("metadata.ownerReferences", "spec.containers[].image", "spec.hostnetwork",
                          "status.podips", "status.whatever"));
}

// Strict as we are, what a real API server says is right.
TEST(Manifest, TakesWhatAnApiServerGives) {
  ManifestOptions options;
  options.validation = FieldValidation::strict;
  for (const char* name : {"services.populated", "endpointslices.populated", "endpoints.populated",
                           "nodes.populated", "pods.populated"}) {
    const auto text =
        read_text_file(std::string(SLUICE_FIXTURES) + "/v1.32/list/" + name + ".json");
    ASSERT_TRUE(text) << text.error();
    const auto manifest = parse_manifests(*text, name, options);
    ASSERT_TRUE(manifest) << manifest.error();
    EXPECT_FALSE(manifest->objects.empty()) << name;
    EXPECT_THAT(manifest->warnings, IsEmpty());
  }
}

TEST(Manifest, NothingIsReturnedIfAnythingIsWrong) {
  const std::string error = error_of(
      std::string(kService) +
      "---\napiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec:\n  ports:\n    - port: 0\n"
      "    - port: 70000\n---\napiVersion: v1\nkind: Pod\nmetadata: {}\n");
  EXPECT_THAT(error, HasSubstr("f.yaml:11:13: Service default/bad: spec.ports[0].port: 0 is not a "
                               "port; right is 1 to 65535"));
  EXPECT_THAT(
      error,
      HasSubstr("f.yaml:12:13: Service default/bad: spec.ports[1].port: 70000 is not a port"));
  EXPECT_THAT(error, HasSubstr("metadata.name: is missing"));
}

TEST(Manifest, RefusesWhatIsNoManifest) {
  EXPECT_THAT(error_of("just text"), HasSubstr("f.yaml:1:1: expected an object"));
  EXPECT_THAT(error_of("kind: [Service"), HasSubstr("not YAML"));
  EXPECT_THAT(error_of("kind: Service\n"), HasSubstr("apiVersion: is missing"));
  EXPECT_THAT(error_of("apiVersion: v1\n"), HasSubstr("kind: is missing"));
  EXPECT_THAT(error_of("apiVersion: v2\nkind: Service\n"), HasSubstr("write v1"));
  EXPECT_THAT(error_of("apiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\n"),
              HasSubstr("write discovery.k8s.io/v1"));
  EXPECT_THAT(error_of("apiVersion: v1\nkind: Service\nmetadata: {name: a, labels: {v: 1}}\nspec: "
                       "{ports: [{port: 1}]}\n"),
              HasSubstr("f.yaml:3:33: Service default/a: metadata.labels[v]: 1 is not a text"));
  EXPECT_THAT(error_of(std::string(kService) + "---\n" + kService),
              HasSubstr("f.yaml:6:1: Service default/web is given twice; first in line 1"));
}

TEST(Manifest, ListsWithinListsAreBounded) {
  std::string text = "{apiVersion: v1, kind: Namespace, metadata: {name: n}}";
  for (int i = 0; i < 10; ++i) text = "{apiVersion: v1, kind: List, items: [" + text + "]}";
  EXPECT_THAT(error_of(text), HasSubstr("too deep"));
}

TEST(Manifest, WarnsOfPodsThatCannotServe) {
  const auto manifest = parse_manifests("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n", "f");
  ASSERT_TRUE(manifest) << manifest.error();
  EXPECT_THAT(manifest->objects[0].warnings, ElementsAre(HasSubstr("status.podIPs")));
}

// Every example of ours is right, and stays so.
TEST(Examples, AreAllRight) {
  std::size_t files = 0;
  const std::string root = std::string(SLUICE_CONFIG_DIR) + "/examples";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.path().extension() != ".yaml") continue;
    ++files;
    const auto text = read_text_file(entry.path());
    ASSERT_TRUE(text) << text.error();
    ManifestOptions options;
    options.validation = FieldValidation::strict;
    const auto manifest = parse_manifests(*text, entry.path(), options);
    ASSERT_TRUE(manifest) << manifest.error();
    EXPECT_THAT(manifest->warnings, IsEmpty());
    EXPECT_FALSE(manifest->objects.empty());
    for (const ManifestObject& object : manifest->objects) {
      EXPECT_THAT(object.warnings, IsEmpty()) << entry.path();
      // What is shown can be applied again, and is the same.
      const auto again = parse_manifests(object_yaml(object.object), "again");
      ASSERT_TRUE(again) << again.error();
      EXPECT_EQ(object_json(again->objects[0].object), object_json(object.object));
    }
  }
  EXPECT_GE(files, 5u);
}

}  // namespace
}  // namespace sluice
