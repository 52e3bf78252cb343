// What one Service adds to the state of a dataplane: VIPs, the backends they name, addresses, and
// what came of it. Worked out by ContributionBuilder, added up by DesiredState.
// Ownership: messages are shared with the states that contain them. Thread: one.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "control/model/dataplane_state.h"
#include "control/model/desired_inputs.h"
#include "control/model/grant_index.h"
#include "control/model/ids.h"
#include "control/model/reach.h"

namespace sluice {

// What came of one Service.
struct ServiceOutcome {
  std::vector<std::string> addresses;  // Canonical text, in the order of the Service's families.
  std::vector<v1::Condition> conditions;
  std::uint32_t backends = 0;  // Get new flows; an endpoint counts once however many ports it has.
  std::uint32_t draining = 0;
};

template <typename KeyType, typename ValueType>
struct Offer {
  using Key = KeyType;
  using Value = ValueType;
  Key key;
  // As it is reported, for want of knowledge: gives way to what another Service knows it wants.
  bool held = false;
  Value value;
};
using VipOffer = Offer<VipName, Shared<v1::Vip>>;
using BackendOffer = Offer<std::uint32_t, EncodedBackend>;
using AddressOffer = Offer<IpAddress, Shared<v1::ServedAddress>>;

struct Contribution {
  ServiceKey service;
  // Each in the order of its keys, no two alike.
  std::vector<VipOffer> vips;
  std::vector<BackendOffer> backends;
  std::vector<AddressOffer> addresses;
  std::vector<std::string> nodes;         // Whose ways it depends on, in order.
  std::optional<ServiceOutcome> outcome;  // Absent: no wanted Service; what there is is held.

  bool empty() const { return !outcome && vips.empty() && backends.empty() && addresses.empty(); }
};

// The contributions of some Services at once, since who is served already goes first where the
// dataplane's room is short.
class ContributionBuilder {
 public:
  // `vips_elsewhere`: served for Services that are not among these.
  ContributionBuilder(const DesiredInputs& inputs, const GrantIndex& grants,
                      std::size_t vips_elsewhere, IdAllocator* ids)
      : in_(inputs), grants_(grants), vips_(vips_elsewhere), ids_(*ids) {}

  void add(const ServiceKey& service);
  // Once, after all of them; also those that contribute nothing any more.
  std::vector<Contribution> run();
  // Something was left out for want of room.
  bool short_of_room() const { return short_of_room_; }
  std::size_t vips() const { return converted_; }

 private:
  struct Draft {
    const ServicePlan* plan = nullptr;  // Null: not wanted.
    std::vector<VipOffer> vips;
    std::vector<BackendOffer> backends;  // As often as a VIP has one.
    std::map<IpAddress, AddressOffer> addresses;
    std::vector<IpAddress> granted;
    std::vector<std::pair<std::size_t, Warning>> warnings;  // With the order they are told in.
    std::vector<const PlanMember*> active, draining;        // As often as a VIP has one.
    std::set<std::string> nodes;
  };
  struct Candidate {
    Draft* draft = nullptr;
    const PlanPort* port = nullptr;
    VipName name;
    v1::ForwardingMode mode = v1::FORWARDING_MODE_UNSPECIFIED;
    v1::OverlayKind overlay = v1::OVERLAY_KIND_UNSPECIFIED;
    std::uint32_t maglev_size = 0;  // By the ledger.
    std::size_t order = 0;
  };

  struct Row {  // A member of the VIP under way.
    std::string name;
    std::uint32_t backend = 0, weight = 0;
    bool draining = false;
  };

  static void warn(Draft* draft, std::size_t order, std::string reason, std::string message);
  void consider(Draft* draft, const IpAddress& address, const v1::Address& record,
                const v1::AddressHolder& holder);
  const v1::AddressPoolSpec& pool_spec(const std::string& name) const;
  v1::ForwardingMode mode_of(const ServicePlan& plan, const v1::AddressPoolSpec& pool) const;
  v1::OverlayKind overlay_of(Draft* draft, const v1::AddressPoolSpec& pool,
                             v1::ForwardingMode mode) const;
  bool nodes_suffice(const Candidate& candidate);

  void hold_unknown();
  void hold(Draft* draft, const VipName& name, const Shared<v1::Vip>& vip);

  bool is_reported(const VipName& name) const { return in_.reported->vips.contains(name); }
  void add_vip(const Candidate& candidate);
  bool add_client_address(const Candidate& candidate) const;
  Reach reach_of(const Candidate& candidate, bool proxy_protocol);
  Result<v1::Overlay> way(Draft* draft, v1::OverlayKind kind, const std::string& node,
                          const IpAddress& endpoint);
  // What the dataplane serves for a VIP, by address and port.
  using Reported = std::map<std::pair<std::string, std::uint32_t>, v1::Backend>;
  Reported reported_members(const VipName& name) const;
  void add_members(std::size_t count, v1::Vip* vip);  // The first so many of rows_.
  // Its id; its name becomes `name`.
  Result<std::uint32_t> add_backend(const Candidate& candidate, const ReachedMember& reached,
                                    std::string* name);
  static Contribution finish(ServiceKey service, Draft draft);

  const DesiredInputs& in_;
  const GrantIndex& grants_;
  std::size_t vips_;
  IdAllocator& ids_;
  bool short_of_room_ = false;
  std::size_t converted_ = 0;
  std::map<ServiceKey, Draft> drafts_;
  std::vector<Candidate> candidates_;
  std::unordered_map<std::string, Draft*> unknown_;  // By Vip.service: reported VIPs are held.
  std::map<std::tuple<std::string, std::string, v1::OverlayKind, IpFamily>, Result<v1::Overlay>>
      ways_;             // By source and node.
  v1::Backend backend_;  // To be encoded. This and the rows are used again for each.
  std::vector<Row> rows_;
};

// Of Vip.service.
ServiceKey service_key(const std::string& text);

}  // namespace sluice
