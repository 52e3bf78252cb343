// RSS: has a NIC spread flows over its queues by a hash that we can compute as well, and learns
// which worker it gives a hash to.
//
// Thread: the main thread, while the port is set up. Errors: none; a port that cannot do it (or
// does it in a way we cannot follow) is steered by software.
#pragma once

#include <rte_ethdev.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/table/steering.h"

namespace sluice {

// Before rte_eth_dev_configure(): asks for hashing over addresses and ports, with our key. The
// key's bytes live in `key`, which must outlive the call of configure.
void request_rss(const rte_eth_dev_info& info, rte_eth_conf& conf, std::vector<std::uint8_t>& key);

// After start: sets the indirection table to take the queues in turn, reads it and the key back.
// nullptr when the port does not hash TCP and UDP of both families in a way we know.
std::shared_ptr<const Steering> learn_rss(std::uint16_t port, std::uint16_t queues,
                                          unsigned workers);

// For ports that do not hash: all workers in turn.
std::shared_ptr<const Steering> software_steering(unsigned workers);

}  // namespace sluice
