#include "dataplane/server/report.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "dataplane/forward/pipeline.h"
#include "dataplane/server/apply.h"

namespace sluice {
namespace {

// A state's objects in a fixed order; the state is kept alive with them.
struct Listing {
  std::shared_ptr<const ForwardingState> state;
  std::vector<const VipBlock*> vips;
  std::vector<const BackendRecord*> backends;
  std::vector<const AddressBlock*> addresses;
};

Listing list(std::shared_ptr<const ForwardingState> state, bool vips, bool backends,
             bool addresses) {
  Listing all;
  if (vips) state->for_each_vip([&](const VipBlock& vip) { all.vips.push_back(&vip); });
  if (backends)
    state->for_each_backend([&](const BackendRecord& record) { all.backends.push_back(&record); });
  if (addresses)
    state->for_each_address([&](const AddressBlock& block) { all.addresses.push_back(&block); });
  std::sort(all.vips.begin(), all.vips.end(),
            [](const VipBlock* a, const VipBlock* b) { return vip_id_of(*a) < vip_id_of(*b); });
  std::sort(all.addresses.begin(), all.addresses.end(),
            [](const AddressBlock* a, const AddressBlock* b) { return a->address < b->address; });
  all.state = std::move(state);
  return all;
}

// As control gives them: 0, or nothing at all, for the default. What is reported can be compared
// with what is wanted.
void fill_timers(v1::Vip& message, const FlowTimers& timers, const FlowTimers& defaults) {
  const auto seconds = [](std::uint16_t timer, std::uint16_t by_default) {
    return timer == by_default ? 0u : timer / kTicksPerSecond;
  };
  v1::Timers out;
  out.set_tcp_handshake(seconds(timers.tcp_handshake, defaults.tcp_handshake));
  out.set_tcp_established(seconds(timers.tcp_established, defaults.tcp_established));
  out.set_tcp_closing(seconds(timers.tcp_closing, defaults.tcp_closing));
  out.set_udp(seconds(timers.udp, defaults.udp));
  out.set_udp_weak(seconds(timers.udp_weak, defaults.udp_weak));
  if (out.ByteSizeLong() > 0) *message.mutable_timers() = out;
}

void fill(v1::Vip& message, const VipBlock& vip, const FlowTimers& defaults) {
  *message.mutable_key() = to_message(vip_id_of(vip));
  message.set_id(vip.id);
  message.set_service(vip.service);
  message.set_mode(to_message(vip.mode));
  message.set_maglev_size(vip.maglev_size);
  message.set_proxy_protocol(vip.proxy_protocol);
  message.set_quic(vip.quic);
  for (const VipBlock::Member& member : vip.members) {
    v1::Member& out = *message.add_members();
    out.set_backend(member.backend);
    out.set_weight(member.weight);
    out.set_draining(member.draining);
    out.set_masked(member.masked);
  }
  fill_timers(message, vip.timers, defaults);
}

// The UDP port is reported as a number also where it was given as 0, the default.
void fill(v1::Overlay& message, const OverlayRecord& overlay) {
  message.set_kind(overlay.kind == OverlayKind::vxlan ? v1::OVERLAY_KIND_VXLAN
                                                      : v1::OVERLAY_KIND_IPIP);
  message.set_remote(overlay.remote, overlay.remote_bytes);
  if (overlay.kind != OverlayKind::vxlan) return;
  message.set_vni(overlay.vni);
  message.set_port(overlay.port.host());
  message.set_mac(overlay.mac, sizeof(overlay.mac));
}

void fill(v1::Backend& message, const BackendRecord& record, const BackendInfo& info,
          const OverlayRecord* overlay) {
  message.set_id(record.id);
  message.set_address(address_of(record).bytes());
  message.set_port(record.port.host());
  message.set_name(info.name);
  message.set_target(info.target);
  if (overlay != nullptr) fill(*message.mutable_overlay(), *overlay);
}

// nullptr: it is reached without one.
const OverlayRecord* overlay_of(const ForwardingState& state, const BackendRecord& record) {
  return record.overlay == OverlayKind::none ? nullptr : state.overlay(record.id);
}

void fill(v1::ServedAddress& message, const AddressBlock& block) {
  message.set_address(block.address.bytes());
  message.set_unserved_ports(block.unserved == Unserved::reject ? v1::UNSERVED_PORTS_REJECT
                                                                : v1::UNSERVED_PORTS_DROP);
}

void fill(v1::UnsweptId& message, const Generations::Unswept& unswept) {
  message.set_backend(unswept.backend);
  message.set_id(unswept.id);
  message.set_generation(unswept.generation);
}

void add_drops(v1::Statistics& message, const Host& host) {
  for (unsigned i = 1; i < static_cast<unsigned>(DropReason::count); ++i) {  // 0 is "not dropped".
    v1::DropCounter& drop = *message.add_drops();
    std::uint64_t packets = 0;
    for (const WorkerView& worker : host.workers()) packets += worker.counters->drops[i].read();
    drop.set_reason(name(static_cast<DropReason>(i)));
    drop.set_help(help(static_cast<DropReason>(i)));
    drop.set_packets(packets);
  }
  for (const NamedCounter& counter : host.counters()) {
    v1::DropCounter& drop = *message.add_drops();
    drop.set_reason(counter.name);
    drop.set_help(counter.help);
    drop.set_packets(counter.value);
  }
}

void add_worker(v1::WorkerCounters& message, const WorkerView& worker, std::uint32_t number) {
  const WorkerCounters& counters = *worker.counters;
  message.set_worker(number);
  message.set_lcore(worker.lcore);
  message.set_received(counters.received.read());
  message.set_transmitted(counters.transmitted.read());
  message.set_handed_over(counters.handed_over.read());
  message.set_punted(counters.punted.read());
  message.set_polls(counters.polls.read());
  message.set_empty_polls(counters.empty_polls.read());
  if (worker.pipeline == nullptr) return;
  message.set_flows_ipv4(worker.pipeline->flows_ipv4().size());
  message.set_flows_ipv6(worker.pipeline->flows_ipv6().size());
  message.set_weak_ipv4(worker.pipeline->flows_ipv4().weak());
  message.set_weak_ipv6(worker.pipeline->flows_ipv6().weak());
  message.set_capacity_ipv4(worker.pipeline->flows_ipv4().capacity());
  message.set_capacity_ipv6(worker.pipeline->flows_ipv6().capacity());
  message.set_nat_records(worker.pipeline->nat_records());
}

void fill(v1::VipCounters& message, const VipBlock& vip, const VipTotals& totals) {
  *message.mutable_key() = to_message(vip_id_of(vip));
  message.set_service(vip.service);
  message.set_packets_in(totals.packets_in);
  message.set_bytes_in(totals.bytes_in);
  message.set_packets_out(totals.packets_out);
  message.set_bytes_out(totals.bytes_out);
  message.set_new_flows(totals.new_flows);
  message.set_no_backend(totals.no_backend);
}

void fill(v1::BackendCounters& message, const BackendRecord& record, const BackendInfo& info,
          const BackendTotals& totals) {
  message.set_id(record.id);
  message.set_name(info.name);
  message.set_target(info.target);
  message.set_packets_in(totals.packets_in);
  message.set_bytes_in(totals.bytes_in);
  message.set_packets_out(totals.packets_out);
  message.set_bytes_out(totals.bytes_out);
  message.set_new_flows(totals.new_flows);
}

// Appends one more message to a repeated field and returns its size.
template <typename Message, typename... From>
std::size_t append(Message* message, const From&... from) {
  fill(*message, from...);
  return message->ByteSizeLong();
}

}  // namespace

ReplyStream report(const Generations& generations, const std::string& boot,
                   const FlowTimers& defaults, bool full) {
  v1::Reply head;
  head.mutable_report()->set_boot(boot);
  head.mutable_report()->set_generation(generations.serving()->generation());
  head.mutable_report()->set_swept_generation(generations.swept());
  head.mutable_report()->set_maglev_seed(generations.serving()->maglev_seed());
  if (!full) return one_reply(std::move(head));
  auto all = std::make_shared<const Listing>(list(generations.serving(), true, true, true));
  auto unswept = std::make_shared<const std::vector<Generations::Unswept>>(generations.unswept());
  const std::size_t count =
      unswept->size() + all->addresses.size() + all->backends.size() + all->vips.size();
  return chunked(std::move(head), count, [all, unswept, defaults](v1::Reply& reply, std::size_t i) {
    v1::Report& out = *reply.mutable_report();
    if (i < unswept->size()) return append(out.add_unswept(), (*unswept)[i]);
    i -= unswept->size();
    if (i < all->addresses.size()) return append(out.add_addresses(), *all->addresses[i]);
    i -= all->addresses.size();
    if (i < all->backends.size()) {
      const BackendRecord& record = *all->backends[i];
      return append(out.add_backends(), record, *all->state->backend_info(record.id),
                    overlay_of(*all->state, record));
    }
    return append(out.add_vips(), *all->vips[i - all->backends.size()], defaults);
  });
}

ReplyStream statistics(const Host& host, const Generations& generations,
                       const v1::StatisticsRequest& request) {
  v1::Reply head;
  v1::Statistics first;
  add_drops(first, host);
  if (request.workers()) {
    for (std::uint32_t i = 0; i < host.workers().size(); ++i) {
      add_worker(*first.add_workers(), host.workers()[i], i);
    }
  }
  head.mutable_statistics();
  auto all = std::make_shared<const Listing>(
      list(generations.serving(), request.vips(), request.backends(), false));
  // Item 0 is what there is once; chunked() copies the head into every reply.
  return chunked(std::move(head), 1 + all->vips.size() + all->backends.size(),
                 [all, &generations, first](v1::Reply& reply, std::size_t i) {
                   v1::Statistics& out = *reply.mutable_statistics();
                   if (i == 0) {
                     out = first;
                     return first.ByteSizeLong();
                   }
                   i -= 1;
                   if (i < all->vips.size()) {
                     const VipBlock& vip = *all->vips[i];
                     return append(out.add_vips(), vip, generations.vip_totals(vip));
                   }
                   const BackendRecord& record = *all->backends[i - all->vips.size()];
                   return append(out.add_backends(), record, *all->state->backend_info(record.id),
                                 generations.backend_totals(record.id));
                 });
}

}  // namespace sluice
