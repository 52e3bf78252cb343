// Tables of what the dataplane and the gateways say of themselves. Thread: any, pure.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "control/cli/table.h"
#include "control/store/status.h"
#include "dataplane.pb.h"

namespace sluice {

// `ns`: VIPs of this namespace alone; empty: all.
Table vip_table(const v1::Report& report, const v1::Statistics& statistics, const std::string& ns,
                bool wide);
Table backend_table(const v1::Report& report, const v1::Statistics& statistics, bool wide);
Table port_table(const v1::Ports& ports, bool wide);
Table gateway_table(const std::vector<store::Gateway>& gateways, bool wide,
                    std::chrono::system_clock::time_point now);
Table flow_table(const v1::Flows& flows, bool wide);
// Zero counters are left out unless `all`.
Table drop_table(const v1::Statistics& statistics, bool all);
Table worker_table(const v1::Statistics& statistics);
// A sentence where one worker received more than twice the packets of another; else empty.
std::string imbalance_text(const v1::Statistics& statistics);
// The steps of a trace, and what comes of the packet.
std::string trace_text(const v1::Trace& trace);

std::string address_text(const std::string& bytes);  // "?" for bytes that are no address.
std::string mac_text(const std::string& bytes);
std::string protocol_text(v1::Protocol protocol);
std::string endpoint_text(const std::string& bytes, unsigned port);  // "ADDRESS:PORT".
// Of the Service's name in a VIP, "SOURCE/NAMESPACE/NAME".
std::string namespace_of(const std::string& service);

}  // namespace sluice
