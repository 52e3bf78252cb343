// rtnetlink messages to KernelEvents. Every length is checked before it is used: a message that is
// not well formed, of another family, or of no interest gives std::nullopt. Thread: any. Source:
// rtnetlink(7), linux/rtnetlink.h, linux/neighbour.h, linux/nexthop.h.
#pragma once

#include <optional>

#include "dataplane/kernel/kernel_event.h"

struct nlmsghdr;

namespace sluice {

// `message` must have message->nlmsg_len bytes.
std::optional<KernelEvent> parse_kernel_event(const nlmsghdr* message);

}  // namespace sluice
