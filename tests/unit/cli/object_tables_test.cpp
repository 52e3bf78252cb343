#include "control/cli/object_tables.h"

#include <gtest/gtest.h>

#include "control/cli/age.h"
#include "control/cli/creation.h"
#include "control/cli/resource.h"
#include "control/manifest/manifest.h"
#include "control/model/service_plan.h"

namespace sluice {
namespace {

class ObjectTablesTest : public ::testing::Test {
 protected:
  void load(const std::string& yaml) {
    auto manifest = parse_manifests(yaml, "test.yaml");
    ASSERT_TRUE(manifest) << manifest.error();
    for (auto& o : manifest->objects) {
      mutable_metadata_of(&o.object)->set_creation_timestamp("2026-01-01T00:00:00Z");
      const ObjectKey key = key_of(kManualSource, o.object);
      model_.upsert(key, std::make_shared<const v1::Object>(o.object));
      stored_.push_back({key, o.object});
    }
    for (auto kind : {v1::KIND_SERVICE, v1::KIND_ENDPOINT_SLICE, v1::KIND_ENDPOINTS, v1::KIND_POD})
      model_.set_complete(kManualSource, kind, true);
  }
  Objects of(v1::Kind kind) const {
    Objects chosen;
    for (const auto& object : stored_)
      if (object.key.kind == kind) chosen.push_back(&object);
    return chosen;
  }
  TableOptions options(bool wide = false, bool namespaces = false) const {
    return {wide, namespaces, *parse_rfc3339("2026-01-01T00:01:00Z")};
  }

  std::vector<store::StoredObject> stored_;
  Model model_;
};

constexpr const char* kWeb = R"(
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: https, port: 443, nodePort: 30443}]
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop, labels: {app: web}}
spec: {containers: [{name: c, ports: [{containerPort: 8080}]}]}
status:
  phase: Running
  podIP: 10.0.2.11
  podIPs: [{ip: 10.0.2.11}]
  conditions: [{type: Ready, status: "True"}]
---
apiVersion: v1
kind: Pod
metadata: {name: web-2, namespace: shop, labels: {app: web}}
spec: {containers: [{name: c, ports: [{containerPort: 8080}]}]}
status:
  phase: Pending
)";

TEST_F(ObjectTablesTest, ServicesLikeKubectl) {
  load(kWeb);
  EXPECT_EQ(service_table(of(v1::KIND_SERVICE), {}, options()).text(),
            "NAME   TYPE           CLUSTER-IP   EXTERNAL-IP   PORT(S)                AGE\n"
            "web    LoadBalancer   <none>       <pending>     80/TCP,443:30443/TCP   60s\n");
}

TEST_F(ObjectTablesTest, ServicesWideTellModeAndStatus) {
  load(kWeb);
  MergedStatuses statuses;
  v1::ServiceStatus& status = statuses[{kManualSource, "shop", "web"}];
  status.add_addresses("192.0.2.1");
  status.add_addresses("2001:db8::1");
  status.set_backends(2);
  status.set_draining(1);
  *status.add_conditions() = make_condition(kAddressAllocated, true, "Allocated", "");
  *status.add_conditions() = make_condition(kProgrammed, false, "Refused", "no room");
  EXPECT_EQ(service_table(of(v1::KIND_SERVICE), statuses, options(true, true)).text(),
            "NAMESPACE   NAME   TYPE           CLUSTER-IP   EXTERNAL-IP             PORT(S)        "
            "       "
            " AGE   MODE        BACKENDS   DRAINING   STATUS    SELECTOR   SOURCE\n"
            "shop        web    LoadBalancer   <none>       192.0.2.1,2001:db8::1   "
            "80/TCP,443:30443/TCP  "
            " 60s   <default>   2          1          Refused   app=web    manual\n");
}

