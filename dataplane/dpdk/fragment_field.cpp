#include "dataplane/dpdk/fragment_field.h"

#include <rte_errno.h>

#include <string>

namespace sluice {

Status register_fragment_field() {
  const rte_mbuf_dynfield field{.name = "sluice_fragment_hint",
                                .size = sizeof(FragmentHint),
                                .align = alignof(std::uint32_t),
                                .flags = 0};
  const rte_mbuf_dynflag flag{.name = "sluice_fragment_hint", .flags = 0};
  const int offset = rte_mbuf_dynfield_register(&field);
  const int bit = offset < 0 ? -1 : rte_mbuf_dynflag_register(&flag);
  if (bit < 0) {
    return Error{std::string("packet buffers have no room for fragments' ports: ") +
                 rte_strerror(rte_errno)};
  }
  fragment_field::offset = offset;
  fragment_field::flag = std::uint64_t{1} << bit;
  return Ok{};
}

}  // namespace sluice
