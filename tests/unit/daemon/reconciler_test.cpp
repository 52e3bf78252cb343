// What is wanted, kept up to date change by change, against the same worked out from nothing.
#include "control/daemon/reconciler.h"

#include <gmock/gmock.h>

#include <random>

namespace sluice {
namespace {

constexpr const char* kSources[] = {"manual", "east"};
constexpr v1::Kind kKinds[] = {v1::KIND_SERVICE,     v1::KIND_ENDPOINT_SLICE, v1::KIND_ENDPOINTS,
                               v1::KIND_POD,         v1::KIND_NODE,           v1::KIND_NAMESPACE,
                               v1::KIND_ADDRESS_POOL};

// Only what was sent counts, as it does to a dataplane.
void apply(const Difference& change, DataplaneState* state) {
  for (const std::string& encoded : change.parts) {
    v1::ApplyPart part;
    ASSERT_TRUE(part.ParseFromString(encoded));
    v1::Report report;
    *report.mutable_vips() = part.upsert_vips();
    *report.mutable_backends() = part.upsert_backends();
    *report.mutable_addresses() = part.upsert_addresses();
    state->add(report);
    for (const v1::VipKey& key : part.delete_vips()) state->vips.erase(vip_name(key));
    for (const std::uint32_t id : part.delete_backends()) state->backends.erase(id);
    for (const std::string& bytes : part.delete_addresses())
      state->addresses.erase(*IpAddress::from_bytes(bytes));
  }
}

std::string text_of(const Difference& change) {
  v1::ApplyPart all;
  for (const std::string& encoded : change.parts) {
    v1::ApplyPart part;
    EXPECT_TRUE(part.ParseFromString(encoded));
    all.MergeFrom(part);
  }
  return all.DebugString();
}

class Churn {
 public:
  Churn(std::uint32_t seed, std::uint32_t capacity) : random_(seed) {
    capacity_.set_vips(capacity);
    reconciler_.set_ledger(&ledger_);
    for (const char* source : kSources)
      for (const v1::Kind kind : kKinds) complete(source, kind, true);
    pool("a");
    pool("b");
  }

  void step() {
    ++generation_;
    for (std::uint32_t n = 1 + draw(3); n > 0; --n) change();
    reconciler_.refresh();
    if (draw(4) != 0) allocate();
    reconciler_.refresh();
    const Reconciler::Serving serving{&reported_, capacity_, generation_};
    while (!reconciler_.update(serving, &ids_, 1 + draw(4))) {
    }
    compare(serving);
    if (draw(5) != 0) program();
    if (draw(40) == 0) {  // A new connection.
      reported_ = dataplane_;
      ids_.adopt(reported_);
      reconciler_.dataplane_changed();
    }
    if (draw(9) == 0) ids_.swept(programmed_);
  }

  Reconciler reconciler_{PlanSettings{}};
  std::size_t shortages_ = 0, refused_ = 0;

 private:
  std::uint32_t draw(std::uint32_t limit) { return random_() % limit; }

  void complete(const std::string& source, v1::Kind kind, bool yes) {
    complete_[{source, kind}] = yes;
    reconciler_.model().set_complete(source, kind, yes);
  }
  void put(const std::string& source, v1::Object object) {
    const ObjectKey key = key_of(source, object);
    auto shared = std::make_shared<const v1::Object>(std::move(object));
    objects_[key] = shared;
    reconciler_.model().upsert(key, shared);
  }
  void remove(const ObjectKey& key) {
    objects_.erase(key);
    reconciler_.model().remove(key);
  }
  std::string some_source() { return kSources[draw(2)]; }
  std::string some_service() { return "s" + std::to_string(draw(8)); }

  void pool(const std::string& name) {
    static constexpr const char* kModes[] = {"", "nat", "dnat", "ipip"};
    static constexpr const char* kOverlays[] = {"", "none", "ipip"};
    v1::Object object;
    v1::AddressPool& made = *object.mutable_address_pool();
    made.mutable_metadata()->set_name(name);
    made.mutable_spec()->add_addresses(name == "a" ? "192.0.2.0/28" : "198.51.100.0/28");
    made.mutable_spec()->add_addresses(name == "a" ? "2001:db8:1::/124" : "2001:db8:2::/124");
    made.mutable_spec()->set_forwarding_mode(kModes[draw(4)]);
    made.mutable_spec()->set_overlay(kOverlays[draw(3)]);
    if (draw(2) == 0) made.mutable_spec()->set_unserved_ports("drop");
    put("manual", std::move(object));
  }

