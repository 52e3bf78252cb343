// DesiredState: the state a dataplane should have, kept per Service: a change works out what its
// Services contribute anew and nothing else. All of them are worked out anew at the start, after a
// new connection, for other settings, and as long as the dataplane's room is short, since then one
// Service's gain is another's loss.
// Ownership: by value. Thread: one. Errors: none; what cannot be done for a Service is among its
// conditions.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "control/model/contribution.h"
#include "control/model/diff.h"
#include "control/model/merged.h"

namespace sluice {

// VIPs of one Service that a dataplane should serve, and those it serves just so.
struct VipProgress {
  std::size_t wanted = 0;
  std::size_t served = 0;
  bool proxied = false;  // Some of them give endpoints a PROXY header.
};

class DesiredState {
 public:
  // What the next update() works out anew.
  void touch_all() { all_ = true; }
  void touch(const ServiceKey& service) { touched_.insert(service); }
  void touch_pool(const std::string& pool);  // Its forwarding mode, overlay or unserved ports.
  void touch_node(const std::string& source, const std::string& node);
  // Its records changed; `rebuilt`: some may differ under the revisions they had.
  void touch_ledger(const Ledger& ledger, bool rebuilt);

  // The ids must have adopted what the dataplane reports. Works out at most `most` Services, so
  // that a thread that has other things to do can do them between, unless the dataplane's room may
  // be short: then all at once. Adds those worked out to `concluded`, also those that are gone.
  // True: that was all. Until then this is nothing to program.
  bool update(const DesiredInputs& inputs, IdAllocator* ids, std::size_t most,
              std::set<ServiceKey>* concluded);

  bool serves_any() const { return !vips_.entries().empty(); }
  std::size_t vips() const { return vips_.entries().size(); }
  DataplaneState state() const;
  // Null: the Service is not wanted, or was not worked out yet.
  const ServiceOutcome* outcome(const ServiceKey& service) const;
  VipProgress progress(const ServiceKey& service, const DataplaneState& reported) const;
  const GrantIndex& grants() const { return grants_; }
  bool short_of_room() const { return short_of_room_; }

  // What turns `reported` into this. A look at what changed since the last accept() is enough if
  // `reported` is what accept() left; else, after a new connection, compare_all() first. Values of
  // `reported` that are the same as here become the same messages.
  Difference difference(DataplaneState* reported) const;
  void compare_all() { compare_all_ = true; }
  // The dataplane has taken the difference: `reported` is as this.
  void accept(DataplaneState* reported);

  struct Counters {
    std::uint64_t services = 0;  // Worked out.
    std::uint64_t vips = 0;      // Put together for them.
    std::uint64_t full = 0;      // Times all were.
  };
  const Counters& counters() const { return counters_; }

 private:
  template <typename Value>
  using ByName = std::map<VipName, Value>;
  template <typename Value>
  using ById = boost::unordered_flat_map<std::uint32_t, Value>;
  template <typename Value>
  using ByAddress = std::map<IpAddress, Value>;
  using Vips = Merged<VipOffer, &Contribution::vips, ByName>;
  using Backends = Merged<BackendOffer, &Contribution::backends, ById>;
  using Addresses = Merged<AddressOffer, &Contribution::addresses, ByAddress>;

  std::set<ServiceKey> everybody(const DesiredInputs& inputs) const;
  bool room_is_certain(const DesiredInputs& inputs) const;
  void update_whole(const DesiredInputs& inputs, IdAllocator* ids, std::set<ServiceKey>* concluded);
  // Whether there was room for all.
  bool work_out(const std::set<ServiceKey>& services, const DesiredInputs& inputs, bool whole,
                IdAllocator* ids);
  void put(std::vector<Contribution> contributions, std::uint64_t generation, IdAllocator* ids);
  void release_others(std::uint64_t generation, IdAllocator* ids) const;
  bool has_vip_of(const VipName& name) const;

  std::map<ServiceKey, Contribution> contributions_;
  Vips vips_;
  Backends backends_;
  Addresses addresses_;
  GrantIndex grants_;
  std::set<ServiceKey> touched_;
  bool all_ = true, sweep_ids_ = false;
  bool short_of_room_ = false, compare_all_ = true;
  Counters counters_;
};

}  // namespace sluice
