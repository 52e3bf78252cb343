// Flows, trace and ports: what the packet path holds, and what it would do, as messages.
// Thread: the server's, while workers run: values may be a moment old. Errors: a refusal that says
// what of the request is wrong.
#pragma once

#include "dataplane.pb.h"
#include "dataplane/forward/state.h"
#include "dataplane/server/host.h"
#include "dataplane/server/reply_stream.h"

namespace sluice {

ReplyStream flows(const Host& host, const ForwardingState& state, const v1::FlowsRequest& request);
ReplyStream trace_packet(const Host& host, const ForwardingState& state,
                         const v1::TraceRequest& request);
ReplyStream ports(const Host& host);

}  // namespace sluice
