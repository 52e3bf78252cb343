#include "control/manifest/show.h"

#include <gmock/gmock.h>

#include "control/manifest/manifest.h"

namespace sluice {
namespace {

TEST(Show, LooksLikeKubectl) {
  const auto manifest = parse_manifests(
      "apiVersion: sluice.dev/v1\nkind: AddressPool\nmetadata: {name: p, generation: 2}\n"
      "spec: {addresses: [192.0.2.0/24, \"2001:db8::/64\"], autoAssign: false}\n",
      "f");
  ASSERT_TRUE(manifest) << manifest.error();
  const v1::Object& pool = manifest->objects[0].object;
  EXPECT_EQ(object_yaml(pool),
            "apiVersion: sluice.dev/v1\n"
            "kind: AddressPool\n"
            "metadata:\n"
            "  name: p\n"
            "  generation: 2\n"
            "spec:\n"
            "  addresses:\n"
            "  - 192.0.2.0/24\n"
            "  - \"2001:db8::/64\"\n"
            "  autoAssign: false\n");
  EXPECT_EQ(list_json({&pool}),
            "{\n"
            "  \"apiVersion\": \"v1\",\n"
            "  \"kind\": \"List\",\n"
            "  \"items\": [\n"
            "    {\n"
            "      \"apiVersion\": \"sluice.dev/v1\",\n"
            "      \"kind\": \"AddressPool\",\n"
            "      \"metadata\": {\n"
            "        \"name\": \"p\",\n"
            "        \"generation\": 2\n"
            "      },\n"
            "      \"spec\": {\n"
            "        \"addresses\": [\n"
            "          \"192.0.2.0/24\",\n"
            "          \"2001:db8::/64\"\n"
            "        ],\n"
            "        \"autoAssign\": false\n"
            "      }\n"
            "    }\n"
            "  ]\n"
            "}\n");
  EXPECT_EQ(list_yaml({}), "apiVersion: v1\nkind: List\nitems: []\n");
}

TEST(Show, DocumentsReadBack) {
  const auto manifest = parse_manifests(
      "{apiVersion: v1, kind: Namespace, metadata: {name: a}}\n---\n"
      "{apiVersion: v1, kind: Node, metadata: {name: b, labels: {on: \"yes\", n: \"1\"}}}\n",
      "f");
  ASSERT_TRUE(manifest) << manifest.error();
  std::vector<const v1::Object*> objects;
  for (const auto& object : manifest->objects) objects.push_back(&object.object);
  const auto again = parse_manifests(documents_yaml(objects), "f");
  ASSERT_TRUE(again) << again.error();
  ASSERT_EQ(again->objects.size(), 2u);
  EXPECT_EQ(again->objects[1].object.node().metadata().labels().at("on"), "yes");
}

TEST(Show, OtherMessages) {
  v1::Address address;
  address.set_address(std::string("\xc0\x00\x02\x01", 4));
  address.set_pool("p");
  EXPECT_EQ(message_yaml(address), "address: 192.0.2.1\npool: p\n");
}

}  // namespace
}  // namespace sluice
