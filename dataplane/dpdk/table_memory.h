// Memory of the connection tables: DPDK's, on a worker's NUMA node and in huge pages where EAL has
// them; else the heap, and the log says so. Thread: allocate and release from the thread that makes
// and drops pipelines.
#pragma once

#include "dataplane/table/connection_table.h"

namespace sluice {

TableMemory dpdk_table_memory(int socket);

}  // namespace sluice
