#include "dataplane/forward/nat.h"

#include <algorithm>

namespace sluice {
namespace {

template <typename Family>
const std::vector<NatSource<Family>>& of_family(const NatSources& sources) {
  if constexpr (Family::kAddressBytes == 4) {
    return sources.ipv4;
  } else {
    return sources.ipv6;
  }
}

template <typename To, typename From>
typename To::Address in_family(const typename From::Address& address) {
  if constexpr (To::kAddressBytes == From::kAddressBytes) {
    return address;
  } else {
    return map_to_ipv6(address);
  }
}

// A starting point that differs per backend and process: ports of the time before a restart, which
// backends may still hold open, are then unlikely to come first.
std::uint16_t first_cursor(std::uint64_t seed, std::uint32_t backend, PortRange range) {
  const std::uint64_t mixed = (seed ^ backend) * 0x9e3779b97f4a7c15u;
  const std::uint32_t ports = range.last - range.first + 1u;
  return static_cast<std::uint16_t>(range.first + ((mixed >> 32) * ports >> 32));
}

}  // namespace

template <typename Family>
bool NatFlows<Family>::create(Table& table, std::uint32_t capacity, std::uint32_t backends,
                              std::uint16_t worker, std::uint64_t port_seed,
                              const TableMemory& memory) {
  table_ = &table;
  worker_ = worker;
  port_seed_ = port_seed;
  cursors_.assign(backends, 0);
  constexpr std::uint32_t kMax = NatRecords<Family>::kMax;
  return records_.create(capacity < kMax ? capacity : kMax, memory);
}

template <typename Family>
typename NatFlows<Family>::Started NatFlows<Family>::start(const NatFlowRequest<Family>& request,
                                                           Ticks now) {
  WayBack<Family> way;
  if (const DropReason reason = choose_way_back(request, way, now); reason != DropReason::none)
    return {0, reason};
  return begin_free(request, way, now);
}

template <typename Family>
bool NatFlows<Family>::propose(const NatFlowRequest<Family>& request, WayBack<Family>& way) {
  if (request.backend.address_bytes != Family::kAddressBytes) return false;
  if (request.vip.mode == Mode::dnat) {
    set_client_way(request, way);
    return true;
  }
  if (request.sources == nullptr) return false;
  for (const std::uint16_t port_id : {request.egress_port, std::uint16_t{0xffff}}) {
    for (const NatSource<Family>& source : of_family<Family>(*request.sources)) {
      if (source.port_id != port_id) continue;
      const std::uint16_t port = next_port(request, source);
      if (port != 0) set_way(request, source, port, way);
      return port != 0;
    }
  }
  return false;
}

template <typename Family>
typename NatFlows<Family>::Started NatFlows<Family>::begin(const NatFlowRequest<Family>& request,
                                                           const WayBack<Family>& way, Ticks now) {
  if (in_use(request, way)) [[unlikely]]
    return start(request, now);
  return begin_free(request, way, now);
}

template <typename Family>
typename NatFlows<Family>::Started NatFlows<Family>::begin_free(
    const NatFlowRequest<Family>& request, const WayBack<Family>& way, Ticks now) {
  const std::uint32_t index = take_record(now);
  if (index == NatRecords<Family>::kNone) return {0, DropReason::nat_records_exhausted};
  Record& record = records_[index];
  record.forward = request.key;
  record.protocol = request.vip.protocol;
  std::memcpy(record.vip.data(), request.vip.address.data(), Family::kAddressBytes);
  record.vip_counter = request.vip.counter;
  record.backend_id = request.backend.id;
  record.backend = {request.backend.template as<Family>(), request.backend.port};
  record.source = way.source;
  record.reverse_id = way.id;
  record.created = record.seen = now;
  record.state = record.tcp() && request.opens ? FlowState::handshake : FlowState::weak;
  if (!insert_entries(request, way, index, now)) return {0, DropReason::flow_table_full};
  return {index, DropReason::none};
}

template <typename Family>
std::uint32_t NatFlows<Family>::take_record(Ticks now) {
  const std::uint32_t index = records_.take();
  if (index != NatRecords<Family>::kNone) [[likely]]
    return index;
  const std::uint32_t weak = records_.longest_idle_to_give_way(now);
  if (weak == NatRecords<Family>::kNone) return weak;
  end(weak, false);
  return records_.take();
}

template <typename Family>
DropReason NatFlows<Family>::choose_way_back(const NatFlowRequest<Family>& request,
                                             WayBack<Family>& way, Ticks now) {
  if (request.vip.mode == Mode::dnat) {
    set_client_way(request, way);
    return table_->find(way.reverse, way.hash) != kNoSlot ? DropReason::dnat_collision
                                                          : DropReason::none;
  }
  bool any_source = false;
  bool found;
  if (request.backend.address_bytes < Family::kAddressBytes) {  // NAT64.
    found = choose_source<Ipv4>(request, way, any_source, now);
    has_crossed_ = has_crossed_ || found;
  } else {
    found = choose_source<Family>(request, way, any_source, now);
  }
  if (found) return DropReason::none;
  return any_source ? DropReason::nat_ports_exhausted : DropReason::nat_no_source;
}

// The egress port's own address first, then the addresses set apart for NAT; a port that is free
// before one that is taken from another flow.
template <typename Family>
template <typename Side>
bool NatFlows<Family>::choose_source(const NatFlowRequest<Family>& request, WayBack<Family>& way,
                                     bool& any_source, Ticks now) {
  if (request.sources == nullptr) return false;
  Yielding yielding;
  for (const std::uint16_t port_id : {request.egress_port, std::uint16_t{0xffff}}) {
    for (const NatSource<Side>& source : of_family<Side>(*request.sources)) {
      if (source.port_id != port_id) continue;
      any_source = true;
      if (choose_port(request, source, way, yielding, now)) return true;
    }
  }
  if (yielding.record == NatRecords<Family>::kNone) return false;
  end(yielding.record, false);
  way = yielding.way;
  return true;
}

template <typename Family>
template <typename Side>
bool NatFlows<Family>::choose_port(const NatFlowRequest<Family>& request,
                                   const NatSource<Side>& source, WayBack<Family>& way,
                                   Yielding& yielding, Ticks now) {
  const unsigned ports = request.sources->last_port - request.sources->first_port + 1u;
  for (unsigned left = std::min(ports, kNatPortsTried); left > 0; --left) {
    const std::uint16_t port = next_port(request, source);
    if (port == 0) return false;
    set_way(request, source, port, way);
    if (!in_use(request, way)) return true;
    if (yielding.record == NatRecords<Family>::kNone && yields(way, yielding.record, now))
      yielding.way = way;
    if (yielding.record != NatRecords<Family>::kNone) left = std::min(left, kNatPortsTriedInFlood);
  }
  return false;
}

template <typename Family>
bool NatFlows<Family>::yields(const WayBack<Family>& way, std::uint32_t& record, Ticks now) const {
  const Slot slot = table_->find(way.reverse, way.hash);
  if (slot == kNoSlot || table_->link(slot) == kNatTombstone) return false;
  const std::uint32_t index = table_->link(slot).index();
  if (!records_[index].gives_way() || now - records_[index].seen < kNatPortYields) return false;
  record = index;
  return true;
}

// 0: no port's replies come to this worker.
template <typename Family>
template <typename Side>
std::uint16_t NatFlows<Family>::next_port(const NatFlowRequest<Family>& request,
                                          const NatSource<Side>& source) {
  const PortRange range{request.sources->first_port, request.sources->last_port};
  const std::uint32_t backend = request.backend.id;
  if (backend >= cursors_.size() || range.first == 0 || range.last < range.first) return 0;
  std::uint16_t& cursor = cursors_[backend];
  if (cursor < range.first || cursor > range.last)
    cursor = first_cursor(port_seed_, backend, range);
  std::uint16_t port = cursor;
  if (request.steering != nullptr) {
    const std::uint32_t reply_hash =
        nat_reply_hash<Side>(request.steering->toeplitz(), request.backend.template as<Side>(),
                             request.backend.port, source.address);
    port = next_nat_port<Side>(*request.steering, worker_, reply_hash, range, cursor);
    if (port == 0) return 0;
  }
  cursor = port == range.last ? range.first : static_cast<std::uint16_t>(port + 1);
  return port;
}

template <typename Family>
template <typename Side>
void NatFlows<Family>::set_way(const NatFlowRequest<Family>& request, const NatSource<Side>& source,
                               std::uint16_t port, WayBack<Family>& way) const {
  way.source = {in_family<Family, Side>(source.address), Be16::from_host(port)};
  way.id = source.id(request.vip.protocol);
  way.reverse = flow_words<Family>(
      {request.backend.template as<Family>(), request.backend.port, way.source.port, way.id});
  way.hash = table_->hash(way.reverse);
}

// DNAT's: the client's own address and port.
template <typename Family>
void NatFlows<Family>::set_client_way(const NatFlowRequest<Family>& request,
                                      WayBack<Family>& way) const {
  way.source = {request.key.client, request.key.client_port};
  way.id = dnat_reply_id<Family>(request.backend.template as<Family>(), request.vip.protocol);
  way.reverse = flow_words<Family>(
      {request.key.client, request.key.client_port, request.backend.port, way.id});
  way.hash = table_->hash(way.reverse);
}

template <typename Family>
bool NatFlows<Family>::in_use(const NatFlowRequest<Family>& request,
                              const WayBack<Family>& way) const {
  if (table_->find(way.reverse, way.hash) != kNoSlot) return true;
  const BackendRecord& backend = request.backend;
  if (is_dnat_reply(way.id) || backend.address_bytes != 4 || other_ == nullptr) return false;
  using Across = Other<Family>;
  if (Family::kAddressBytes == 4 && !other_->has_crossed_) [[likely]]
    return false;
  return other_->has_entry({backend.template as<Across>(), backend.port, way.source.port, way.id});
}

template <typename Family>
bool NatFlows<Family>::insert_entries(const NatFlowRequest<Family>& request,
                                      const WayBack<Family>& way, std::uint32_t index, Ticks now) {
  const FlowState state = records_[index].state;
  const FlowLink link = FlowLink::nat(index);
  if (table_->insert(request.key, request.hash, link, state, now, evicted, this) == kNoSlot) {
    finish();
    records_.give_back(index);
    return false;
  }
  finish();
  if (table_->insert(way.reverse, way.hash, link, state, now, evicted, this) == kNoSlot) {
    end(index, false);
    return false;
  }
  finish();
  // The second entry may have taken the place of the first, being weak; then the flow has ended
  // already.
  return records_[index].state != FlowState::empty;
}

template <typename Family>
void NatFlows<Family>::end(std::uint32_t index, bool time_wait) {
  finish();
  if (mark_ending(index, time_wait)) finish();
}

template <typename Family>
void NatFlows<Family>::set_state(std::uint32_t index, FlowState state, Ticks now) {
  Record& record = records_[index];
  record.state = state;
  for (const FlowKey<Family>& key : {record.forward, record.reverse()}) {
    const Slot slot = table_->find(key, table_->hash(key));
    if (slot != kNoSlot) table_->touch(slot, state, now);
  }
}

template <typename Family>
bool NatFlows<Family>::mark_ending(std::uint32_t index, bool time_wait) {
  Record& record = records_[index];
  if ((record.flags & Record::kEnding) != 0) return true;
  if (ending_count_ == kMaxEnding) return false;
  record.flags |= Record::kEnding;
  // Only a port of ours must rest.
  if (time_wait && !record.dnat()) record.flags |= Record::kTimeWait;
  ending_[ending_count_++] = index;
  return true;
}

template <typename Family>
void NatFlows<Family>::evicted(void* context, const Entry& entry) {
  auto& self = *static_cast<NatFlows*>(context);
  if (entry.link.is_nat() && entry.link != kNatTombstone)
    self.mark_ending(entry.link.index(), false);
}

template <typename Family>
bool NatFlows<Family>::expired(const Entry& entry, const ForwardingState& state, Ticks now) {
  if (entry.link == kNatTombstone) return idle_ticks(now, entry.age) >= kNatPortRest;
  const std::uint32_t index = entry.link.index();
  const Record& record = records_[index];
  const bool forward = entry.key.vip_id == record.forward.vip_id;
  if ((record.flags & Record::kEnding) == 0) {
    const VipBlock* vip = state.find_vip(record.forward.vip_id, record.forward.vip_port);
    const bool gone = vip == nullptr || state.backend(record.backend_id) == nullptr;
    if (!gone && now - record.seen <= record.timer(vip->timers)) return false;
    // A handshake that came to nothing leaves no connection behind for whom the port must rest.
    const bool time_wait = record.tcp() && (record.flags & Record::kProven) != 0;
    if (!mark_ending(index, time_wait)) return false;  // Many at once: the next round takes it.
  }
  return forward || (record.flags & Record::kTimeWait) == 0;
}

template <typename Family>
bool NatFlows<Family>::finish() {
  if (ending_count_ == 0) [[likely]]
    return false;
  for (unsigned i = 0; i < ending_count_; ++i) take_away(ending_[i]);
  ending_count_ = 0;
  return true;
}

template <typename Family>
void NatFlows<Family>::take_away(std::uint32_t index) {
  const Record& record = records_[index];
  const FlowLink link = FlowLink::nat(index);
  const FlowKey<Family> reverse = record.reverse();
  if (const Slot slot = table_->find(record.forward, table_->hash(record.forward));
      slot != kNoSlot && table_->link(slot) == link) {
    table_->erase(slot);
  }
  if (const Slot slot = table_->find(reverse, table_->hash(reverse));
      slot != kNoSlot && table_->link(slot) == link) {
    if ((record.flags & Record::kTimeWait) != 0) {
      table_->set_link(slot, kNatTombstone);
      table_->touch(slot, FlowState::closing, record.seen);
    } else {
      table_->erase(slot);
    }
  }
  records_.give_back(index);
}

template class NatFlows<Ipv4>;
template class NatFlows<Ipv6>;

}  // namespace sluice