  void service(const std::string& source) {
    v1::Object object;
    v1::Service& made = *object.mutable_service();
    v1::ObjectMeta& meta = *made.mutable_metadata();
    meta.set_namespace_("default");
    meta.set_name(some_service());
    if (draw(3) == 0) (*meta.mutable_annotations())[kSharingAnnotation] = "k";
    if (draw(4) == 0) (*meta.mutable_annotations())[kAddressPoolAnnotation] = draw(2) ? "a" : "b";
    if (draw(4) == 0)
      (*meta.mutable_annotations())[kForwardingModeAnnotation] = draw(2) ? "dnat" : "gue";
    if (draw(4) == 0) (*meta.mutable_annotations())[kOverlayAnnotation] = "ipip";
    made.mutable_spec()->set_type(draw(6) != 0 ? "LoadBalancer" : "ClusterIP");
    made.mutable_spec()->set_ip_family_policy(draw(2) ? "PreferDualStack" : "SingleStack");
    for (std::uint32_t n = 1 + draw(3); n > 0; --n) {
      v1::ServicePort& port = *made.mutable_spec()->add_ports();
      port.set_name("p" + std::to_string(n));
      port.set_port(static_cast<std::int32_t>(80 + n + 3 * draw(2)));
    }
    put(source, std::move(object));
  }

  void slice(const std::string& source) {
    const bool six = draw(3) == 0;
    v1::Object object;
    v1::EndpointSlice& made = *object.mutable_endpoint_slice();
    const std::string of = some_service();
    made.mutable_metadata()->set_namespace_("default");
    made.mutable_metadata()->set_name(of + "-" + std::to_string(draw(2)) + (six ? "-6" : "-4"));
    (*made.mutable_metadata()->mutable_labels())["kubernetes.io/service-name"] = of;
    made.set_address_type(six ? "IPv6" : "IPv4");
    for (std::uint32_t n = 1; n <= 3; ++n) {
      v1::EndpointPort& port = *made.add_ports();
      port.set_name("p" + std::to_string(n));
      port.set_port(static_cast<std::int32_t>(draw(2) ? 80 + n : 8080));
    }
    for (std::uint32_t n = draw(6); n > 0; --n) {
      v1::Endpoint& endpoint = *made.add_endpoints();
      endpoint.add_addresses((six ? "fd00::" : "10.0.0.") + std::to_string(1 + draw(12)));
      endpoint.mutable_conditions()->set_ready(draw(4) != 0);
      endpoint.mutable_conditions()->set_serving(draw(2) != 0);
      endpoint.mutable_conditions()->set_terminating(draw(4) == 0);
      if (draw(5) != 0) endpoint.set_node_name("n" + std::to_string(draw(4)));
      if (draw(2) == 0) {
        endpoint.mutable_target_ref()->set_kind("Pod");
        endpoint.mutable_target_ref()->set_name("pod-" + std::to_string(draw(20)));
      }
    }
    put(source, std::move(object));
  }

  void node(const std::string& source) {
    v1::Object object;
    v1::Node& made = *object.mutable_node();
    made.mutable_metadata()->set_name("n" + std::to_string(draw(4)));
    for (const char* prefix : {"172.16.0.", "fd01::"}) {
      if (draw(6) == 0) continue;
      v1::NodeAddress& address = *made.mutable_status()->add_addresses();
      address.set_type("InternalIP");
      address.set_address(prefix + std::to_string(1 + draw(5)));
    }
    put(source, std::move(object));
  }

  void change() {
    const std::string source = some_source();
    const std::uint32_t what = draw(100);
    if (what < 50) return slice(source);
    if (what < 70) return service(source);
    if (what < 78) return node(source);
    if (what < 82) return pool(draw(2) ? "a" : "b");
    if (what < 86) return complete(source, kKinds[draw(5)], draw(3) != 0);
    if (what < 88) {
      settings_.default_mode = draw(2) ? v1::FORWARDING_MODE_NAT : v1::FORWARDING_MODE_DNAT;
      settings_.default_overlay = draw(2) ? v1::OVERLAY_KIND_UNSPECIFIED : v1::OVERLAY_KIND_IPIP;
      return reconciler_.set_settings(settings_);
    }
    if (objects_.empty()) return;
    auto victim = objects_.begin();
    std::advance(victim, draw(static_cast<std::uint32_t>(objects_.size())));
    remove(ObjectKey(victim->first));
  }

