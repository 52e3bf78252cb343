#include "control/model/ledger_draft.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "control/model/maglev_size.h"
#include "control/model/service_plan.h"

namespace sluice {
namespace {

const Addresses kNone;

bool holds_port(const v1::AddressHolder& holder, const PortRequest& port) {
  return std::any_of(holder.ports().begin(), holder.ports().end(), [&](const v1::HeldPort& held) {
    return held.port() == port.port && held.protocol() == port.protocol;
  });
}

std::string holder_text(const v1::AddressHolder& holder) {
  std::string text = holder.namespace_() + "/" + holder.name();
  if (holder.source() != kManualSource) text += " of " + holder.source();
  std::string ports;
  for (const v1::HeldPort& port : holder.ports()) {
    ports += (ports.empty() ? "" : ", ") + std::to_string(port.port()) + "/" + port.protocol();
  }
  return text + (ports.empty() ? "" : " (" + ports + ")");
}

// Nothing of the holder would change.
bool is_as_wanted(const AddressRequest& request, const IpAddress& address,
                  const v1::AddressHolder& holder) {
  if (holder.uid() != request.uid || holder.sharing_key() != request.sharing_key ||
      static_cast<std::size_t>(holder.ports_size()) != request.ports.size()) {
    return false;
  }
  for (std::size_t i = 0; i < request.ports.size(); ++i) {
    const v1::HeldPort& held = holder.ports(static_cast<int>(i));
    const PortRequest& wanted = request.ports[i];
    if (held.port() != wanted.port || held.protocol() != wanted.protocol ||
        held.maglev_size() != wanted_maglev_size(wanted, address, held.maglev_size())) {
      return false;
    }
  }
  return true;
}

void insert(Addresses* addresses, const IpAddress& address) {
  const auto at = std::lower_bound(addresses->begin(), addresses->end(), address);
  if (at == addresses->end() || *at != address) addresses->insert(at, address);
}

void erase(Addresses* addresses, const IpAddress& address) {
  const auto at = std::lower_bound(addresses->begin(), addresses->end(), address);
  if (at != addresses->end() && *at == address) addresses->erase(at);
}

template <typename Map, typename Key>
const Addresses& addresses_of(const Map& map, const Key& key) {
  const auto at = map.find(key);
  return at == map.end() ? kNone : at->second;
}

}  // namespace

std::uint32_t wanted_maglev_size(const PortRequest& wanted, const IpAddress& address,
                                 std::uint32_t current) {
  if (!wanted.active_members && current != 0) return current;
  const auto family = static_cast<std::size_t>(family_of(address));
  return sticky_maglev_size(current, wanted.active_members ? (*wanted.active_members)[family] : 0);
}

std::size_t LedgerDraft::Hash::operator()(const ServiceRef& s) const noexcept {
  const std::hash<std::string_view> hash;
  return (hash(s.name) * 1000003 + hash(s.ns)) * 1000003 + hash(s.source);
}

LedgerDraft::LedgerDraft(const AllocationInputs& inputs, const Pools& pools)
    : in_(inputs), pools_(pools), unreadable_(inputs.unreadable.begin(), inputs.unreadable.end()) {
  held_.reserve(in_.ledger->size());
  for (const auto& [address, record] : *in_.ledger) {  // In order: so are the lists.
    const auto add = [&, at = &address](const v1::AddressHolder& holder, Addresses* to) {
      to->push_back(*at);
      if (holder.sharing_key().empty()) return;
      insert(&shared_[holder.sharing_key()], *at);
    };
    for (const v1::AddressHolder& holder : record.holders()) {
      add(holder, &held_[ref(holder)].addresses);
    }
    if (record.holders().empty() && record.has_last_holder()) {
      add(record.last_holder(), &last_held_[ref(record.last_holder())]);
    }
  }
}

const Addresses& LedgerDraft::held_by(const ServiceKey& service) const {
  const auto at = held_.find(ref(service));
  return at == held_.end() ? kNone : at->second.addresses;
}

const Addresses& LedgerDraft::last_held_by(const ServiceKey& service) const {
  return addresses_of(last_held_, ref(service));
}

const Addresses& LedgerDraft::shared_by(const std::string& key) const {
  return key.empty() ? kNone : addresses_of(shared_, std::string_view(key));
}

const v1::Address* LedgerDraft::find(const IpAddress& address) const {
  if (const auto at = changed_.find(address); at != changed_.end()) return &at->second;
  const auto at = in_.ledger->find(address);
  return at == in_.ledger->end() ? nullptr : &at->second;
}

v1::Address& LedgerDraft::edit(const IpAddress& address) {
  const auto [at, added] = changed_.try_emplace(address);
  if (!added) return at->second;
  if (const auto old = in_.ledger->find(address); old != in_.ledger->end()) {
    at->second = old->second;
  }
  return at->second;
}

const v1::AddressHolder* LedgerDraft::holder(const IpAddress& address,
                                             const ServiceKey& service) const {
  const v1::Address* record = find(address);
  if (record == nullptr) return nullptr;
  for (const v1::AddressHolder& holder : record->holders()) {
    if (is_of(holder, service)) return &holder;
  }
  return nullptr;
}

bool LedgerDraft::may_share(const v1::Address& record, const v1::AddressHolder& holder,
                            const AddressRequest& request) const {
  if (request.sharing_key.empty() || holder.sharing_key() != request.sharing_key) return false;
  const Sharing sharing = pools_.sharing(record.pool());
  if (sharing == Sharing::anywhere) return true;
  return holder.source() == request.service.source &&
         (sharing == Sharing::in_cluster || holder.namespace_() == request.service.ns);
}

std::optional<Refusal> LedgerDraft::refusal(const IpAddress& address,
                                            const AddressRequest& request) const {
  if (unreadable_.contains(address)) {
    return Refusal{"AddressTaken", address.text() + " has a ledger record that cannot be read"};
  }
  const v1::Address* record = find(address);
  if (record == nullptr) return std::nullopt;
  for (const v1::AddressHolder& holder : record->holders()) {
    if (is_of(holder, request.service)) continue;
    const bool shares = may_share(*record, holder, request);
    const bool clash =
        std::any_of(request.ports.begin(), request.ports.end(),
                    [&](const PortRequest& port) { return holds_port(holder, port); });
    if (shares && !clash) continue;
    const std::string advice =
        shares ? "; Services that share an address need different ports"
               : "; ask for another address, or share it by " + std::string(kSharingAnnotation);
    return Refusal{"AddressTaken", address.text() + " is held by " + holder_text(holder) + advice};
  }
  if (!record->holders().empty()) return std::nullopt;
  return hold_refusal(*record, address, request);
}

std::optional<Refusal> LedgerDraft::hold_refusal(const v1::Address& record,
                                                 const IpAddress& address,
                                                 const AddressRequest& request) const {
  if (record.released_unix_ms() == 0) return std::nullopt;
  const v1::AddressHolder& last = record.last_holder();
  if (record.has_last_holder() &&
      (is_of(last, request.service) || may_share(record, last, request))) {
    return std::nullopt;
  }
  if (in_.now_unix_ms - record.released_unix_ms() < in_.hold_ms) {
    return Refusal{"AddressOnHold", address.text() + " was released a moment ago and is kept for " +
                                        holder_text(last) + "; wait"};
  }
  if (!in_.withdrawn_everywhere(address)) {
    return Refusal{
        "AddressOnHold",
        address.text() + " is still served by a gateway that has not withdrawn it; wait"};
  }
  return std::nullopt;
}

// Makes the holder what the request says, less the ports that others hold; those are told.
std::vector<Refusal> LedgerDraft::set_ports(const AddressRequest& request,
                                            const v1::Address& record, const IpAddress& address,
                                            v1::AddressHolder* holder) {
  std::vector<Refusal> taken;
  const v1::AddressHolder before = *holder;
  holder->clear_ports();
  for (const PortRequest& wanted : request.ports) {
    const auto other = std::find_if(record.holders().begin(), record.holders().end(),
                                    [&](const v1::AddressHolder& h) {
                                      return !is_of(h, request.service) && holds_port(h, wanted);
                                    });
    if (other != record.holders().end()) {
      taken.push_back({"PortTaken", address.text() + " port " + std::to_string(wanted.port) + "/" +
                                        wanted.protocol + " is held by " + holder_text(*other) +
                                        "; choose another port or address"});
      continue;
    }
    v1::HeldPort* port = holder->add_ports();
    port->set_protocol(wanted.protocol);
    port->set_port(wanted.port);
    for (const v1::HeldPort& old : before.ports()) {
      if (old.port() == wanted.port && old.protocol() == wanted.protocol) *port = old;
    }
    const std::uint32_t size = wanted_maglev_size(wanted, address, port->maglev_size());
    if (size == port->maglev_size()) continue;
    port->set_maglev_size(size);
    port->set_epoch(port->epoch() + 1);
  }
  holder->set_uid(request.uid);
  holder->set_sharing_key(request.sharing_key);
  return taken;
}

void LedgerDraft::grant(const IpAddress& address, const std::string& pool,
                        const AddressRequest& request, bool external) {
  if (const v1::AddressHolder* own = holder(address, request.service)) {
    if (own->external_ip() == external) return;
    for (v1::AddressHolder& h : *edit(address).mutable_holders()) {
      if (is_of(h, request.service)) h.set_external_ip(external);
    }
    return;
  }
  v1::Address& record = edit(address);
  if (const v1::Address* before = find(address); before->has_last_holder()) {
    const auto at = last_held_.find(ref(before->last_holder()));
    if (at != last_held_.end()) erase(&at->second, address);
  }
  record.set_address(address.bytes());
  // Who shares it drew it from the pool that let them.
  if (record.holders().empty()) record.set_pool(pool);
  record.set_released_unix_ms(0);
  record.clear_last_holder();
  v1::AddressHolder added;
  added.set_source(request.service.source);
  added.set_namespace_(request.service.ns);
  added.set_name(request.service.name);
  added.set_external_ip(external);
  (void)set_ports(request, record, address, &added);  // refusal() has seen that none is taken.
  *record.add_holders() = std::move(added);
  insert(&held_[ref(request.service)].addresses, address);
  if (!request.sharing_key.empty()) insert(&shared_[request.sharing_key], address);
}

void LedgerDraft::release(const IpAddress& address, const ServiceKey& service) {
  v1::Address& record = edit(address);
  auto& holders = *record.mutable_holders();
  for (int i = 0; i < holders.size(); ++i) {
    if (!is_of(holders[i], service)) continue;
    if (holders.size() == 1) {
      *record.mutable_last_holder() = holders[i];
      record.set_released_unix_ms(in_.now_unix_ms);
    }
    holders.DeleteSubrange(i, 1);
    break;
  }
  if (const auto at = held_.find(ref(service)); at != held_.end()) {
    erase(&at->second.addresses, address);
  }
}

std::vector<Refusal> LedgerDraft::update_ports(const AddressRequest& request) {
  std::vector<Refusal> taken;
  for (const IpAddress& address : held_by(request.service)) {
    const v1::AddressHolder* now = holder(address, request.service);
    if (is_as_wanted(request, address, *now)) continue;
    v1::AddressHolder next = *now;
    for (Refusal& refusal : set_ports(request, *find(address), address, &next)) {
      taken.push_back(std::move(refusal));
    }
    if (next.SerializeAsString() == now->SerializeAsString()) continue;
    for (v1::AddressHolder& held : *edit(address).mutable_holders()) {
      if (is_of(held, request.service)) held = next;
    }
    if (!request.sharing_key.empty()) insert(&shared_[request.sharing_key], address);
  }
  return taken;
}

void LedgerDraft::release_gone() {
  std::unordered_map<std::string_view, bool> known;  // By source: asked once.
  std::set<std::pair<IpAddress, ServiceKey>> gone;
  for (const AddressRequest* request : in_.requests) {
    if (const auto at = held_.find(ref(request->service)); at != held_.end()) {
      at->second.wanted = true;
    }
  }
  for (const auto& [service, held] : held_) {
    if (held.wanted || held.addresses.empty()) continue;
    const auto [source, added] = known.try_emplace(service.source);
    if (added) source->second = in_.services_known(std::string(service.source));
    if (!source->second) continue;
    const ServiceKey key{std::string(service.source), std::string(service.ns),
                         std::string(service.name)};
    for (const IpAddress& address : held.addresses) gone.emplace(address, key);
  }
  for (const auto& [address, service] : gone) release(address, service);
}

void LedgerDraft::correct_times() {
  for (const auto& [address, record] : *in_.ledger) {
    if (record.released_unix_ms() > in_.now_unix_ms) {
      edit(address).set_released_unix_ms(in_.now_unix_ms);
    }
  }
}

std::vector<v1::Address> LedgerDraft::writes() {
  std::vector<v1::Address> written;
  written.reserve(changed_.size());
  for (auto& [address, record] : changed_) {
    record.set_revision(record.revision() + 1);
    written.push_back(std::move(record));
  }
  changed_.clear();
  return written;
}

}  // namespace sluice
