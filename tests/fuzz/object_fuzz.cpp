// Fuzzes what Redis may hold under our names: objects of every kind, their removal, sources that
// are complete or not, and records of the ledger; whatever they are, what is wanted of the
// dataplane must hold together, and must not depend on the way it came about. Input: steps of one
// byte (what: 3 bits; of a cluster instead of manual: 1 bit) and counted bytes, an encoded message.
#include <array>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "control/daemon/reconciler.h"
#include "control/daemon/status.h"
#include "control/store/keys.h"
#include "tests/fuzz/fuzz.h"

namespace sluice::fuzz {
namespace {

constexpr int kMaxSteps = 60;
constexpr std::array kKinds{v1::KIND_SERVICE,     v1::KIND_ENDPOINT_SLICE, v1::KIND_ENDPOINTS,
                            v1::KIND_POD,         v1::KIND_NODE,           v1::KIND_NAMESPACE,
                            v1::KIND_ADDRESS_POOL};
enum Step : unsigned { kPut, kPut2, kPut3, kRemove, kComplete, kRecord, kProgram, kRefuse };

class World {
 public:
  World() {
    reconciler_.set_ledger(&ledger_);
    for (const char* source : {kManualSource, kCluster})
      for (const v1::Kind kind : kKinds) complete(source, kind, true);
  }

  void step(std::uint8_t what, std::string_view bytes) {
    const char* source = (what & 8) != 0 ? kCluster : kManualSource;
    switch (what & 7) {
      case kPut:
      case kPut2:
      case kPut3:
        return put(source, bytes);
      case kRemove:
        return remove(source, bytes);
      case kComplete:
        return complete(source, kKinds[(bytes.empty() ? 0 : bytes[0] & 127) % kKinds.size()],
                        !bytes.empty() && bytes[0] < 0);
      case kRecord:
        return put_record(bytes);
      default:
        return settle((what & 7) == kProgram);
    }
  }

  void settle(bool programmed) {
    reconciler_.refresh();
    reconciler_.plan_waiting();
    grant();
    const Reconciler::Serving serving{&reported_, {}, ++generation_};
    IdAllocator ids = ids_;
    while (!reconciler_.update(serving, &ids_, 2)) {
    }
    check_wanted();
    check_anew(serving, &ids);
    check_statuses();
    const Difference change = reconciler_.desired().difference(&reported_);
    for (const std::string& part : change.parts) {
      v1::ApplyPart sent;
      FUZZ_CHECK(part.size() <= kMaxPartBytes && sent.ParseFromString(part));
    }
    if (!programmed) return;
    reconciler_.desired().accept(&reported_);
    FUZZ_CHECK(difference(reconciler_.desired().state(), reported_).empty());
    ids_.swept(generation_ / 2);
  }

 private:
  static constexpr const char* kCluster = "cluster-1";

  void complete(const std::string& source, v1::Kind kind, bool yes) {
    complete_[{source, kind}] = yes;
    reconciler_.model().set_complete(source, kind, yes);
  }