  void allocate() {
    const bool rebuilt = draw(30) == 0;
    Allocation decided = reconciler_.allocate({&ledger_,
                                               {},
                                               1'000'000 * static_cast<std::int64_t>(generation_),
                                               60'000,
                                               [](const IpAddress&) { return true; }});
    if (decided.writes.empty() && !rebuilt) return;
    for (v1::Address& record : decided.writes) {
      const IpAddress address = *IpAddress::from_bytes(record.address());
      ledger_[address] = std::move(record);
    }
    if (rebuilt && !ledger_.empty()) {  // Another gateway's copy had other sizes.
      for (auto& holder : *ledger_.begin()->second.mutable_holders())
        for (auto& port : *holder.mutable_ports()) port.set_maglev_size(4001);
    }
    reconciler_.ledger_changed(rebuilt);
  }

  void program() {
    const Difference change = reconciler_.desired().difference(&reported_);
    if (draw(8) == 0 && !change.empty()) {
      ++refused_;
      return;
    }
    apply(change, &dataplane_);
    reconciler_.desired().accept(&reported_);
    programmed_ = generation_;
    ASSERT_TRUE(difference(reported_, dataplane_).empty());
    ASSERT_TRUE(difference(reconciler_.desired().state(), dataplane_).empty());
    for (const auto& [key, plan] : reconciler_.plans()) {
      const VipProgress progress = reconciler_.desired().progress(key, reported_);
      ASSERT_EQ(progress.wanted, progress.served);
    }
  }

  void compare(const Reconciler::Serving& serving) {
    Reconciler anew(settings_);
    for (const auto& [key, yes] : complete_) anew.model().set_complete(key.first, key.second, yes);
    for (const auto& [key, object] : objects_) anew.model().upsert(key, object);
    anew.set_ledger(&ledger_);
    IdAllocator ids = ids_;
    anew.refresh();
    anew.plan_waiting();
    anew.update(serving, &ids);
    const DataplaneState is = reconciler_.desired().state(), should = anew.desired().state();
    const Difference wrong = difference(should, is);
    ASSERT_TRUE(wrong.empty()) << "generation " << generation_ << "\n" << text_of(wrong);
    ASSERT_EQ(reconciler_.desired().short_of_room(), anew.desired().short_of_room());
    shortages_ += anew.desired().short_of_room() ? 1 : 0;
    ASSERT_EQ(reconciler_.plans().size(), anew.plans().size());
    for (const auto& [key, plan] : anew.plans()) {
      const ServiceOutcome* a = reconciler_.desired().outcome(key);
      const ServiceOutcome* b = anew.desired().outcome(key);
      ASSERT_TRUE(a != nullptr && b != nullptr) << key.text();
      ASSERT_EQ(a->addresses, b->addresses) << key.text();
      ASSERT_EQ(a->backends, b->backends) << key.text();
      ASSERT_EQ(a->draining, b->draining) << key.text();
      ASSERT_EQ(a->conditions.size(), b->conditions.size()) << key.text();
      for (std::size_t i = 0; i < a->conditions.size(); ++i)
        ASSERT_EQ(a->conditions[i].message(), b->conditions[i].message());
    }
    // An id that stood for a backend stands for no other before the tables were swept.
    for (const auto& [id, backend] : is.backends) {
      const auto served = dataplane_.backends.find(id);
      if (served == dataplane_.backends.end()) continue;
      ASSERT_EQ(served->second.message().name(), backend.message().name());
    }
    for (const auto& [name, vip] : is.vips)
      for (const v1::Member& member : vip->members())
        ASSERT_TRUE(is.backends.contains(member.backend())) << vip->service();
  }

