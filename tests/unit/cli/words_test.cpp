// What stands on a command line: kinds and names, durations.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/cli/duration.h"
#include "control/cli/resource.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

TEST(ResourceWordsTest, KindsAndNames) {
  auto wanted = parse_resources({"svc"});
  ASSERT_TRUE(wanted) << wanted.error();
  ASSERT_EQ(wanted->size(), 1u);
  EXPECT_EQ(wanted->front().resource, Resource::services);
  EXPECT_THAT(wanted->front().names, IsEmpty());

  wanted = parse_resources({"svc,pods,services", "a", "b", "a"});
  ASSERT_TRUE(wanted) << wanted.error();
  ASSERT_EQ(wanted->size(), 2u);
  EXPECT_EQ((*wanted)[1].resource, Resource::pods);
  EXPECT_THAT((*wanted)[0].names, ElementsAre("a", "b"));
  EXPECT_THAT((*wanted)[1].names, ElementsAre("a", "b"));

  wanted = parse_resources({"svc/a", "pod/x", "service/b"});
  ASSERT_TRUE(wanted) << wanted.error();
  ASSERT_EQ(wanted->size(), 2u);
  EXPECT_THAT((*wanted)[0].names, ElementsAre("a", "b"));
  EXPECT_THAT((*wanted)[1].names, ElementsAre("x"));
}

TEST(ResourceWordsTest, Mistakes) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{},
                                             {"deployments"},
                                             {"svc,"},
                                             {"svc,deploy"},
                                             {"svc/a", "b"},
                                             {"svc", "pod/b"},
                                             {"svc/"},
                                             {"/a"},
                                             {"svc/a/b"}})
    EXPECT_FALSE(parse_resources(words)) << (words.empty() ? "" : words.front());
}

TEST(DurationTest, AsGo) {
  EXPECT_EQ(*parse_duration("0"), 0ms);
  EXPECT_EQ(*parse_duration("30s"), 30s);
  EXPECT_EQ(*parse_duration("1m30s"), 90s);
  EXPECT_EQ(*parse_duration("1.5h"), 90min);
  EXPECT_EQ(*parse_duration("250ms"), 250ms);
  for (const char* text : {"", "5", "-1s", "1x", "s", "1s5", "169h", "1e9h", "nan", "infs", "1 s"})
    EXPECT_FALSE(parse_duration(text)) << text;
}

}  // namespace
}  // namespace sluice
