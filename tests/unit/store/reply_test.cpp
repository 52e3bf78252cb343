#include "control/store/reply.h"

#include <gtest/gtest.h>

namespace sluice::store {
namespace {

const std::string kReplies =
    "+OK\r\n:42\r\n$5\r\na\r\nb\n\r\n$-1\r\n-NOPERM "
    "no\r\n*3\r\n:1\r\n*2\r\n$1\r\nx\r\n*-1\r\n$0\r\n\r\n";

std::vector<RedisValue> parse(ReplyParser& parser) {
  std::vector<RedisValue> values;
  for (;;) {
    auto next = parser.next();
    EXPECT_TRUE(next) << next.error();
    if (!next || !next->has_value()) return values;
    values.push_back(std::move(**next));
  }
}

TEST(Reply, ParsesEveryTypeCutAtEveryByte) {
  for (std::size_t cut = 0; cut <= kReplies.size(); ++cut) {
    ReplyParser parser(1024, 16);
    ASSERT_TRUE(parser.feed(kReplies.substr(0, cut)));
    std::vector<RedisValue> values = parse(parser);
    ASSERT_TRUE(parser.feed(kReplies.substr(cut)));
    for (RedisValue& value : parse(parser)) values.push_back(std::move(value));
    ASSERT_EQ(values.size(), 6u) << cut;
    EXPECT_EQ(values[0].type, RedisValue::Type::kStatus);
    EXPECT_EQ(values[1].integer, 42);
    EXPECT_EQ(values[2].text, "a\r\nb\n");
    EXPECT_TRUE(values[3].is_nil());
    EXPECT_TRUE(values[4].is_error());
    EXPECT_EQ(values[4].text, "NOPERM no");
    EXPECT_EQ(values[5].at(1).at(0).text, "x");
    EXPECT_TRUE(values[5].at(1).at(1).is_nil());
    EXPECT_TRUE(values[5].at(2).is_string());
    EXPECT_TRUE(values[5].at(9).at(9).is_nil());
  }
}

TEST(Reply, RefusesMoreElementsThanTheBound) {
  ReplyParser parser(1024, 16);
  ASSERT_TRUE(parser.feed("*17\r\n"));
  EXPECT_FALSE(parser.next());
}

TEST(Reply, RefusesAHugeArrayWithoutTakingMemoryForIt) {
  ReplyParser parser(1024, 16);
  ASSERT_TRUE(parser.feed("*2000000000\r\n"));
  EXPECT_FALSE(parser.next());
}

TEST(Reply, RefusesMoreBytesThanTheBound) {
  ReplyParser parser(1024, 16);
  ASSERT_TRUE(parser.feed("$2000\r\n"));
  ASSERT_TRUE(parser.next());
  EXPECT_FALSE(parser.feed(std::string(1100, 'x')));
}

TEST(Reply, ManyRepliesMayExceedTheBoundOfOne) {
  ReplyParser parser(64, 16);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(parser.feed(":1\r\n+something\r\n"));
    EXPECT_EQ(parse(parser).size(), 2u);
  }
}

TEST(Reply, RefusesWhatIsNotRedis) {
  for (const char* text : {"HTTP/1.1 400 Bad Request\r\n\r\n", "*a\r\n", ":x\r\n", "$1x\r\n"}) {
    ReplyParser parser(1024, 16);
    ASSERT_TRUE(parser.feed(text));
    EXPECT_FALSE(parser.next()) << text;
  }
}

TEST(Reply, RefusesNestingDeeperThanSeven) {
  ReplyParser parser(4096, 16);
  std::string deep;
  for (int i = 0; i < 20; ++i) deep += "*1\r\n";
  ASSERT_TRUE(parser.feed(deep + ":1\r\n"));
  EXPECT_FALSE(parser.next());
}

TEST(Reply, CommandsMayHoldAnyByte) {
  std::string bytes;
  append_command({"SET", std::string("a\0b", 3), "\r\n"}, &bytes);
  EXPECT_EQ(bytes, std::string("*3\r\n$3\r\nSET\r\n$3\r\na\0b\r\n$2\r\n\r\n\r\n", 30));
}

}  // namespace
}  // namespace sluice::store
