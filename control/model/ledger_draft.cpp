#include "control/model/ledger_draft.h"

#include <algorithm>
#include <utility>

#include "control/model/maglev_size.h"
#include "control/model/service_plan.h"

namespace sluice {
namespace {

ServiceKey service_of(const v1::AddressHolder& holder) {
  return {holder.source(), holder.namespace_(), holder.name()};
}

bool holds_port(const v1::AddressHolder& holder, const PortRequest& port) {
  return std::any_of(holder.ports().begin(), holder.ports().end(), [&](const v1::HeldPort& held) {
    return held.protocol() == port.protocol && held.port() == port.port;
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

void set_maglev_size(const PortRequest& wanted, const IpAddress& address, v1::HeldPort* port) {
  if (!wanted.active_members && port->maglev_size() != 0) return;
  const auto family = static_cast<std::size_t>(family_of(address));
  const std::size_t members = wanted.active_members ? (*wanted.active_members)[family] : 0;
  const std::uint32_t size = sticky_maglev_size(port->maglev_size(), members);
  if (size == port->maglev_size()) return;
  port->set_maglev_size(size);
  port->set_epoch(port->epoch() + 1);
}

// Makes the holder what the request says, less the ports that others hold; those are told.
std::vector<Refusal> set_ports(const AddressRequest& request, const v1::Address& record,
                               const IpAddress& address, v1::AddressHolder* holder) {
  std::vector<Refusal> taken;
  const v1::AddressHolder before = *holder;
  holder->clear_ports();
  for (const PortRequest& wanted : request.ports) {
    const auto other = std::find_if(
        record.holders().begin(), record.holders().end(), [&](const v1::AddressHolder& h) {
          return service_of(h) != request.service && holds_port(h, wanted);
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
    set_maglev_size(wanted, address, port);
  }
  holder->set_uid(request.uid);
  holder->set_sharing_key(request.sharing_key);
  return taken;
}

}  // namespace

LedgerDraft::LedgerDraft(const AllocationInputs& inputs)
    : in_(inputs),
      records_(*inputs.ledger),
      unreadable_(inputs.unreadable.begin(), inputs.unreadable.end()) {
  for (const auto& [address, record] : records_) {
    for (const v1::AddressHolder& holder : record.holders()) {
      held_[service_of(holder)].insert(address);
      if (!holder.sharing_key().empty()) shared_[holder.sharing_key()].insert(address);
    }
    if (record.holders().empty() && record.has_last_holder()) {
      last_held_[service_of(record.last_holder())].insert(address);
    }
  }
}

std::optional<Refusal> LedgerDraft::refusal(const IpAddress& address,
                                            const AddressRequest& request) const {
  if (unreadable_.contains(address)) {
    return Refusal{"AddressTaken", address.text() + " has a ledger record that cannot be read"};
  }
  const auto at = records_.find(address);
  if (at == records_.end()) return std::nullopt;
  for (const v1::AddressHolder& holder : at->second.holders()) {
    const bool may_share =
        !request.sharing_key.empty() && holder.sharing_key() == request.sharing_key &&
        holder.source() == request.service.source && holder.namespace_() == request.service.ns;
    const bool clash =
        std::any_of(request.ports.begin(), request.ports.end(),
                    [&](const PortRequest& port) { return holds_port(holder, port); });
    if (may_share && !clash) continue;
    const std::string advice =
        may_share ? "; Services that share an address need different ports"
                  : "; ask for another address, or share it by " + std::string(kSharingAnnotation);
    return Refusal{"AddressTaken", address.text() + " is held by " + holder_text(holder) + advice};
  }
  if (!at->second.holders().empty()) return std::nullopt;
  return hold_refusal(at->second, address, request);
}

std::optional<Refusal> LedgerDraft::hold_refusal(const v1::Address& record,
                                                 const IpAddress& address,
                                                 const AddressRequest& request) const {
  if (record.released_unix_ms() == 0) return std::nullopt;
  if (record.has_last_holder() && service_of(record.last_holder()) == request.service) {
    return std::nullopt;
  }
  if (in_.now_unix_ms - record.released_unix_ms() < in_.hold_ms) {
    return Refusal{"AddressOnHold", address.text() + " was released a moment ago and is kept for " +
                                        holder_text(record.last_holder()) + "; wait"};
  }
  if (!in_.withdrawn_everywhere(address)) {
    return Refusal{
        "AddressOnHold",
        address.text() + " is still served by a gateway that has not withdrawn it; wait"};
  }
  return std::nullopt;
}

void LedgerDraft::grant(const IpAddress& address, const std::string& pool,
                        const AddressRequest& request) {
  v1::Address& record = records_[address];
  if (record.has_last_holder()) last_held_[service_of(record.last_holder())].erase(address);
  record.set_address(address.bytes());
  record.set_pool(pool);
  record.set_released_unix_ms(0);
  record.clear_last_holder();
  v1::AddressHolder holder;
  holder.set_source(request.service.source);
  holder.set_namespace_(request.service.ns);
  holder.set_name(request.service.name);
  (void)set_ports(request, record, address, &holder);  // refusal() has seen that none is taken.
  *record.add_holders() = std::move(holder);
  dirty_.insert(address);
  held_[request.service].insert(address);
  if (!request.sharing_key.empty()) shared_[request.sharing_key].insert(address);
}

void LedgerDraft::release(const IpAddress& address, const ServiceKey& service) {
  v1::Address& record = records_[address];
  auto& holders = *record.mutable_holders();
  for (int i = 0; i < holders.size(); ++i) {
    if (service_of(holders[i]) != service) continue;
    if (holders.size() == 1) {
      *record.mutable_last_holder() = holders[i];
      record.set_released_unix_ms(in_.now_unix_ms);
      last_held_[service].insert(address);
    }
    holders.DeleteSubrange(i, 1);
    break;
  }
  dirty_.insert(address);
  held_[service].erase(address);
}

std::vector<Refusal> LedgerDraft::update_ports(const AddressRequest& request) {
  std::vector<Refusal> taken;
  for (const IpAddress& address : held_by(request.service)) {
    v1::Address& record = records_[address];
    for (v1::AddressHolder& holder : *record.mutable_holders()) {
      if (service_of(holder) != request.service) continue;
      const std::string before = holder.SerializeAsString();
      for (Refusal& refusal : set_ports(request, record, address, &holder)) {
        taken.push_back(std::move(refusal));
      }
      if (holder.SerializeAsString() != before) dirty_.insert(address);
      if (!request.sharing_key.empty()) shared_[request.sharing_key].insert(address);
    }
  }
  return taken;
}

void LedgerDraft::release_gone() {
  std::set<ServiceKey> wanted;
  for (const AddressRequest* request : in_.requests) wanted.insert(request->service);
  std::vector<std::pair<IpAddress, ServiceKey>> gone;
  for (const auto& [service, addresses] : held_) {
    if (wanted.contains(service) || !in_.services_known(service.source)) continue;
    for (const IpAddress& address : addresses) gone.emplace_back(address, service);
  }
  for (const auto& [address, service] : gone) release(address, service);
}

std::vector<v1::Address> LedgerDraft::writes() {
  std::vector<v1::Address> changed;
  for (const IpAddress& address : dirty_) {
    v1::Address& record = records_[address];
    record.set_revision(record.revision() + 1);
    changed.push_back(record);
  }
  dirty_.clear();
  return changed;
}

}  // namespace sluice
