#include "dataplane/server/inspect.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "dataplane/forward/trace.h"
#include "dataplane/server/apply.h"

namespace sluice {
namespace {

constexpr std::uint32_t kDefaultFlows = 1000;
constexpr std::uint32_t kMaxFlows = 100000;

struct FlowFilter {
  std::optional<IpAddress> client;
  std::optional<VipId> vip;
  std::uint32_t limit = kDefaultFlows;

  bool matches(const FlowView& flow) const {
    return (!client || flow.client == *client) &&
           (!vip || (flow.vip == vip->address && flow.vip_port == vip->port &&
                     flow.protocol == vip->protocol));
  }
};

Result<FlowFilter> filter_of(const v1::FlowsRequest& request) {
  FlowFilter filter;
  if (!request.client().empty()) {
    filter.client = IpAddress::from_bytes(request.client());
    if (!filter.client) return Error{"client: an address has 4 or 16 bytes"};
  }
  if (request.has_vip()) {
    Result<VipId> vip = vip_id_of(request.vip());
    if (!vip) return Error{vip.error()};
    filter.vip = *vip;
  }
  if (request.limit() != 0) filter.limit = std::min(request.limit(), kMaxFlows);
  return filter;
}

v1::Flow to_message(const FlowView& flow) {
  v1::Flow message;
  message.set_protocol(static_cast<v1::Protocol>(flow.protocol));
  message.set_client(flow.client.bytes());
  message.set_client_port(flow.client_port);
  message.set_vip(flow.vip.bytes());
  message.set_vip_port(flow.vip_port);
  message.set_backend_id(flow.backend_id);
  message.set_backend(flow.backend.bytes());
  message.set_backend_port(flow.backend_port);
  if (flow.nat) {
    message.set_nat_source(flow.nat_source.bytes());
    message.set_nat_port(flow.nat_port);
  }
  message.set_state(name(flow.state));
  message.set_idle_seconds(flow.idle_seconds);
  message.set_worker(flow.worker);
  return message;
}

Result<TraceInput> input_of(const v1::TraceRequest& request, const std::vector<v1::Port>& all) {
  TraceInput input;
  const std::optional<IpAddress> source = IpAddress::from_bytes(request.source());
  const std::optional<IpAddress> destination = IpAddress::from_bytes(request.destination());
  if (!source || !destination)
    return Error{"source and destination are addresses of 4 or 16 bytes each"};
  if (source->size() != destination->size()) {
    return Error{source->text() + " and " + destination->text() + " are not of one address family"};
  }
  if (request.source_port() > 65535 || request.destination_port() > 65535) {
    return Error{"a port is beyond 65535"};
  }
  if (request.protocol() <= 0 || request.protocol() > 255)
    return Error{"no protocol; TCP or UDP is needed"};
  if (request.tcp_flags() > 255) return Error{"TCP flags are 8 bits"};
  input.source = *source;
  input.destination = *destination;
  input.source_port = static_cast<std::uint16_t>(request.source_port());
  input.destination_port = static_cast<std::uint16_t>(request.destination_port());
  input.protocol = static_cast<std::uint8_t>(request.protocol());
  if (request.tcp_flags() != 0) input.tcp_flags = static_cast<std::uint8_t>(request.tcp_flags());
  if (!request.port().empty()) {
    const auto port = std::find_if(all.begin(), all.end(),
                                   [&](const v1::Port& p) { return p.name() == request.port(); });
    if (port == all.end())
      return Error{"no port is named " + request.port() + "; see `sluice get ports`"};
    input.in_port = static_cast<std::uint16_t>(port - all.begin());
  }
  return input;
}

void fill_backend(v1::Trace& message, const TraceResult& result) {
  message.set_mode(to_message(result.mode));
  message.set_backend_id(result.backend->id);
  message.set_backend(address_of(*result.backend).bytes());
  message.set_backend_port(result.backend->port.host());
}

v1::Trace to_message(const TraceResult& result, const std::vector<v1::Port>& all) {
  v1::Trace message;
  for (const TraceStep& step : result.steps) {
    v1::TraceStep& out = *message.add_steps();
    out.set_stage(step.stage);
    out.set_text(step.text);
  }
  message.set_verdict(result.verdict);
  if (result.reason != DropReason::none) message.set_drop_reason(name(result.reason));
  if (result.vip != nullptr) {
    *message.mutable_vip() = to_message(vip_id_of(*result.vip));
    message.set_service(result.vip->service);
  }
  message.set_flow_exists(result.flow_exists);
  if (result.backend != nullptr) fill_backend(message, result);
  if (result.next_hop.state == NextHopState::reachable) {
    if (result.next_hop.port < all.size())
      message.set_egress_port(all[result.next_hop.port].name());
    message.set_next_hop_mac(result.next_hop.destination_mac,
                             sizeof(result.next_hop.destination_mac));
    // Of a router only the MAC is kept on the packet path.
    if (result.next_hop.on_link != 0) message.set_next_hop(result.towards.bytes());
  }
  message.set_worker(result.worker);
  return message;
}

}  // namespace

ReplyStream flows(const Host& host, const ForwardingState& state, const v1::FlowsRequest& request) {
  Result<FlowFilter> filter = filter_of(request);
  if (!filter) return refusal("flows: " + filter.error());
  auto found = std::make_shared<std::vector<v1::Flow>>();
  bool truncated = false;
  for (const WorkerView& worker : host.workers()) {
    if (worker.pipeline == nullptr || truncated) continue;
    for_each_flow(*worker.pipeline, state, host.now(), [&](const FlowView& flow) {
      if (!filter->matches(flow)) return true;
      truncated = found->size() == filter->limit;
      if (!truncated) found->push_back(to_message(flow));
      return !truncated;
    });
  }
  v1::Reply head;
  head.mutable_flows()->set_truncated(truncated);
  return chunked(std::move(head), found->size(), [found](v1::Reply& reply, std::size_t i) {
    *reply.mutable_flows()->add_flows() = (*found)[i];
    return (*found)[i].ByteSizeLong();
  });
}

ReplyStream trace_packet(const Host& host, const ForwardingState& state,
                         const v1::TraceRequest& request) {
  const std::vector<v1::Port> all = host.ports();
  Result<TraceInput> input = input_of(request, all);
  if (!input) return refusal("trace: " + input.error());
  input->now = host.now();
  std::vector<const Pipeline*> pipelines;
  for (const WorkerView& worker : host.workers()) pipelines.push_back(worker.pipeline);
  v1::Reply reply;
  *reply.mutable_trace() = to_message(trace(*input, state, host.routing(), pipelines), all);
  return one_reply(std::move(reply));
}

ReplyStream ports(const Host& host) {
  v1::Reply reply;
  reply.mutable_ports();
  for (v1::Port& port : host.ports()) *reply.mutable_ports()->add_ports() = std::move(port);
  return one_reply(std::move(reply));
}

}  // namespace sluice
