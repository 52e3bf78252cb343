// JSON cut anywhere, deep, large and broken.
#include <gmock/gmock.h>

#include <random>

#include "control/kubernetes/api_json.h"

namespace sluice::kube {
namespace {

using testing::HasSubstr;

const std::string kList =
    R"({"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1","metadata":{)"
    R"("resourceVersion":"42","continue":"ab\u0063","remainingItemCount":17},"items":[)"
    R"({"metadata":{"name":"s\u002d1","namespace":"n","uid":"u","resourceVersion":"1",)"
    R"("labels":{"k\u0065y":"\u00fcmlaut ü 😀 \ud83d\ude00"}},"addressType":"IPv4",)"
    R"("endpoints":[{"addresses":["192.0.2.1"],"conditions":{"ready":true},"x":-12.5e3}],)"
    R"("ports":[{"name":"","port":8080,"protocol":"TCP"}]},)"
    R"({"metadata":{"name":"s2","namespace":"n","uid":"u","resourceVersion":"2"},)"
    R"("addressType":"IPv6","endpoints":null,"ports":null}]})";

struct Read {
  std::string items;
  std::string error;
  ListMetadata metadata;
};

Read read_in_pieces(const std::vector<std::string_view>& pieces) {
  Read read;
  ListReader reader(v1::KIND_ENDPOINT_SLICE, [&](Decoded item) {
    read.items += item.object.SerializeAsString() + item.error;
  });
  for (const std::string_view piece : pieces) {
    // On the heap, so that a sanitizer sees a read past the end.
    const std::unique_ptr<std::string> copy = std::make_unique<std::string>(piece);
    copy->shrink_to_fit();
    const Status fed = reader.feed(*copy);
    if (!fed) read.error = fed.error();
    if (!fed) return read;
  }
  const Status whole = reader.finish();
  if (!whole) read.error = whole.error();
  read.metadata = reader.metadata();
  return read;
}

TEST(JsonBounds, AListMayBeCutAtEveryByte) {
  const std::string_view text = kList;
  const Read whole = read_in_pieces({text});
  ASSERT_EQ(whole.error, "");
  EXPECT_EQ(whole.metadata.resource_version, "42");
  EXPECT_EQ(whole.metadata.continue_token, "abc");
  EXPECT_EQ(whole.metadata.remaining_item_count, 17);
  EXPECT_THAT(whole.items, HasSubstr("ümlaut ü 😀 😀"));
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    const Read read = read_in_pieces({text.substr(0, cut), text.substr(cut)});
    EXPECT_EQ(read.error, "") << cut;
    EXPECT_EQ(read.items, whole.items) << cut;
    EXPECT_EQ(read.metadata.continue_token, "abc") << cut;
  }
  std::vector<std::string_view> bytes;
  for (std::size_t i = 0; i < text.size(); ++i) bytes.push_back(text.substr(i, 1));
  const Read read = read_in_pieces(bytes);
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.items, whole.items);
}

TEST(JsonBounds, APartOfAListIsNoList) {
  for (std::size_t size = 0; size < kList.size(); ++size) {
    EXPECT_NE(read_in_pieces({std::string_view(kList).substr(0, size)}).error, "") << size;
  }
}

TEST(JsonBounds, DamagedBytesNeverCrash) {
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    std::string text = kList;
    for (unsigned changes = random() % 4 + 1; changes > 0; --changes) {
      text[random() % text.size()] = static_cast<char>(random());
    }
    const std::size_t cut = random() % text.size();
    const std::string_view view = text;
    const Read two = read_in_pieces({view.substr(0, cut), view.substr(cut)});
    EXPECT_EQ(two.error.empty(), read_in_pieces({view}).error.empty()) << text;
  }
}

