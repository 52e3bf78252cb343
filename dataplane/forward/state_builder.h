// StateBuilder: the next ForwardingState from a base and what changes, checked as a whole.
//
//   StateBuilder builder(base, limits);
//   builder.upsert(VipSpec{...});
//   Result<StateBuilder::Built> built = builder.build(generation, counters);
//
// Blocks, tables and pages nothing changed in are the base's own. A VIP gets a new Maglev table
// only when its active members or its size changed. build() may be called once.
//
// Thread: one (the server's). Ownership: specs by value; the result is shared. Units: ports in host
// order. Errors: build() refuses with a sentence that names the object; the base is never touched.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/forward/state.h"
#include "proto/address.h"
#include "proto/result.h"

namespace sluice {

struct VipId {  // Of one VIP: (address, protocol, port).
  IpAddress address;
  std::uint8_t protocol = 0;
  std::uint16_t port = 0;
  std::string text() const;  // "192.0.2.1:80/TCP".
  friend auto operator<=>(const VipId&, const VipId&) = default;
};
struct VipSpec {
  VipId key;
  std::uint32_t id = 0;  // Of (address, protocol).
  std::string service;
  Mode mode = Mode::nat;
  std::uint32_t maglev_size = 0;
  std::vector<VipBlock::Member> members;
  FlowTimers timers;
  bool proxy_protocol = false;
  bool quic = false;
};
struct BackendSpec {
  std::uint32_t id = 0;
  IpAddress address;
  std::uint16_t port = 0;
  BackendInfo info;
  OverlayRecord overlay{};  // kind none: none.
};
struct AddressSpec {
  IpAddress address;
  Unserved unserved = Unserved::reject;
};

struct StateLimits {
  std::uint32_t vips = 16384;
  std::uint32_t backends = 65536;                  // Ids below this.
  std::uint32_t vip_ids = kFirstDnatReplyId;       // Ids below this.
  std::uint32_t maglev_size = 1u << 24;            // Slots of one VIP,
  std::uint64_t slots = std::uint64_t{1} << 28;    //   of all (4 bytes each).
  std::uint64_t members = std::uint64_t{1} << 24;  // Of all VIPs.
};

// The longest timer a connection table can tell from its age of 16 bits, in Ticks.
inline constexpr std::uint16_t kMaxTimer = (1u << 15) - 1;

// Indexes of VIP counters not in use. An index comes back only when no worker counts on it any
// more.
class CounterIndexes {
 public:
  explicit CounterIndexes(std::uint32_t capacity) : capacity_(capacity) {}
  std::optional<std::uint32_t> take();
  void give_back(std::uint32_t index) { free_.push_back(index); }

 private:
  std::uint32_t capacity_;
  std::uint32_t unused_ = 0;  // From here on none was ever taken.
  std::vector<std::uint32_t> free_;
};

class StateBuilder {
 public:
  enum class Scope {
    delta,  // What is not mentioned stays.
    whole,  // What is not mentioned goes.
  };
  // `base`: the state to change, or nullptr for none.
  StateBuilder(std::shared_ptr<const ForwardingState> base, const StateLimits& limits,
               Scope scope = Scope::delta);

  // The last word on an object counts. To remove what is not there is no error.
  void upsert(VipSpec vip);
  void upsert(BackendSpec backend);
  void upsert(AddressSpec address);
  void remove_vip(const VipId& vip) { vips_[vip] = std::nullopt; }
  void remove_backend(std::uint32_t id) { backends_[id] = std::nullopt; }
  void remove_address(const IpAddress& address) { addresses_[address] = std::nullopt; }
  // Not set: the base's stays, whatever the scope.
  void set_maglev_seed(std::uint64_t seed) { maglev_seed_ = seed; }

  struct Built {
    std::shared_ptr<const ForwardingState> state;
    std::uint32_t tables_built = 0;
    std::vector<std::uint32_t> new_counters;  // Indexes given to new VIPs.
    std::vector<std::uint32_t>
        inherited_counters;  // The same, taken from VIPs that went in this very build.
    std::vector<std::uint32_t>
        retired_counters;  // Of VIPs that went: to give_back() after the grace period.
    // Ids that stood for something in the base and stand for nothing now.
    std::vector<std::uint32_t> retired_backends, retired_vip_ids;
    std::vector<std::uint32_t> new_backends, new_vip_ids;  // The other way round.
  };
  Result<Built> build(std::uint64_t generation, CounterIndexes& counters);

 private:
  // The steps of build(), in their order.
  void complete_scope();
  Status apply_addresses();
  Status apply_backends();
  void release_vips();
  Status add_vips(CounterIndexes& counters);
  Status remove_backends();
  Status remove_addresses();
  void list_ids();

  static Status check_overlay(const OverlayRecord& overlay);
  Status check_vip(const VipSpec& spec) const;
  Status check_members(const VipSpec& spec) const;
  Status check_id(const VipSpec& spec) const;
  Status add_vip(const VipSpec& spec, CounterIndexes& counters);
  void name_quic_servers(VipBlock& block) const;
  Result<std::uint32_t> take_counter(CounterIndexes& counters);
  void count(const VipBlock& vip, bool add);
  void count_endpoint(std::uint8_t protocol, std::uint32_t backend, std::uint32_t one);
  void replace(const AddressBlock& old, AddressBlock block);
  std::string user_of(std::uint32_t backend) const;

  std::shared_ptr<const ForwardingState> base_;
  StateLimits limits_;
  Scope scope_;
  std::map<VipId, std::optional<VipSpec>> vips_;
  std::map<std::uint32_t, std::optional<BackendSpec>> backends_;
  std::map<IpAddress, std::optional<AddressSpec>> addresses_;
  std::optional<std::uint64_t> maglev_seed_;
  std::shared_ptr<ForwardingState> next_;
  std::vector<std::uint32_t> touched_ids_;  // VIP ids that gained or lost a VIP.
  Built built_;
};

}  // namespace sluice
