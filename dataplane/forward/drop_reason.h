// Every reason a packet is refused for, once: name (of the counter) and help (what it means, what to do).
// Thread: any. Names are lower-case with dashes and never change meaning.
// A refused packet that is answered (TCP RST, ICMP unreachable) counts under its reason as well.
#pragma once

#include <cstdint>

namespace sluice {

// clang-format off
#define SLUICE_DROP_REASONS(X)                                                                                  \
  X(none, "none", "not dropped")                                                                                \
  /* Layer 2 */                                                                                                 \
  X(ethernet_truncated, "ethernet-truncated", "the frame ends inside its Ethernet or VLAN header")              \
  X(ethernet_destination, "ethernet-destination", "the frame is for another machine's MAC; the switch floods or the port is promiscuous") \
  X(ethernet_group, "ethernet-group", "a broadcast or multicast frame carries a packet to a VIP's port; a sender has no ARP/ND entry of the gateway") \
  X(vlan_depth, "vlan-depth", "more than two VLAN tags")                                                        \
  X(split_header, "split-header", "the headers are spread over several buffers; raise the buffer size")         \
  /* IPv4 */                                                                                                    \
  X(ipv4_truncated, "ipv4-truncated", "the frame ends inside the IPv4 header")                                  \
  X(ipv4_version, "ipv4-version", "EtherType IPv4, but the version field is not 4")                             \
  X(ipv4_header_length, "ipv4-header-length", "the IPv4 header length is below 20 bytes or beyond the total length") \
  X(ipv4_total_length, "ipv4-total-length", "the IPv4 total length is beyond the bytes received")               \
  X(ipv4_checksum, "ipv4-checksum", "the IPv4 header checksum is wrong")                                        \
  /* IPv6 */                                                                                                    \
  X(ipv6_truncated, "ipv6-truncated", "the frame ends inside the IPv6 header")                                  \
  X(ipv6_version, "ipv6-version", "EtherType IPv6, but the version field is not 6")                             \
  X(ipv6_payload_length, "ipv6-payload-length", "the IPv6 payload length is beyond the bytes received")         \
  X(ipv6_extension_truncated, "ipv6-extension-truncated", "the packet ends inside an IPv6 extension header")    \
  X(ipv6_extension_count, "ipv6-extension-count", "more than eight IPv6 extension headers")                     \
  X(ipv6_routing_header, "ipv6-routing-header", "an IPv6 routing header with segments left is not served for a VIP") \
  /* Layer 4 */                                                                                                 \
  X(tcp_truncated, "tcp-truncated", "the packet ends inside the TCP header")                                    \
  X(tcp_data_offset, "tcp-data-offset", "the TCP data offset is below 20 bytes or beyond the packet")           \
  X(udp_truncated, "udp-truncated", "the packet ends inside the UDP header")                                    \
  X(udp_length, "udp-length", "the UDP length is below 8 or beyond the packet")                                 \
  X(sctp_truncated, "sctp-truncated", "the packet ends inside the SCTP common header")                          \
  X(icmp_truncated, "icmp-truncated", "the packet ends inside the ICMP header")                                 \
  X(icmp_quote, "icmp-quote", "an ICMP error quotes a packet that contradicts itself, or too little of one")    \
  X(fragment_length, "fragment-length", "a fragment that is empty, no multiple of eight bytes long, or beyond 65,535 bytes") \
  X(fragment_too_short, "fragment-too-short", "the first fragment does not hold the whole transport header")    \
  X(fragment_overlap, "fragment-overlap", "fragments of one datagram overlap, repeat, or disagree about its end") \
  X(fragment_timeout, "fragment-timeout", "the first fragment of the datagram did not come in time, or its flow is unknown") \
  X(fragment_store_full, "fragment-store-full", "more fragmented datagrams, or fragments of one, than there is room for") \
  /* Which VIP */                                                                                               \
  X(martian_source, "martian-source", "the source is an address of this gateway or one no host may have")       \
  X(unserved_port, "unserved-port", "no Service has this port of the VIP; see `sluice get vips`")               \
  X(unserved_protocol, "unserved-protocol", "a VIP's address takes only TCP, UDP, SCTP and ICMP")                     \
  X(no_backend, "no-backend", "the VIP has no usable backend; see `sluice describe service`")                   \
  /* Flows */                                                                                                   \
  X(tcp_no_flow, "tcp-no-flow", "TCP without SYN of a NAT flow that is not (or no longer) known")               \
  X(nat_no_flow, "nat-no-flow", "a packet to a NAT source address and port that no flow uses")                  \
  X(nat_ports_exhausted, "nat-ports-exhausted", "no NAT port towards the backend is free; add addresses to dataplane.nat or backends") \
  X(nat_records_exhausted, "nat-records-exhausted", "verified flows hold the NAT records; raise dataplane.tables.natFlows") \
  X(nat_no_source, "nat-no-source", "the egress port has no NAT source address of this family; give the port one with `ip addr add` or set dataplane.nat") \
  X(dnat_no_flow, "dnat-no-flow", "a backend's packet of a DNAT flow that is not (or no longer) known")         \
  X(dnat_collision, "dnat-collision", "a client uses one port towards two VIPs that lead to one backend; mode nat tells them apart") \
  X(new_flow_budget, "new-flow-budget", "more new NAT flows in one burst than dataplane.tables.newFlowsPerBurst; a flood, or raise it") \
  X(flow_table_full, "flow-table-full", "the connection table refused a new flow; raise dataplane.tables.flows*") \
  X(ttl_expired, "ttl-expired", "the TTL or hop limit ended here")                                              \
  X(icmp_no_flow, "icmp-no-flow", "an ICMP error about a packet of no flow that is known here")                 \
  /* Next hop */                                                                                                \
  X(no_route, "no-route", "the kernel has no route to the destination; see `ip route get`")                     \
  X(route_blackhole, "route-blackhole", "the kernel's route to the destination is a blackhole")                 \
  X(route_local, "route-local", "the route leads to the gateway itself or to a device that is not a port; see `ip route get`") \
  X(dsr_backend_not_on_link, "dsr-backend-not-on-link", "direct return by MAC needs the backend on a port's own network; use mode nat") \
  X(dsr_backend_unresolved, "dsr-backend-unresolved", "the backend's MAC address is not known yet; see `ip neigh`") \
  X(too_big, "too-big", "longer than the MTU of the way to the backend or client; the sender is told where that is allowed") \
  X(tunnel_no_source, "tunnel-no-source", "the egress port has no address of the tunnel's family; give the port one with `ip addr add` or set dataplane.tunnel.sources") \
  X(tunnel_headroom, "tunnel-headroom", "the buffer has no room for the longer headers before the packet") \
  X(udp_no_checksum, "udp-no-checksum", "UDP without checksum cannot cross to IPv6 in fragments or several buffers") \
  X(proxy_headroom, "proxy-headroom", "no room for a PROXY protocol header: the buffer has none before the packet, or it is a fragment") \
  X(sctp_fragment, "sctp-fragment", "NAT cannot change ports in fragments of an SCTP packet, whose CRC32c covers all of it; let SCTP know the path MTU") \
  /* Outside the pipeline */                                                                                    \
  X(fragment_no_buffer, "fragment-no-buffer", "no packet buffer was free for a fragment of a packet longer than its way; raise dataplane.memory.packetBuffers") \
  X(tx_full, "tx-full", "the port's transmit queue was full")                                                   \
  X(hand_over_full, "hand-over-full", "the ring to the worker that owns the flow was full")                     \
  X(slow_path_full, "slow-path-full", "the ring to the slow path was full")                                     \
  X(slow_path_rate, "slow-path-rate", "beyond dataplane.slowPath.packetsPerSecond")
// clang-format on

enum class DropReason : std::uint8_t {
#define X(id, name, help) id,
  SLUICE_DROP_REASONS(X)
#undef X
      count
};

const char* name(DropReason reason);
const char* help(DropReason reason);

}  // namespace sluice