TEST(JsonBounds, DepthIsBounded) {
  const std::string deep(100'000, '[');
  EXPECT_FALSE(decode_object(v1::KIND_SERVICE, R"({"x":)" + deep).ok());
  EXPECT_FALSE(decode_object(v1::KIND_SERVICE, deep).ok());
  EXPECT_FALSE(decode_status(R"({"x":)" + deep).has_value());
}

TEST(JsonBounds, AnObjectOfManySmallElementsIsRefusedButNotTheList) {
  std::string many = "{}";
  for (int i = 0; i < 200'000; ++i) many += ",{}";
  const auto item = [](const std::string& name, const std::string& endpoints) {
    return R"({"metadata":{"name":")" + name +
           R"(","namespace":"n","uid":"u","resourceVersion":"1"},"addressType":"IPv4",)"
           R"("endpoints":[)" +
           endpoints + "]}";
  };
  const std::string list =
      R"({"kind":"EndpointSliceList","metadata":{"resourceVersion":"1"},"items":[)" +
      item("a", many) + "," + item("b", R"({"addresses":["192.0.2.1"]})") + "]}";
  std::vector<Decoded> items;
  const auto metadata =
      decode_list(v1::KIND_ENDPOINT_SLICE, list, [&](Decoded d) { items.push_back(std::move(d)); });
  ASSERT_TRUE(metadata.ok()) << metadata.error();
  ASSERT_EQ(items.size(), 2u);
  EXPECT_THAT(items[0].error, HasSubstr("larger than any the API server takes"));
  EXPECT_LT(items[0].object.endpoint_slice().endpoints_size(), 100'000);
  EXPECT_EQ(items[0].object.endpoint_slice().metadata().name(), "a");
  EXPECT_EQ(items[1].error, "");
}

TEST(JsonBounds, ATextTooLongIsRefused) {
  const std::string text = R"({"metadata":{"name":")" + std::string(5u << 20, 'x') + "\"}}";
  EXPECT_FALSE(decode_object(v1::KIND_SERVICE, text).ok());
}

TEST(JsonBounds, BytesThatAreNoUtf8AreRefused) {
  EXPECT_FALSE(decode_object(v1::KIND_SERVICE, "{\"a\":\"\xff\xfe\"}").ok());
}

TEST(JsonBounds, LinesCutAtEveryByte) {
  const std::string text = "{\"a\":1}\n\n{\"b\":\"\\n\"}\n{\"c\":3}\n{\"half";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    JsonLines lines;
    std::vector<std::string> found;
    for (const auto& piece : {text.substr(0, cut), text.substr(cut)}) {
      ASSERT_TRUE(lines.feed(piece).ok());
      while (const auto line = lines.next()) found.emplace_back(*line);
    }
    EXPECT_THAT(found, testing::ElementsAre("{\"a\":1}", "{\"b\":\"\\n\"}", "{\"c\":3}")) << cut;
    EXPECT_TRUE(lines.partial());
  }
}

TEST(JsonBounds, ALineTooLongIsRefused) {
  JsonLines lines(1000);
  EXPECT_TRUE(lines.feed(std::string(999, 'x') + "\n" + std::string(999, 'y')).ok());
  EXPECT_TRUE(lines.next().has_value());
  EXPECT_TRUE(lines.feed("y").ok());
  const Status fed = lines.feed("y");
  ASSERT_FALSE(fed.ok());
  EXPECT_THAT(fed.error(), HasSubstr("more than 1000 bytes"));
}

TEST(JsonBounds, EventsTakenLaterAreNotLost) {
  JsonLines lines;
  ASSERT_TRUE(lines.feed("1\n2\n3").ok());
  EXPECT_EQ(lines.next(), "1");
  ASSERT_TRUE(lines.feed("3\n").ok());
  EXPECT_EQ(lines.next(), "2");
  EXPECT_EQ(lines.next(), "33");
  EXPECT_EQ(lines.next(), std::nullopt);
  EXPECT_FALSE(lines.partial());
}

}  // namespace
}  // namespace sluice::kube