  std::mt19937 random_;
  PlanSettings settings_;
  std::map<ObjectKey, ObjectPointer> objects_;
  std::map<std::pair<std::string, v1::Kind>, bool> complete_;
  Ledger ledger_;
  IdAllocator ids_;
  DataplaneState dataplane_;  // As it is,
  DataplaneState reported_;   //   and as it is known.
  v1::Capacity capacity_;
  std::uint64_t generation_ = 0, programmed_ = 0;
};

TEST(Reconciler, ChangesComeToTheSameAsEverythingFromNothing) {
  for (std::uint32_t seed = 1; seed <= 6 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Churn churn(seed, 0);
    for (int i = 0; i < 500 && !::testing::Test::HasFatalFailure(); ++i) churn.step();
    EXPECT_GT(churn.refused_, 0u);
    EXPECT_LT(churn.reconciler_.desired().counters().full, 250u);
  }
}

TEST(Reconciler, TheSameWhereRoomIsShort) {
  Churn churn(7, 12);
  for (int i = 0; i < 800 && !::testing::Test::HasFatalFailure(); ++i) churn.step();
  EXPECT_GT(churn.shortages_, 30u);
  EXPECT_LT(churn.shortages_, 790u);
}

v1::Object service_object(const std::string& name) {
  v1::Object object;
  object.mutable_service()->mutable_metadata()->set_namespace_("default");
  object.mutable_service()->mutable_metadata()->set_name(name);
  object.mutable_service()->mutable_spec()->set_type("LoadBalancer");
  object.mutable_service()->mutable_spec()->add_ports()->set_port(80);
  return object;
}
v1::Object slice_object(const std::string& service, int endpoints) {
  v1::Object object;
  v1::EndpointSlice& slice = *object.mutable_endpoint_slice();
  slice.mutable_metadata()->set_namespace_("default");
  slice.mutable_metadata()->set_name(service + "-1");
  (*slice.mutable_metadata()->mutable_labels())["kubernetes.io/service-name"] = service;
  slice.set_address_type("IPv4");
  slice.add_ports()->set_port(8080);
  for (int i = 1; i <= endpoints; ++i)
    slice.add_endpoints()->add_addresses("10.0.0." + std::to_string(i));
  return object;
}

// Everything of `manual` is known, and one pool.
class ReconcilerTest : public ::testing::Test {
 protected:
  ReconcilerTest() {
    reconciler.set_ledger(&ledger);
    for (const v1::Kind kind : kKinds) reconciler.model().set_complete("manual", kind, true);
    v1::Object pool;
    pool.mutable_address_pool()->mutable_metadata()->set_name("p");
    pool.mutable_address_pool()->mutable_spec()->add_addresses("192.0.2.0/24");
    put(pool);
  }
  void put(v1::Object object) {
    const ObjectKey key = key_of("manual", object);
    reconciler.model().upsert(key, std::make_shared<const v1::Object>(std::move(object)));
  }
  Reconciler reconciler{PlanSettings{}};
  Ledger ledger;
};

// Ten thousand addresses written back to a cluster must not be ten thousand allocations.
TEST_F(ReconcilerTest, AStatusThatNamesWhatIsHeldConcernsNoGrant) {
  const auto asks = [this](const v1::Object& object) {
    put(object);
    reconciler.refresh();
    return reconciler.take_requests_changed();
  };
  v1::Object service = service_object("s");
  service.mutable_service()->mutable_metadata()->set_uid("one");
  EXPECT_TRUE(asks(service));
  for (v1::Address& record :
       reconciler.allocate({&ledger, {}, 0, 0, [](const IpAddress&) { return true; }}).writes)
    ledger[*IpAddress::from_bytes(record.address())] = record;
  ASSERT_EQ(ledger.size(), 1u);
  auto* ingress = service.mutable_service()->mutable_status()->mutable_load_balancer();
  ingress->add_ingress()->set_ip("192.0.2.1");
  EXPECT_FALSE(asks(service));
  EXPECT_FALSE(asks(service));
  v1::Object twin = service;  // Re-created: it holds nothing.
  twin.mutable_service()->mutable_metadata()->set_uid("two");
  EXPECT_TRUE(asks(twin));
  EXPECT_TRUE(asks(service));
  ingress->mutable_ingress(0)->set_ip("192.0.2.9");  // Not its own.
  EXPECT_TRUE(asks(service));
  ingress->mutable_ingress(0)->set_ip("192.0.2.1");
  EXPECT_TRUE(asks(service));
  service.mutable_service()->mutable_spec()->mutable_ports(0)->set_port(81);
  ingress->clear_ingress();
  EXPECT_TRUE(asks(service));
}

// The counters that show what a change cost.
TEST_F(ReconcilerTest, AChangeCostsItsOwnService) {
  for (int i = 0; i < 100; ++i) {
    put(service_object("s" + std::to_string(i)));
    put(slice_object("s" + std::to_string(i), 3));
  }
  IdAllocator ids;
  DataplaneState reported;
  std::uint64_t generation = 0;
  const auto settle = [&] {
    reconciler.refresh();
    for (v1::Address& record :
         reconciler.allocate({&ledger, {}, 0, 0, [](const IpAddress&) { return true; }}).writes)
      ledger[*IpAddress::from_bytes(record.address())] = record;
    reconciler.ledger_changed(false);
    reconciler.update({&reported, {}, ++generation}, &ids);
    const Difference change = reconciler.desired().difference(&reported);
    reconciler.desired().accept(&reported);
    return change;
  };
  EXPECT_EQ(settle().vips, 100u);
  (void)reconciler.take_requests_changed();
  const std::uint64_t planned = reconciler.planned();
  const DesiredState::Counters before = reconciler.desired().counters();
  put(slice_object("s7", 4));
  const Difference change = settle();
  EXPECT_EQ(change.vips, 1u);
  EXPECT_EQ(change.upserts, 2u);  // And the new endpoint.
  EXPECT_EQ(reconciler.planned() - planned, 1u);
  EXPECT_EQ(reconciler.desired().counters().services - before.services, 1u);
  EXPECT_EQ(reconciler.desired().counters().vips - before.vips, 1u);
  EXPECT_EQ(reconciler.desired().counters().full, before.full);
  EXPECT_FALSE(reconciler.take_requests_changed());  // No other address, no larger table.
  EXPECT_TRUE(settle().empty());
  // A table of another size would come to another one with six than with five members.
  for (const int members : {6, 5}) {
    put(slice_object("s7", members));
    settle();
    EXPECT_FALSE(reconciler.take_requests_changed()) << members;
  }
  // Other members call for another table.
  put(slice_object("s7", 20));
  reconciler.refresh();
  EXPECT_TRUE(reconciler.take_requests_changed());
}

// What comes in piece by piece is planned once it is there, and what takes long is not kept secret.
TEST_F(ReconcilerTest, ASourceThatComesInIsPlannedOnce) {
  const auto key = [](const v1::Object& object) { return key_of("cluster", object); };
  const auto add = [&](v1::Object object) {
    const ObjectKey at = key(object);
    reconciler.model().upsert(at, std::make_shared<const v1::Object>(std::move(object)));
    return reconciler.refresh();
  };
  const auto complete = [&](v1::Kind kind, bool yes) {
    reconciler.model().set_complete("cluster", kind, yes);
    reconciler.refresh();
  };
  reconciler.refresh();
  EXPECT_FALSE(add(service_object("s")));
  EXPECT_FALSE(add(service_object("left")));
  EXPECT_FALSE(add(slice_object("s", 3)));
  EXPECT_EQ(reconciler.planned(), 0u);
  EXPECT_TRUE(reconciler.plans_wait());
  reconciler.plan_waiting();
  EXPECT_FALSE(reconciler.plans_wait());
  EXPECT_EQ(reconciler.planned(), 2u);
  ASSERT_EQ(reconciler.plans().size(), 2u);
  EXPECT_FALSE(reconciler.plans().begin()->second.known);

  add(slice_object("s", 4));
  reconciler.model().remove(key(service_object("left")));
  complete(v1::KIND_SERVICE, true);
  EXPECT_TRUE(reconciler.plans_wait());
  EXPECT_EQ(reconciler.planned(), 2u);
  complete(v1::KIND_ENDPOINT_SLICE, true);
  EXPECT_FALSE(reconciler.plans_wait());
  ASSERT_EQ(reconciler.plans().size(), 1u);
  EXPECT_TRUE(reconciler.plans().begin()->second.known);
  EXPECT_EQ(reconciler.planned(), 4u);  // And the one that is gone.

  // Known once, changes of it are followed even while parts of it are in doubt.
  complete(v1::KIND_ENDPOINT_SLICE, false);
  EXPECT_TRUE(add(slice_object("s", 5)));
  EXPECT_FALSE(reconciler.plans_wait());
}

}  // namespace
}  // namespace sluice
