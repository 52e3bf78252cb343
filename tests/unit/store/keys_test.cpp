#include "control/store/keys.h"

#include <gtest/gtest.h>

namespace sluice::store::keys {
namespace {

TEST(Keys, ObjectKeyRoundTrip) {
  for (const ObjectKey& key : {ObjectKey{"manual", v1::KIND_SERVICE, "default", "web"},
                               ObjectKey{"prod-1", v1::KIND_ENDPOINT_SLICE, "a.b", "web.x-1"},
                               ObjectKey{"manual", v1::KIND_NODE, "", "node-1.example.net"}}) {
    ASSERT_TRUE(valid(key)) << key.text();
    EXPECT_EQ(parse_object(object(key)), key);
  }
  EXPECT_EQ(object({"manual", v1::KIND_SERVICE, "default", "web"}),
            "sluice:1:object:manual:Service:default/web");
  EXPECT_EQ(object({"manual", v1::KIND_NODE, "", "n"}), "sluice:1:object:manual:Node:/n");
}

TEST(Keys, WhatIsNotOursDoesNotParse) {
  for (const char* key :
       {"", "sluice:1:object:", "sluice:1:object:manual", "sluice:1:object:manual:Service",
        "sluice:1:object:manual:Service:web", "sluice:1:object:manual:Service:/web",
        "sluice:1:object:manual:Node:default/n", "sluice:1:object:manual:svc:default/web",
        "sluice:1:object:Manual:Service:default/web", "sluice:1:object:manual:Service:default/",
        "sluice:1:object:manual:Service:default/a/b", "sluice:1:object:manual:Service:de fault/a",
        "sluice:2:object:manual:Service:default/web", "other:object:manual:Service:default/web"}) {
    EXPECT_FALSE(parse_object(key)) << key;
  }
  EXPECT_FALSE(parse_object("manual", "Service", "default/" + std::string(254, 'a')));
  EXPECT_TRUE(parse_object("manual", "Service", "default/" + std::string(253, 'a')));
}

TEST(Keys, NamesAreBounded) {
  EXPECT_TRUE(valid_source("a"));
  EXPECT_TRUE(valid_source(std::string(63, 'a')));
  EXPECT_FALSE(valid_source(std::string(64, 'a')));
  EXPECT_FALSE(valid_source(""));
  EXPECT_FALSE(valid_source("-"));  // The ledger's, and merged statuses'.
  EXPECT_FALSE(valid_source("a:b"));
  EXPECT_FALSE(valid_name("a:b"));
  EXPECT_FALSE(valid_name(""));
}

TEST(Keys, NumbersAreDecimalAndDoNotOverflow) {
  EXPECT_EQ(parse_number("0"), 0u);
  EXPECT_EQ(parse_number("18446744073709551615"), 18446744073709551615u);
  for (const char* text : {"", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616", "1e3"}) {
    EXPECT_FALSE(parse_number(text)) << text;
  }
}

TEST(Keys, AddressesAreCanonical) {
  EXPECT_EQ(address(*IpAddress::parse("2001:DB8:0:0::1")), "sluice:1:address:2001:db8::1");
}

}  // namespace
}  // namespace sluice::store::keys
