#include "dataplane/forward/state_builder.h"

#include <algorithm>
#include <atomic>
#include <string_view>
#include <utility>

#include "dataplane/forward/state_maglev.h"

namespace sluice {
namespace {

using Member = VipBlock::Member;

VipId id_of(const VipBlock& vip) {
  return {vip.address, vip.protocol, vip.port.host()};
}

bool same_timers(const FlowTimers& a, const FlowTimers& b) {
  return a.tcp_handshake == b.tcp_handshake && a.tcp_established == b.tcp_established &&
         a.tcp_closing == b.tcp_closing && a.udp == b.udp && a.udp_weak == b.udp_weak;
}

bool same(const VipBlock& vip, const VipSpec& spec) {
  return vip.id == spec.id && vip.service == spec.service && vip.mode == spec.mode &&
         vip.maglev_size == spec.maglev_size && vip.members == spec.members &&
         same_timers(vip.timers, spec.timers) && vip.proxy_protocol == spec.proxy_protocol &&
         vip.quic == spec.quic;
}

}  // namespace

std::string VipId::text() const {
  return address_port_text(address, port) + "/" + protocol_name(protocol);
}

std::optional<std::uint32_t> CounterIndexes::take() {
  if (!free_.empty()) {
    const std::uint32_t index = free_.back();
    free_.pop_back();
    return index;
  }
  if (unused_ == capacity_) return std::nullopt;
  return unused_++;
}

StateBuilder::StateBuilder(std::shared_ptr<const ForwardingState> base, const StateLimits& limits,
                           Scope scope)
    : base_(base != nullptr ? std::move(base) : std::make_shared<const ForwardingState>()),
      limits_(limits),
      scope_(scope) {}

void StateBuilder::upsert(VipSpec vip) {
  const VipId key = vip.key;
  vips_[key] = std::move(vip);
}
void StateBuilder::upsert(BackendSpec backend) {
  const std::uint32_t id = backend.id;
  backends_[id] = std::move(backend);
}
void StateBuilder::upsert(AddressSpec address) {
  addresses_[address.address] = address;
}

Result<StateBuilder::Built> StateBuilder::build(std::uint64_t generation,
                                                CounterIndexes& counters) {
  if (generation <= base_->generation()) {
    return Error{"generation " + std::to_string(generation) + " is not greater than " +
                 std::to_string(base_->generation()) + ", the one serving"};
  }
  next_ = std::make_shared<ForwardingState>(*base_);
  static std::atomic<std::uint64_t> serial{0};
  next_->generation_ = generation;
  next_->serial_ = ++serial;
  if (maglev_seed_) next_->maglev_seed_ = *maglev_seed_;
  complete_scope();
  // What is named comes first and goes last; room is made before it is taken.
  Status status = apply_addresses();
  if (status) status = apply_backends();
  if (status) release_vips();
  if (status) status = add_vips(counters);
  if (status) status = remove_backends();
  if (status) status = remove_addresses();
  if (!status) {
    for (const std::uint32_t index : built_.new_counters) counters.give_back(index);
    return Error{status.error()};
  }
  list_ids();
  built_.state = std::move(next_);
  return std::move(built_);
}

void StateBuilder::complete_scope() {
  if (scope_ == Scope::delta) return;
  base_->for_each_vip([&](const VipBlock& vip) { vips_.try_emplace(id_of(vip)); });
  base_->for_each_backend([&](const BackendRecord& backend) { backends_.try_emplace(backend.id); });
  base_->for_each_address(
      [&](const AddressBlock& block) { addresses_.try_emplace(block.address); });
}

Status StateBuilder::apply_addresses() {
  for (const auto& [address, spec] : addresses_) {
    if (!spec) continue;
    const AddressBlock* old = next_->find_address(address);
    if (old != nullptr) {
      if (old->unserved == spec->unserved) continue;
      AddressBlock block = *old;
      block.unserved = spec->unserved;
      replace(*old, std::move(block));
      continue;
    }
    if (address.size() == 0 || address.is_unspecified() || address.is_multicast() ||
        address.is_loopback()) {
      return Error{"served address " + address.text() +
                   " cannot be one: it is not a unicast address"};
    }
    if (next_->address_count() >= limits_.vips) {
      return Error{"more than " + std::to_string(limits_.vips) +
                   " addresses to serve; raise dataplane.tables.vips in gateway.yaml"};
    }
    AddressBlock block{address, spec->unserved, {}};
    if (!next_->addresses_.insert(ForwardingState::hash_of(address, 0, Be16{}),
                                  std::make_shared<const AddressBlock>(std::move(block)))) {
      return Error{"served address " + address.text() + ": no room in the address table"};
    }
  }
  return Ok{};
}

Status StateBuilder::apply_backends() {
  for (const auto& [id, spec] : backends_) {
    if (!spec) continue;
    const std::string what = "backend " + std::to_string(id) + ": ";
    if (id >= limits_.backends) {
      return Error{what + "ids go up to " + std::to_string(limits_.backends - 1) +
                   "; raise dataplane.tables.backends in gateway.yaml"};
    }
    if (spec->address.size() == 0 || spec->address.is_unspecified() ||
        spec->address.is_multicast()) {
      return Error{what + "address " + spec->address.text() + " is not a unicast address"};
    }
    if (spec->port == 0) return Error{what + "port 0; it must be 1 to 65535"};
    if (spec->info.name.empty())
      return Error{what + "no name; it is what the Maglev table is made from"};
    if (const BackendRecord* old = next_->backend(id)) {
      const BackendInfo& info = *next_->backend_info(id);
      if (address_of(*old) != spec->address || old->port.host() != spec->port ||
          info.name != spec->info.name) {
        return Error{what + "it is " + address_port_text(address_of(*old), old->port.host()) +
                     " named " + info.name + " in generation " +
                     std::to_string(base_->generation()) + " and flows use it; give " +
                     address_port_text(spec->address, spec->port) + " named " + spec->info.name +
                     " another id"};
      }
      if (info == spec->info && old->overlay == spec->overlay.kind &&
          (old->overlay == OverlayKind::none || *next_->overlay(id) == spec->overlay)) {
        continue;
      }
    } else {
      BackendRecord& record = next_->backends_.edit(id);
      record.id = id;
      record.port = Be16::from_host(spec->port);
      record.address_bytes = static_cast<std::uint8_t>(spec->address.size());
      std::memcpy(record.address, spec->address.data(), spec->address.size());
      ++next_->backend_count_;
      built_.new_backends.push_back(id);
    }
    if (Status status = check_overlay(spec->overlay); !status) return Error{what + status.error()};
    next_->backends_.edit(id).overlay = spec->overlay.kind;
    if (spec->overlay.kind != OverlayKind::none) next_->overlays_.edit(id) = spec->overlay;
    next_->infos_.edit(id) = std::make_shared<const BackendInfo>(spec->info);
  }
  return Ok{};
}

// Takes changed and removed VIPs out of the counts; removed ones also out of the table.
void StateBuilder::release_vips() {
  for (auto it = vips_.begin(); it != vips_.end();) {
    const auto& [key, spec] = *it;
    const VipBlock* old = next_->find_vip(key.address, key.protocol, Be16::from_host(key.port));
    if (old == nullptr ? !spec.has_value() : spec.has_value() && same(*old, *spec)) {
      it = vips_.erase(it);
      continue;
    }
    if (old != nullptr) {
      count(*old, false);
      if (!spec) {
        built_.retired_counters.push_back(old->counter);
        next_->vips_.erase(ForwardingState::hash_of(key.address, key.protocol, old->port), old);
      }
    }
    ++it;
  }
}

Status StateBuilder::add_vips(CounterIndexes& counters) {
  for (const auto& [key, spec] : vips_) {
    if (!spec) continue;
    Status status = check_vip(*spec);
    if (status) status = check_members(*spec);
    if (status) status = check_id(*spec);
    if (status) status = add_vip(*spec, counters);
    if (!status) return Error{"VIP " + key.text() + ": " + status.error()};
  }
  return Ok{};
}

Status StateBuilder::add_vip(const VipSpec& spec, CounterIndexes& counters) {
  const Be16 port = Be16::from_host(spec.key.port);
  const std::uint32_t hash = ForwardingState::hash_of(spec.key.address, spec.key.protocol, port);
  const VipBlock* old = next_->find_vip(spec.key.address, spec.key.protocol, port);
  auto block = std::make_shared<VipBlock>();
  block->address = spec.key.address;
  block->protocol = spec.key.protocol;
  block->port = port;
  block->mode = spec.mode;
  block->proxy_protocol = spec.proxy_protocol;
  block->quic = spec.quic;
  block->timers = spec.timers;
  block->id = spec.id;
  block->service = spec.service;
  block->members = spec.members;
  block->maglev_size = spec.maglev_size;
  if (next_->member_count_ + spec.members.size() > limits_.members) {
    return Error{"with it all VIPs have more than " + std::to_string(limits_.members) + " members"};
  }
  if (next_->slot_count_ + spec.maglev_size > limits_.slots) {
    return Error{"with it all Maglev tables have more than " + std::to_string(limits_.slots) +
                 " slots; give VIPs smaller tables"};
  }
  if (old != nullptr) {
    block->counter = old->counter;
  } else {
    if (next_->vip_count() >= limits_.vips) {
      return Error{"there are " + std::to_string(limits_.vips) +
                   " VIPs already; raise dataplane.tables.vips in gateway.yaml"};
    }
    Result<std::uint32_t> counter = take_counter(counters);
    if (!counter) return Error{counter.error()};
    block->counter = *counter;
  }
  if (set_maglev(*block, old, *next_)) ++built_.tables_built;
  if (block->quic) name_quic_servers(*block);
  count(*block, true);
  if (old != nullptr) {
    next_->vips_.replace(hash, old, std::move(block));
  } else if (!next_->vips_.insert(hash, std::move(block))) {
    return Error{"no room in the VIP table"};
  }
  return Ok{};
}

void StateBuilder::name_quic_servers(VipBlock& block) const {
  for (const VipBlock::Member& member : block.members) {
    const BackendRecord& backend = *next_->backend(member.backend);
    block.quic_servers.push_back({static_cast<std::uint8_t>(backend.address_bytes == 4 ? 4 : 8),
                                  quic_server_key_of(backend.address, backend.address_bytes),
                                  backend.id});
  }
  std::sort(block.quic_servers.begin(), block.quic_servers.end());
}

Result<std::uint32_t> StateBuilder::take_counter(CounterIndexes& counters) {
  std::optional<std::uint32_t> index = counters.take();
  if (index) {
    built_.new_counters.push_back(*index);
  } else if (!built_.retired_counters.empty()) {
    // Nearly full and much replaced: a burst or two of the VIP that goes may still count for the
    // new one.
    index = built_.retired_counters.back();
    built_.retired_counters.pop_back();
    built_.inherited_counters.push_back(*index);
  } else {
    return Error{"the counters of VIPs just removed are still in use; try again"};
  }
  return *index;
}

// Keeps what the state counts of its VIPs.
void StateBuilder::count(const VipBlock& vip, bool add) {
  const std::uint32_t one = add ? 1 : ~std::uint32_t{0};  // Modulo 2^32.
  for (const Member& member : vip.members) {
    next_->backend_uses_.edit(member.backend) += one;
    if (vip.mode == Mode::dnat) count_endpoint(vip.protocol, member.backend, one);
  }
  next_->member_count_ += add ? vip.members.size() : -vip.members.size();
  next_->slot_count_ += add ? vip.table->size() : -vip.table->size();

  VipIdentity& identity = next_->identities_.edit(vip.id);
  identity.address = vip.address;
  identity.protocol = vip.protocol;
  identity.vips += one;
  touched_ids_.push_back(vip.id);

  const AddressBlock* old = next_->find_address(vip.address);
  AddressBlock block = *old;
  auto use = std::find_if(block.uses.begin(), block.uses.end(),
                          [&](const AddressBlock::Use& u) { return u.protocol == vip.protocol; });
  if (use == block.uses.end()) use = block.uses.insert(use, {vip.protocol, vip.id, 0});
  use->vips += one;
  if (use->vips == 0) block.uses.erase(use);
  replace(*old, std::move(block));
}

// An endpoint is in the table as long as a DNAT VIP leads there.
void StateBuilder::count_endpoint(std::uint8_t protocol, std::uint32_t backend, std::uint32_t one) {
  const BackendRecord& record = *next_->backend(backend);
  const IpAddress address = address_of(record);
  const std::uint32_t hash = ForwardingState::hash_of(address, protocol, record.port);
  const DnatEndpoint* old = next_->dnat_.find(hash, [&](const DnatEndpoint& e) {
    return e.address == address && e.protocol == protocol && e.port == record.port;
  });
  auto next = std::make_shared<DnatEndpoint>(
      old != nullptr ? *old : DnatEndpoint{address, protocol, record.port, 0});
  next->uses += one;
  if (old == nullptr) {
    // Without room its packets are the kernel's, which is what they were.
    (void)next_->dnat_.insert(hash, std::move(next));
  } else if (next->uses == 0) {
    next_->dnat_.erase(hash, old);
  } else {
    next_->dnat_.replace(hash, old, std::move(next));
  }
}

void StateBuilder::replace(const AddressBlock& old, AddressBlock block) {
  next_->addresses_.replace(ForwardingState::hash_of(old.address, 0, Be16{}), &old,
                            std::make_shared<const AddressBlock>(std::move(block)));
}

Status StateBuilder::remove_backends() {
  for (const auto& [id, spec] : backends_) {
    const BackendRecord* old = spec ? nullptr : next_->backend(id);
    if (old == nullptr) continue;
    if (*next_->backend_uses_.find(id) != 0) {
      return Error{to_text(*old) + " is removed, but " + user_of(id) + " still names it"};
    }
    next_->backends_.edit(id) = BackendRecord{};
    next_->infos_.edit(id) = nullptr;
    --next_->backend_count_;
    built_.retired_backends.push_back(id);
  }
  return Ok{};
}

// The first VIP that names a backend, for the sentence that refuses its removal.
std::string StateBuilder::user_of(std::uint32_t id) const {
  std::string text;
  next_->for_each_vip([&](const VipBlock& vip) {
    for (const Member& member : vip.members) {
      if (text.empty() && member.backend == id) text = "VIP " + id_of(vip).text();
    }
  });
  return text;
}

Status StateBuilder::remove_addresses() {
  for (const auto& [address, spec] : addresses_) {
    const AddressBlock* old = spec ? nullptr : next_->find_address(address);
    if (old == nullptr) continue;
    if (!old->uses.empty()) {
      return Error{"served address " + address.text() + " is removed, but it still has " +
                   std::to_string(old->uses.front().vips) + " VIPs of " +
                   protocol_name(old->uses.front().protocol)};
    }
    next_->addresses_.erase(ForwardingState::hash_of(address, 0, Be16{}), old);
  }
  return Ok{};
}

void StateBuilder::list_ids() {
  std::sort(touched_ids_.begin(), touched_ids_.end());
  touched_ids_.erase(std::unique(touched_ids_.begin(), touched_ids_.end()), touched_ids_.end());
  for (const std::uint32_t id : touched_ids_) {
    const bool was = base_->identity(id) != nullptr, is = next_->identity(id) != nullptr;
    if (was && !is) built_.retired_vip_ids.push_back(id);
    if (!was && is) built_.new_vip_ids.push_back(id);
  }
}

}  // namespace sluice