  // What the store lets in: of this program's layout, under a name that can be stored.
  void put(const std::string& source, std::string_view bytes) {
    auto object = std::make_shared<v1::Object>();
    if (!object->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
    if (metadata_of(*object) == nullptr) return;
    const ObjectKey key = key_of(source, *object);
    if (!store::keys::valid(key)) return;
    objects_[key] = object;
    reconciler_.model().upsert(key, object);
  }

  void remove(const std::string& source, std::string_view bytes) {
    v1::Object object;
    if (!object.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
    if (metadata_of(object) == nullptr) return;
    const ObjectKey key = key_of(source, object);
    objects_.erase(key);
    reconciler_.model().remove(key);
  }

  void put_record(std::string_view bytes) {
    v1::Address record;
    if (!record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
    const auto address = IpAddress::from_bytes(record.address());
    if (!address) return;
    ledger_[*address] = std::move(record);
    ledger_is_ours_ = false;
    reconciler_.ledger_changed(true);
  }

  void grant() {
    const std::int64_t now = 1'000'000'000 + static_cast<std::int64_t>(generation_) * 100'000;
    allocation_ =
        reconciler_.allocate({&ledger_, {}, now, 60'000, [](const IpAddress&) { return true; }});
    for (v1::Address& record : allocation_.writes) {
      const auto address = IpAddress::from_bytes(record.address());
      FUZZ_CHECK(address.has_value());
      const auto before = ledger_.find(*address);
      const std::uint64_t revision = before == ledger_.end() ? 0 : before->second.revision();
      FUZZ_CHECK(record.revision() == revision + 1);
      ledger_[*address] = std::move(record);
    }
    reconciler_.ledger_changed(false);
    if (ledger_is_ours_) check_ledger();
  }

  // No port of an address has two holders.
  void check_ledger() const {
    for (const auto& [address, record] : ledger_) {
      std::set<std::pair<std::string, std::uint32_t>> ports;
      for (const v1::AddressHolder& holder : record.holders())
        for (const v1::HeldPort& port : holder.ports())
          FUZZ_CHECK(ports.insert({port.protocol(), port.port()}).second);
    }
  }

  void check_wanted() const {
    const DataplaneState state = reconciler_.desired().state();
    std::map<std::uint32_t, std::pair<IpAddress, v1::Protocol>> ids;
    for (const auto& [name, vip] : state.vips) {
      FUZZ_CHECK(name.port >= 1 && name.port <= 65535 && vip->id() != 0);
      const auto [at, added] = ids.try_emplace(vip->id(), name.address, name.protocol);
      FUZZ_CHECK(added || at->second == std::pair(name.address, name.protocol));
      for (const v1::Member& member : vip->members())
        FUZZ_CHECK(state.backends.contains(member.backend()));
    }
    v1::Backend backend;
    for (const auto& [id, encoded] : state.backends) {
      encoded.read(&backend);
      FUZZ_CHECK(id != 0 && backend.id() == id && backend.port() <= 65535);
      FUZZ_CHECK(IpAddress::from_bytes(backend.address()).has_value());
    }
  }

  void check_anew(const Reconciler::Serving& serving, IdAllocator* ids) const {
    Reconciler anew{PlanSettings{}};
    for (const auto& [key, yes] : complete_) anew.model().set_complete(key.first, key.second, yes);
    for (const auto& [key, object] : objects_) anew.model().upsert(key, object);
    anew.set_ledger(&ledger_);
    anew.refresh();
    anew.plan_waiting();
    while (!anew.update(serving, ids, 1000)) {
    }
    FUZZ_CHECK(anew.plans().size() == reconciler_.plans().size());
    const DataplaneState is = reconciler_.desired().state(), should = anew.desired().state();
    FUZZ_CHECK(is.backends.size() == should.backends.size());
    FUZZ_CHECK(is.addresses.size() == should.addresses.size());
    FUZZ_CHECK(is.vips.size() == should.vips.size());
    auto at = is.vips.begin();
    for (const auto& [name, vip] : should.vips) {
      FUZZ_CHECK(at->first == name && at->second->service() == vip->service() &&
                 at->second->members_size() == vip->members_size());
      ++at;
    }
  }

  void check_statuses() const {
    for (const auto& [key, plan] : reconciler_.plans()) {
      const ServiceOutcome* outcome = reconciler_.desired().outcome(key);
      const ServiceOutcome none;
      StatusInputs inputs;
      inputs.plan = &plan;
      inputs.outcome = outcome ? outcome : &none;
      inputs.gateway = "gw";
      if (const auto at = allocation_.conditions.find(key); at != allocation_.conditions.end())
        inputs.further.push_back(at->second);
      inputs.further.push_back(programmed_condition(
          plan, *inputs.outcome, reconciler_.desired().progress(key, reported_), {true, "", true}));
      const v1::ServiceStatus own = make_status(inputs);
      v1::ServiceStatus again;  // Refuses what is not UTF-8.
      FUZZ_CHECK(again.ParseFromString(own.SerializeAsString()));
      FUZZ_CHECK(same_status(own, again));
      FUZZ_CHECK(merge_statuses(own, {}, nullptr).gateways() == 1);
    }
  }

  Reconciler reconciler_{PlanSettings{}};
  std::map<std::pair<std::string, v1::Kind>, bool> complete_;
  std::map<ObjectKey, ObjectPointer> objects_;
  Ledger ledger_;
  bool ledger_is_ours_ = true;
  Allocation allocation_;
  IdAllocator ids_;
  DataplaneState reported_;
  std::uint64_t generation_ = 0;
};

}  // namespace

void run(Input input) {
  World world;
  for (int steps = 0; !input.empty() && steps < kMaxSteps; ++steps) {
    const std::uint8_t what = input.byte();
    world.step(what, input.take(input.word()));
  }
  world.settle(true);
}

}  // namespace sluice::fuzz