TEST_F(ObjectTablesTest, EndpointsAreWorkedOutFromPods) {
  load(kWeb);
  EXPECT_EQ(endpoints_table(of(v1::KIND_SERVICE), model_, options()).text(),
            "NAME   ENDPOINTS                      READY   DRAINING   AGE\n"
            "web    10.0.2.11:8080,10.0.2.11:443   2       0          60s\n");
}

TEST_F(ObjectTablesTest, PodsLikeKubectl) {
  load(kWeb);
  EXPECT_EQ(pod_table(of(v1::KIND_POD), options()).text(),
            "NAME    READY   STATUS    IP          AGE\n"
            "web-1   1/1     Running   10.0.2.11   60s\n"
            "web-2   0/1     Pending   <none>      60s\n");
}

TEST_F(ObjectTablesTest, PoolsCountWhatTheLedgerSays) {
  load(R"(
apiVersion: sluice.dev/v1
kind: AddressPool
metadata: {name: public}
spec: {addresses: [192.0.2.0/28, "2001:db8::/64"]}
)");
  Ledger ledger;
  v1::Address held;
  held.add_holders();
  ledger[*IpAddress::parse("192.0.2.1")] = held;
  ledger[*IpAddress::parse("192.0.2.2")] = v1::Address();  // Released, on hold.
  ledger[*IpAddress::parse("198.51.100.1")] = held;        // Of another pool.
  EXPECT_EQ(pool_table(of(v1::KIND_ADDRESS_POOL), ledger, options()).text(),
            "NAME     ADDRESSES                    USED            ON-HOLD         "
            "FREE                AGE\n"
            "public   192.0.2.0/28,2001:db8::/64   IPv4:1,IPv6:0   IPv4:1,IPv6:0   "
            "IPv4:14,IPv6:2^62   60s\n");
}

TEST(CountText, LargeNumbersArePowers) {
  EXPECT_EQ(count_text(254), "254");
  EXPECT_EQ(count_text(std::uint64_t{1} << 40), "2^40");
  EXPECT_EQ(count_text((std::uint64_t{1} << 40) + 5), "~2^40");
}

TEST(Resource, TakesKubectlsNames) {
  for (const char* name : {"service", "services", "svc", "Service", "SVC"})
    EXPECT_EQ(resource_from_name(name), Resource::services) << name;
  for (const char* name : {"pool", "pools", "addresspool", "addresspools.sluice.dev"})
    EXPECT_EQ(resource_from_name(name), Resource::pools) << name;
  EXPECT_EQ(resource_from_name("po"), Resource::pods);
  EXPECT_EQ(resource_from_name("vip"), Resource::vips);
  EXPECT_FALSE(resource_from_name("deployments"));
  EXPECT_FALSE(resource_from_name(""));
}

TEST(Creation, GenerationCountsChangesOfTheSpecificationAlone) {
  v1::Object old;
  old.mutable_service()->mutable_metadata()->set_name("web");
  old.mutable_service()->mutable_spec()->set_type("LoadBalancer");
  set_created(old.mutable_service()->mutable_metadata(), *parse_rfc3339("2026-01-01T00:00:00Z"));
  EXPECT_EQ(old.service().metadata().uid().size(), 36u);
  EXPECT_EQ(old.service().metadata().generation(), 1);

  v1::Object labelled = old;
  labelled.mutable_service()->mutable_metadata()->clear_uid();
  (*labelled.mutable_service()->mutable_metadata()->mutable_labels())["a"] = "b";
  set_updated(&labelled, old);
  EXPECT_EQ(labelled.service().metadata().uid(), old.service().metadata().uid());
  EXPECT_EQ(labelled.service().metadata().generation(), 1);

  v1::Object changed = old;
  changed.mutable_service()->mutable_spec()->set_type("ClusterIP");
  set_updated(&changed, old);
  EXPECT_EQ(changed.service().metadata().generation(), 2);
  EXPECT_EQ(changed.service().metadata().creation_timestamp(), "2026-01-01T00:00:00Z");
}

}  // namespace
}  // namespace sluice
