#include "config/yaml_tree.h"

#include <gmock/gmock.h>

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string error_of(std::string_view text, const YamlLimits& limits = {}) {
  const auto result = parse_yaml(text, "f.yaml", limits);
  return result ? "" : result.error();
}

TEST(YamlTree, KeepsPlaces) {
  const auto documents = parse_yaml("a: 1\nb:\n  - x\n  - y: z\n", "f.yaml");
  ASSERT_TRUE(documents) << documents.error();
  ASSERT_EQ(documents->size(), 1u);
  const YamlNode* b = (*documents)[0].find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->items[0].mark.line, 3);
  EXPECT_EQ(b->items[0].mark.column, 5);
  EXPECT_EQ(b->items[1].find("y")->scalar, "z");
  EXPECT_EQ(b->items[1].find("y")->mark.line, 4);
}

TEST(YamlTree, SeveralDocumentsAndEmptyOnes) {
  const auto documents = parse_yaml("---\na: 1\n---\n# nothing\n---\nb: 2\n", "f");
  ASSERT_TRUE(documents) << documents.error();
  EXPECT_EQ(documents->size(), 2u);
}

TEST(YamlTree, ReadsJson) {
  const auto documents = parse_yaml("{\"a\": {\"b\": [1, \"2\", true, null]}}", "f");
  ASSERT_TRUE(documents) << documents.error();
  const YamlNode* list = (*documents)[0].find("a")->find("b");
  ASSERT_EQ(list->items.size(), 4u);
  EXPECT_TRUE(list->items[0].plain);
  EXPECT_FALSE(list->items[1].plain);
  EXPECT_EQ(list->items[3].kind, YamlNode::Kind::null);
}

TEST(YamlTree, QuotedTextIsNotPlain) {
  const auto documents = parse_yaml("a: '80'\nb: 80\nc: |\n  80\nd: 'null'\n", "f");
  ASSERT_TRUE(documents);
  EXPECT_FALSE((*documents)[0].find("a")->plain);
  EXPECT_TRUE((*documents)[0].find("b")->plain);
  EXPECT_FALSE((*documents)[0].find("c")->plain);
  EXPECT_EQ((*documents)[0].find("d")->kind, YamlNode::Kind::scalar);
}

TEST(YamlTree, RefusesWhatIsNotYaml) {
  EXPECT_THAT(error_of("a: [1, 2\n"), AllOf(StartsWith("f.yaml:"), HasSubstr("not YAML")));
  EXPECT_THAT(error_of("a: b: c: d\n"), HasSubstr("f.yaml:1:"));
  EXPECT_THAT(error_of(std::string("a: b\n\0", 6)), HasSubstr("f.yaml:2: a zero byte"));
  EXPECT_THAT(error_of("a: 1\na: 2\n"), HasSubstr("f.yaml:2:1: the key \"a\" is given twice"));
}

// yaml-cpp stays where it is and gives empty documents without end.
TEST(YamlTree, RefusesATokenThatBeginsNothing) {
  for (const char* text : {",", "\"a\", b", "# x\n,  ports:\n  - a: 1\n"}) {
    EXPECT_THAT(error_of(text), HasSubstr("nothing can begin here")) << text;
  }
  EXPECT_THAT(error_of("# x\n, a: 1\n"), StartsWith("f.yaml:2:1: "));
}

TEST(YamlTree, RefusesTheBillionLaughs) {
  const std::string laughs = "a: &a [lol, lol]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c, *c]\n";
  EXPECT_THAT(error_of(laughs), HasSubstr("f.yaml:1:4: anchors are not taken"));
  EXPECT_THAT(error_of("a: *b\n"), StartsWith("f.yaml:1:"));
  EXPECT_THAT(error_of("a: !!binary aGVsbG8=\n"), HasSubstr("tag"));
}

TEST(YamlTree, IsBounded) {
  EXPECT_THAT(error_of("a: 123456789", {.bytes = 8, .nodes = 100, .depth = 8}),
              HasSubstr("longer"));
  EXPECT_THAT(error_of("[1,2,3,4,5,6,7,8]", {.bytes = 100, .nodes = 5, .depth = 8}),
              HasSubstr("more than 5 values"));
  EXPECT_THAT(error_of(std::string(20, '[') + std::string(20, ']')), "");
  EXPECT_THAT(error_of(std::string(100, '[') + std::string(100, ']')), HasSubstr("nested deeper"));
  EXPECT_NE(error_of(std::string(100'000, '[')), "");
  EXPECT_NE(error_of(std::string(100'000, '{')), "");
}

// Every cut of a valid text gives a tree or an error, never more.
TEST(YamlTree, SurvivesEveryTruncation) {
  const std::string text = "a: {b: [1, \"x\\n\", 'y']}\nc: |\n  text\n---\n- d: ~\n- ? e\n  : f\n";
  for (std::size_t length = 0; length <= text.size(); ++length) {
    const auto result = parse_yaml(text.substr(0, length), "f");
    if (!result) {
      EXPECT_THAT(result.error(), StartsWith("f:")) << length;
    }
  }
}

TEST(YamlTree, TellsNumbersAndBooleans) {
  for (const char* number :
       {"0", "-1", "+5", "8080", "1.5", ".5", "5.", "1e3", "1.5e-3", "0x1f", "0o17", ".inf"}) {
    EXPECT_TRUE(yaml_is_number(number)) << number;
  }
  for (const char* text :
       {"", "-", ".", "e3", "1e", "0x", "10.0.0.1", "1a", "0000:01:00.0", "v1"}) {
    EXPECT_FALSE(yaml_is_number(text)) << text;
  }
  bool value = false;
  EXPECT_TRUE(yaml_is_bool("yes", &value) && value);
  EXPECT_TRUE(yaml_is_bool("Off", &value) && !value);
  EXPECT_FALSE(yaml_is_bool("y", &value));
}

// What is written reads back the same, whatever the text looks like.
TEST(YamlText, RoundTrips) {
  YamlNode tree = YamlNode::map();
  YamlNode& list = tree.add("list", YamlNode::sequence());
  for (const char* text :
       {"",      "80",   "true",         "no",     "null", "~",    "a b", "a: b",        "- x",
        "#c",    "a#b",  "\"q\"",        "l1\nl2", "\t",   "\x01", "\\",  "2001:db8::1", "10.0.0.1",
        "1_000", "0777", "2020-01-01",   "on",     "*a",   "&a",   "!t",  "%d",          "@x",
        "`y",    "fünf", "sluice.dev/v1"}) {
    list.add("", YamlNode::string(text));
  }
  list.add("", YamlNode::literal("42"));
  list.add("", YamlNode());
  list.add("", YamlNode::map());
  YamlNode& nested = list.add("", YamlNode::map());
  nested.add("80", YamlNode::string("x"));
  nested.add("", YamlNode::sequence());
  YamlNode& inner = nested.add("k", YamlNode::sequence());
  inner.add("", YamlNode::sequence()).add("", YamlNode::string("deep"));
  for (const std::string& text : {yaml_text(tree), json_text(tree)}) {
    const auto again = parse_yaml(text, "f");
    ASSERT_TRUE(again) << again.error() << "\n" << text;
    ASSERT_EQ(again->size(), 1u);
    EXPECT_EQ(json_text((*again)[0]), json_text(tree)) << text;
    EXPECT_EQ(yaml_text((*again)[0]), yaml_text(tree)) << text;
  }
}

}  // namespace
}  // namespace sluice
