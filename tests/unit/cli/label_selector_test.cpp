#include "control/cli/label_selector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

using ::testing::HasSubstr;

bool matches(const std::string& text, const std::map<std::string, std::string>& labels) {
  const auto selector = LabelSelector::parse(text);
  EXPECT_TRUE(selector) << text << ": " << (selector ? "" : selector.error());
  if (!selector) return false;
  return selector->matches({labels.begin(), labels.end()});
}

const std::map<std::string, std::string> kWeb{{"app", "web"}, {"tier", "2"}, {"empty", ""}};

TEST(LabelSelectorTest, EveryOperator) {
  struct Case {
    const char* text;
    bool expected;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"", true},
           {"  ", true},
           {"app=web", true},
           {"app==web", true},
           {" app = web ", true},
           {"app=db", false},
           {"app!=db", true},
           {"app!=web", false},
           {"other!=x", true},  // Absent is unequal.
           {"app", true},
           {"other", false},
           {"!other", true},
           {"! app", false},
           {"app in (web,db)", true},
           {"app in ( db , web )", true},
           {"app in (db)", false},
           {"other in (x)", false},
           {"app notin (db)", true},
           {"app notin (web,db)", false},
           {"other notin (x)", true},
           {"empty=", true},
           {"empty in ()", true},
           {"app=", false},
           {"tier>1", true},
           {"tier<2", false},
           {"tier > 2", false},
           {"app>1", false},
           {"other<5", false},
           {"app=web,tier=2", true},
           {"app=web,tier=3", false},
           {"app in (web,db),!other,tier!=9", true},
           {"in in (x)", false},
           {"app in(web)", true},
       })
    EXPECT_EQ(matches(c.text, kWeb), c.expected) << c.text;
}

TEST(LabelSelectorTest, KeysWithAPrefix) {
  EXPECT_TRUE(matches("kubernetes.io/service-name=web", {{"kubernetes.io/service-name", "web"}}));
}

TEST(LabelSelectorTest, WhatIsWrongIsSaid) {
  struct Case {
    const char* text;
    const char* part;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"=web", "lacks a label's key"},
           {"app=web,", "lacks a label's key"},
           {",app", "lacks a label's key"},
           {"app web", "no operator"},
           {"app in web", "lacks ("},
           {"app in (web", "lacks )"},
           {"app in (web))", "unexpected"},
           {"app=web=db", "unexpected"},
           {"-app=x", "label's key"},
           {"app=a b", "unexpected"},
           {"app=-x", "no label's value"},
           {"tier>x", "whole number"},
           {"tier>99999999999999999999", "whole number"},
           {"!", "lacks a label's key"},
       }) {
    const auto selector = LabelSelector::parse(c.text);
    ASSERT_FALSE(selector) << c.text;
    EXPECT_THAT(selector.error(), HasSubstr(c.part)) << c.text;
  }
  std::string many = "a";
  for (int i = 0; i < 200; ++i) many += ",a";
  EXPECT_FALSE(LabelSelector::parse(many));
}

}  // namespace
}  // namespace sluice
