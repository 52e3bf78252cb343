// Server-side apply: ownership, conflicts, what a manager leaves out goes.
#include <boost/json.hpp>

#include "gtest/gtest.h"
#include "tests/support/kube/json_ops.h"
#include "tests/support/kube/store.h"

namespace sluice::test::kube {
namespace {

class Apply : public ::testing::Test {
 protected:
  Apply() {
    store_.create(R"({"kind":"Service","apiVersion":"v1","metadata":{"namespace":"default",
      "name":"a"},"spec":{"type":"LoadBalancer","ports":[{"port":80}]}})");
  }
  Answer apply(const std::string& status, const std::string& manager, bool force = false) {
    WriteOptions options;
    options.manager = manager;
    options.status = true;
    options.force = force;
    return store_.patch(a_, PatchType::kApply,
                        R"({"kind":"Service","apiVersion":"v1","status":)" + status + "}", options);
  }
  static std::string condition(const std::string& type, const std::string& status) {
    return R"({"type":")" + type + R"(","status":")" + status +
           R"(","reason":"R","message":"m","lastTransitionTime":"2026-01-01T00:00:00Z"})";
  }
  static std::string conditions(const std::string& list) {
    return R"({"conditions":[)" + list + "]}";
  }
  std::string types() {
    std::string text;
    const json::value object = json::parse(store_.get(a_).body);
    const json::value* list = at(object, {"status", "conditions"});
    if (list == nullptr) return text;
    for (const json::value& one : list->as_array()) {
      text += std::string(one.at("type").as_string()) + "=" +
              std::string(one.at("status").as_string()) + " ";
    }
    return text;
  }

  Store store_;
  const Place a_{&resource("services"), "default", "a"};
};

TEST_F(Apply, ManagersHaveTheirOwnConditions) {
  EXPECT_EQ(apply(conditions(condition("One", "True")), "first").status, 200u);
  EXPECT_EQ(apply(conditions(condition("Two", "False")), "second").status, 200u);
  EXPECT_EQ(types(), "One=True Two=False ");
  EXPECT_EQ(apply(conditions(condition("Two", "True")), "second").status, 200u);
  EXPECT_EQ(types(), "One=True Two=True ");
  EXPECT_EQ(apply("{}", "second").status, 200u) << "what is left out is taken away";
  EXPECT_EQ(types(), "One=True ");
}

TEST_F(Apply, AnothersFieldIsAConflictUnlessForced) {
  apply(conditions(condition("One", "True")), "first");
  const Answer refused = apply(conditions(condition("One", "False")), "second");
  EXPECT_EQ(refused.status, 409u);
  const json::value body = json::parse(refused.body);
  EXPECT_EQ(body.at("reason"), "Conflict");
  EXPECT_EQ(body.at("message"),
            "Apply failed with 1 conflict: conflict with \"first\": "
            ".status.conditions[type=\"One\"].status");
  EXPECT_EQ(body.at("details").at("causes").at(0).at("reason"), "FieldManagerConflict");
  EXPECT_EQ(types(), "One=True ");
  EXPECT_EQ(apply(conditions(condition("One", "False")), "second", true).status, 200u);
  EXPECT_EQ(types(), "One=False ");
  EXPECT_EQ(apply(conditions(condition("One", "True")), "first").status, 409u)
      << "the field is the second's now";
}

TEST_F(Apply, SameValueIsShared) {
  apply(conditions(condition("One", "True")), "first");
  EXPECT_EQ(apply(conditions(condition("One", "True")), "second").status, 200u);
  apply("{}", "second");
  EXPECT_EQ(types(), "One=True ") << "the first owns it still";
  apply("{}", "first");
  EXPECT_EQ(types(), "");
}

TEST_F(Apply, AgainChangesNothing) {
  const std::string status = R"({"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]},"conditions":[)" +
                             condition("One", "True") + "]}";
  apply(status, "first");
  const std::uint64_t version = store_.version();
  EXPECT_EQ(apply(status, "first").status, 200u);
  EXPECT_EQ(store_.version(), version);
}

TEST_F(Apply, IngressIsOneField) {
  apply(R"({"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}})", "first");
  EXPECT_EQ(
      apply(R"({"loadBalancer":{"ingress":[{"ip":"192.0.2.1"},{"ip":"192.0.2.2"}]}})", "second")
          .status,
      409u);
  WriteOptions options;
  options.manager = "patcher";
  options.status = true;
  const std::string patch = R"({"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.3"}]}}})";
  EXPECT_EQ(store_.patch(a_, PatchType::kMerge, patch, options).status, 200u)
      << "a patch takes fields over";
  EXPECT_EQ(apply(R"({"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}})", "first").status, 409u);
}

TEST_F(Apply, RefusesWhatTheRealOneRefuses) {
  EXPECT_EQ(apply(conditions(condition("One", "True")), "").status, 422u);
  EXPECT_EQ(apply(conditions(R"({"status":"True"})"), "first").status, 500u);
  WriteOptions options;
  options.status = true;
  EXPECT_EQ(store_.patch(a_, PatchType::kApply, R"({"status":{}})", options).status, 400u);
  EXPECT_EQ(store_
                .patch({&resource("services"), "default", "none"}, PatchType::kApply,
                       R"({"kind":"Service","apiVersion":"v1","status":{}})", options)
                .status,
            404u);
  EXPECT_EQ(store_
                .patch(a_, PatchType::kApply,
                       R"({"kind":"Service","apiVersion":"v1","metadata":{"resourceVersion":"1"}})",
                       options)
                .status,
            409u);
}

TEST_F(Apply, YamlIsTakenToo) {
  WriteOptions options;
  options.status = true;
  options.manager = "first";
  const std::string yaml =
      "kind: Service\napiVersion: v1\nstatus:\n  conditions:\n  - {type: One, status: \"True\", "
      "reason: R, message: m, lastTransitionTime: \"2026-01-01T00:00:00Z\"}\n";
  EXPECT_EQ(store_.patch(a_, PatchType::kApply, yaml, options).status, 200u);
  EXPECT_EQ(types(), "One=True ");
}

}  // namespace
}  // namespace sluice::test::kube
