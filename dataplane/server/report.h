// Report and statistics: the forwarding state and its counters, as messages.
// Thread: the server's. Ownership: the streams keep the state they read from; host and generations
// must outlive them.
#pragma once

#include <string>

#include "dataplane.pb.h"
#include "dataplane/server/generations.h"
#include "dataplane/server/host.h"
#include "dataplane/server/reply_stream.h"

namespace sluice {

// `full`: also VIPs, backends and addresses, each in a fixed order, over several replies. Timers
// that are `defaults` are left out, as control does.
ReplyStream report(const Generations& generations, const std::string& boot,
                   const FlowTimers& defaults, bool full);
ReplyStream statistics(const Host& host, const Generations& generations,
                       const v1::StatisticsRequest& request);

}  // namespace sluice
