// Tables of objects as `sluice get` shows them, kubectl's columns where it has them.
// Thread: any, pure.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "control/cli/table.h"
#include "control/model/allocation.h"
#include "control/model/model.h"
#include "control/store/objects.h"
#include "control/store/status.h"

namespace sluice {

struct TableOptions {
  bool wide = false;
  bool namespaces = false;  // A first column NAMESPACE.
  std::chrono::system_clock::time_point now;
  bool sources = false;  // A column SOURCE; always there if wide.
  bool labels = false;   // A last column LABELS.
  bool kinds = false;    // "service/web" for a name.
};

using MergedStatuses = std::map<store::StatusKey, v1::ServiceStatus>;
using Objects = std::vector<const store::StoredObject*>;

Table service_table(const Objects& services, const MergedStatuses& statuses,
                    const TableOptions& options);
// One row a Service: its endpoints as the model works them out from Pods, slices or Endpoints.
Table endpoints_table(const Objects& services, const Model& model, const TableOptions& options);
Table endpoint_slice_table(const Objects& slices, const TableOptions& options);
Table pod_table(const Objects& pods, const TableOptions& options);
Table node_table(const Objects& nodes, const TableOptions& options);
Table namespace_table(const Objects& namespaces, const TableOptions& options);
// Used, on hold and free, by family where a pool has both. Used: addresses of the ledger that someone holds; an address on hold is neither used nor free.
Table pool_table(const Objects& pools, const Ledger& ledger, const TableOptions& options);

// "80/TCP,443:30443/TCP".
std::string ports_text(const v1::ServiceSpec& spec);
// "<pending>" for a LoadBalancer that has no address yet, "<none>" for what never gets one.
std::string external_ip_text(const v1::Service& service, const v1::ServiceStatus* status);
// "Programmed", or the reason of the first thing that is not as it should be.
std::string status_word(const v1::Service& service, const v1::ServiceStatus* status);
// Addresses at most 2^63: "254", "2^64" and the like.
std::string count_text(std::uint64_t count);

}  // namespace sluice
