// Decisions about the status of a Service, as values.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/kubernetes/status_decision.h"

namespace sluice::kube {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr const char* kSource = "cluster-1";
constexpr const char* kNow = "2026-11-23T04:00:00Z";

v1::Service load_balancer() {
  v1::Service service;
  service.mutable_metadata()->set_namespace_("shop");
  service.mutable_metadata()->set_name("web");
  service.mutable_metadata()->set_uid("u-1");
  service.mutable_metadata()->set_resource_version("100");
  service.mutable_spec()->set_type("LoadBalancer");
  return service;
}

void add_ingress(v1::Service* service, const std::string& ip, const std::string& mode = "VIP") {
  auto* entry = service->mutable_status()->mutable_load_balancer()->add_ingress();
  entry->set_ip(ip);
  if (!mode.empty()) entry->set_ip_mode(mode);
}

void add_condition(google::protobuf::RepeatedPtrField<v1::Condition>* to, const std::string& type,
                   const std::string& status, const std::string& reason = "Reason",
                   const std::string& message = "message",
                   const std::string& time = "2026-11-23T03:00:00Z") {
  v1::Condition* condition = to->Add();
  condition->set_type(type);
  condition->set_status(status);
  condition->set_reason(reason);
  condition->set_message(message);
  condition->set_last_transition_time(time);
}

v1::ServiceStatus merged(std::vector<std::string> addresses, unsigned programmed = 1) {
  v1::ServiceStatus status;
  status.set_uid("u-1");
  for (const std::string& address : addresses) status.add_addresses(address);
  status.set_gateways(2);
  status.set_programmed_gateways(programmed);
  if (!addresses.empty()) status.set_ip_mode("VIP");
  return status;
}

void hold(v1::AddressHolder* holder, const std::string& uid = "u-1") {
  holder->set_source(kSource);
  holder->set_namespace_("shop");
  holder->set_name("web");
  holder->set_uid(uid);
}
void release(LedgerRecords* records, const std::string& address, const std::string& uid = "u-1") {
  hold((*records)[*IpAddress::parse(address)].mutable_last_holder(), uid);
}

StatusChange decide_on(const v1::Service& service, const v1::ServiceStatus* status,
                       const LedgerRecords& records = {},
                       std::optional<Pending> pending = std::nullopt) {
  const ServiceView view = see(service, {{"sluice.dev/gateway"}, true});
  DecisionInputs inputs;
  inputs.service = &view;
  inputs.status = status;
  inputs.records = &records;
  inputs.source = kSource;
  inputs.pending = std::move(pending);
  inputs.now = kNow;
  return decide(inputs);
}

std::vector<std::string> ips(const StatusChange& change) {
  std::vector<std::string> texts;
  for (const auto& entry : change.ingress.value())
    texts.push_back(entry.ip().empty() ? entry.hostname() : entry.ip());
  return texts;
}

TEST(Decision, AnAddressIsWrittenOnceAGatewayHasProgrammedIt) {
  const v1::ServiceStatus none = merged({"192.0.2.1"}, 0), one = merged({"192.0.2.1"}, 1);
  EXPECT_FALSE(decide_on(load_balancer(), &none).ingress);
  const StatusChange change = decide_on(load_balancer(), &one);
  EXPECT_THAT(ips(change), ElementsAre("192.0.2.1"));
  EXPECT_EQ(change.ingress->front().ip_mode(), "VIP");
}

TEST(Decision, TwoFamiliesInTheOrderOfTheStatus) {
  v1::Service service = load_balancer();
  add_ingress(&service, "192.0.2.1");
  const v1::ServiceStatus status = merged({"2001:db8::1", "192.0.2.1"});
  EXPECT_THAT(ips(decide_on(service, &status)), ElementsAre("2001:db8::1", "192.0.2.1"));
}

TEST(Decision, WhatIsThereAlreadyIsNotWrittenAgain) {
  v1::Service service = load_balancer();
  add_ingress(&service, "192.0.2.1");
  add_ingress(&service, "2001:DB8:0::1", "");  // As somebody wrote it by hand; the mode is VIP.
  v1::ServiceStatus status = merged({"192.0.2.1", "2001:db8::1"});
  EXPECT_FALSE(decide_on(service, &status).ingress);
  status.set_ip_mode("Proxy");
  const StatusChange change = decide_on(service, &status);
  ASSERT_TRUE(change.ingress);
  EXPECT_EQ(change.ingress->front().ip_mode(), "Proxy");
}

TEST(Decision, AnAddressStaysWhenNoGatewayServesItForAWhile) {
  v1::Service service = load_balancer();
  add_ingress(&service, "192.0.2.1", "Proxy");
  const v1::ServiceStatus status = merged({"192.0.2.1"}, 0);
  EXPECT_FALSE(decide_on(service, &status).ingress);
}

TEST(Decision, OnlyWhatTheLedgerShowsAsGivenBackIsRemoved) {
  v1::Service service = load_balancer();
  add_ingress(&service, "192.0.2.1");     // Given back by this Service.
  add_ingress(&service, "198.51.100.7");  // Nobody's we know.
  add_ingress(&service, "192.0.2.3");     // Given back by an older Service of that name.
  service.mutable_status()->mutable_load_balancer()->add_ingress()->set_hostname("lb.example.net");
  const v1::ServiceStatus status = merged({"192.0.2.2"});
  LedgerRecords records;
  release(&records, "192.0.2.1");
  release(&records, "192.0.2.3", "u-0");
  const ServiceView view = see(service, {});
  EXPECT_THAT(unexplained(view, &status), SizeIs(3));
  EXPECT_THAT(ips(decide_on(service, &status, records)),
              ElementsAre("192.0.2.2", "198.51.100.7", "192.0.2.3", "lb.example.net"));
}

TEST(Decision, AnAddressTheLedgerStillGivesItStaysWhateverTheStatusSays) {
  v1::Service service = load_balancer();
  add_ingress(&service, "192.0.2.1");
  const v1::ServiceStatus status = merged({}, 0);
  LedgerRecords records;
  hold(records[*IpAddress::parse("192.0.2.1")].add_holders());
  EXPECT_FALSE(decide_on(service, &status, records).ingress);
  records.clear();
  EXPECT_FALSE(decide_on(service, &status, records).ingress) << "a lost ledger takes nothing away";
  release(&records, "192.0.2.1");
  EXPECT_THAT(ips(decide_on(service, &status, records)), IsEmpty());
}

TEST(Decision, AnAddressThatOthersHaveNowIsRemoved) {
  v1::Service service = load_balancer();
  add_ingress(&service, "192.0.2.1");
  const v1::ServiceStatus status = merged({"192.0.2.2"});
  LedgerRecords records;
  v1::Address& record = records[*IpAddress::parse("192.0.2.1")];
  hold(record.add_holders(), "u-7");
  record.mutable_holders(0)->set_name("left-in-a-shared-address");
  EXPECT_THAT(ips(decide_on(service, &status, records)), ElementsAre("192.0.2.2"));
  hold(record.add_holders(), "u-0");  // An older Service of that name: the ledger will follow.
  EXPECT_THAT(ips(decide_on(service, &status, records)), ElementsAre("192.0.2.2", "192.0.2.1"));
}

TEST(Decision, AnAddressThatOthersHadSinceGoesWhenThereIsAnother) {
  v1::Service service = load_balancer();
  add_ingress(&service, "192.0.2.1");
  LedgerRecords records;
  release(&records, "192.0.2.1", "u-7");
  records.begin()->second.mutable_last_holder()->set_name("other");
  const v1::ServiceStatus none = merged({"2001:db8::1"}), other = merged({"192.0.2.2"});
  EXPECT_THAT(ips(decide_on(service, &none, records)), ElementsAre("2001:db8::1", "192.0.2.1"))
      << "of what an old ledger has lost, this may be all there is";
  EXPECT_THAT(ips(decide_on(service, &other, records)), ElementsAre("192.0.2.2"));
}

TEST(Decision, AnAddressKeptForExternalIpsAloneLeavesTheStatus) {
  v1::Service service = load_balancer();
  add_ingress(&service, "192.0.2.1");
  const v1::ServiceStatus status = merged({"192.0.2.2"});
  LedgerRecords records;
  v1::AddressHolder& holder = *records[*IpAddress::parse("192.0.2.1")].add_holders();
  hold(&holder);
  holder.set_external_ip(true);
  EXPECT_THAT(ips(decide_on(service, &status, records)), ElementsAre("192.0.2.2"));
}

TEST(Decision, NoStatusOrOneOfAnotherServiceChangesNothing) {
  v1::Service service = load_balancer();
  add_ingress(&service, "192.0.2.1");
  add_condition(service.mutable_status()->mutable_conditions(), "sluice.dev/Programmed", "True");
  v1::ServiceStatus old = merged({"192.0.2.9"});
  old.set_uid("u-0");
  LedgerRecords records;
  release(&records, "192.0.2.1");
  for (const v1::ServiceStatus* status : {static_cast<const v1::ServiceStatus*>(nullptr),
                                          static_cast<const v1::ServiceStatus*>(&old)}) {
    const StatusChange change = decide_on(service, status, records);
    EXPECT_FALSE(change.ingress);
    EXPECT_FALSE(change.conditions);
    EXPECT_THAT(change.events, IsEmpty());
  }
}

TEST(Decision, ForeignClassesAndServicesThatGoAreNeverTouched) {
  v1::ServiceStatus status = merged({"192.0.2.1"});
  add_condition(status.mutable_conditions(), "sluice.dev/Programmed", "True");
  v1::Service foreign = load_balancer();
  foreign.mutable_spec()->set_load_balancer_class("example.com/other");
  add_condition(foreign.mutable_status()->mutable_conditions(), "sluice.dev/Programmed", "False");
  v1::Service going = load_balancer();
  going.mutable_metadata()->set_deletion_timestamp(kNow);
  for (const v1::Service& service : {foreign, going}) {
    const StatusChange change = decide_on(service, &status, {}, Pending{"R", "m"});
    EXPECT_FALSE(change.ingress);
    EXPECT_FALSE(change.conditions);
    EXPECT_THAT(change.events, IsEmpty());
  }
  EXPECT_THAT(unexplained(see(foreign, {}), &status), IsEmpty());
}

TEST(Decision, ClassesServed) {
  const ServedClasses served{{"sluice.dev/gateway"}, true}, classed{{"sluice.dev/gateway"}, false};
  v1::ServiceSpec spec;
  EXPECT_FALSE(is_served(spec, served));
  spec.set_type("LoadBalancer");
  EXPECT_TRUE(is_served(spec, served));
  EXPECT_FALSE(is_served(spec, classed));
  spec.set_load_balancer_class("sluice.dev/gateway");
  EXPECT_TRUE(is_served(spec, classed));
  spec.set_load_balancer_class("");
  EXPECT_FALSE(is_served(spec, served));
}

TEST(Decision, AServiceOfAnotherTypeLosesOurConditionsOnceAndNothingElse) {
  v1::Service service = load_balancer();
  service.mutable_spec()->set_type("ClusterIP");
  v1::ServiceStatus status = merged({"192.0.2.1"});
  EXPECT_FALSE(decide_on(service, &status).conditions);
  add_condition(service.mutable_status()->mutable_conditions(), "example.com/Other", "True");
  EXPECT_FALSE(decide_on(service, &status).conditions);
  add_condition(service.mutable_status()->mutable_conditions(), "sluice.dev/Programmed", "True");
  const StatusChange change = decide_on(service, &status);
  ASSERT_TRUE(change.conditions);
  EXPECT_THAT(*change.conditions, IsEmpty());
  EXPECT_FALSE(change.ingress);
}

TEST(Decision, ConditionsAreWrittenWhenTheyDiffer) {
  v1::Service service = load_balancer();
  v1::ServiceStatus status = merged({"192.0.2.1"});
  add_condition(status.mutable_conditions(), "sluice.dev/AddressAllocated", "True");
  add_condition(status.mutable_conditions(), "sluice.dev/Programmed", "True", "Programmed",
                "2 of 2");
  add_condition(status.mutable_conditions(), "example.com/NotOurs", "True");
  StatusChange change = decide_on(service, &status);
  ASSERT_TRUE(change.conditions);
  EXPECT_THAT(*change.conditions, SizeIs(2));

  *service.mutable_status()->mutable_conditions() = status.conditions();
  service.mutable_status()->mutable_conditions(0)->set_last_transition_time("2026-01-01T00:00:00Z");
  EXPECT_FALSE(decide_on(service, &status).conditions) << "another time is no difference";

  status.mutable_conditions(0)->set_message("other");
  change = decide_on(service, &status);
  ASSERT_TRUE(change.conditions);
  EXPECT_EQ((*change.conditions)[0].last_transition_time(), "2026-01-01T00:00:00Z");
  EXPECT_THAT(change.events, IsEmpty()) << "it is as true as before";
}

TEST(Decision, AWarningThatIsOverGoes) {
  v1::Service service = load_balancer();
  v1::ServiceStatus status = merged({});
  add_condition(status.mutable_conditions(), "sluice.dev/Programmed", "True");
  *service.mutable_status()->mutable_conditions() = status.conditions();
  add_condition(service.mutable_status()->mutable_conditions(), "sluice.dev/Warning-X", "True",
                "X");
  const StatusChange change = decide_on(service, &status);
  ASSERT_TRUE(change.conditions);
  EXPECT_THAT(*change.conditions, SizeIs(1));
}

TEST(Decision, EventsTellWhatChanged) {
  v1::Service service = load_balancer();
  v1::ServiceStatus status = merged({});
  add_condition(status.mutable_conditions(), "sluice.dev/AddressAllocated", "False",
                "PoolExhausted", "pool a is used up");
  add_condition(status.mutable_conditions(), "sluice.dev/Programmed", "False", "NoAddress");
  add_condition(status.mutable_conditions(), "sluice.dev/Warning-X", "True", "X", "odd");
  EXPECT_THAT(
      decide_on(service, &status).events,
      ElementsAre(Announcement{true, "AllocationFailed", "PoolExhausted: pool a is used up"},
                  Announcement{true, "X", "odd"}));
  *service.mutable_status()->mutable_conditions() = status.conditions();

  status = merged({"192.0.2.1"});
  add_condition(status.mutable_conditions(), "sluice.dev/AddressAllocated", "True", "Allocated",
                "a");
  add_condition(status.mutable_conditions(), "sluice.dev/Programmed", "True", "Programmed", "p");
  EXPECT_THAT(decide_on(service, &status).events,
              ElementsAre(Announcement{false, "AddressAllocated", "a"},
                          Announcement{false, "Programmed", "p"}));
  *service.mutable_status()->mutable_conditions() = status.conditions();

  status.mutable_conditions(1)->set_status("False");
  status.mutable_conditions(1)->set_reason("Refused");
  EXPECT_THAT(decide_on(service, &status).events,
              ElementsAre(Announcement{true, "NotProgrammed", "Refused: p"}));
}

TEST(Decision, WhereNothingIsKnownForLongTheUserIsToldWhy) {
  const Pending pending{"NoGateway", "nobody looked"};
  const StatusChange change = decide_on(load_balancer(), nullptr, {}, pending);
  ASSERT_TRUE(change.conditions);
  ASSERT_THAT(*change.conditions, SizeIs(1));
  EXPECT_EQ(change.conditions->front().status(), "Unknown");
  EXPECT_EQ(change.conditions->front().reason(), "NoGateway");
  EXPECT_EQ(change.conditions->front().last_transition_time(), kNow);
  EXPECT_THAT(change.events, ElementsAre(Announcement{true, "NoGateway", "nobody looked"}));

  v1::Service served = load_balancer();
  add_ingress(&served, "192.0.2.1");
  EXPECT_FALSE(decide_on(served, nullptr, {}, pending).conditions);
}

TEST(Decision, TextsAndNumbersOfConditionsAreBounded) {
  v1::ServiceStatus status = merged({});
  for (int i = 0; i < 100; ++i)
    add_condition(status.mutable_conditions(), "sluice.dev/Warning-" + std::to_string(i), "True",
                  "X", std::string(1020, 'x') + "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4");
  const StatusChange change = decide_on(load_balancer(), &status);
  ASSERT_TRUE(change.conditions);
  EXPECT_THAT(*change.conditions, SizeIs(32));
  EXPECT_EQ(change.conditions->front().message(), std::string(1020, 'x') + "...");
}

}  // namespace
}  // namespace sluice::kube
