#include "tests/bench/generator/traffic.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_prefetch.h>

namespace sluice::generator {
namespace {

constexpr std::size_t kIndirection = 512;

template <typename Family>
typename Family::Address address_of(const IpAddress& address) {
  return read_address<Family>(address.data());
}

}  // namespace

Steering queue_steering(unsigned queues) {
  std::vector<std::uint16_t> table(kIndirection);
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = static_cast<std::uint16_t>(i % queues);
  return {Toeplitz(default_rss_key()), std::move(table)};
}

void QueueBatches::flush(std::uint16_t number, Queue& queue) {
  const unsigned sent =
      rte_eth_tx_burst(port_, number, queue.waiting, static_cast<std::uint16_t>(queue.count));
  queue.sent += sent;
  if (sent < queue.count) {
    refused_ += queue.count - sent;
    rte_pktmbuf_free_bulk(queue.waiting + sent, queue.count - sent);
  }
  queue.count = 0;
}

template <typename Family>
Sender<Family>::Sender(const TrafficPlan<Family>& plan, const FrameConfig& config,
                       const EthernetPort& port, rte_mempool* pool, const Pacer& pacer)
    : plan_(plan),
      pool_(pool),
      pacer_(pacer),
      batches_(port),
      address_(address_of<Family>(config.first_client)),
      first_client_(read32(address_.data() + Family::kAddressBytes - 4)),
      fixed_hash_(plan.steering.toeplitz().template destination<Family>(
                      address_of<Family>(config.destination)) ^
                  plan.steering.toeplitz().template destination_port<Family>(
                      Be16::from_host(config.destination_port))),
      many_queues_(port.queues() > 1) {}

template <typename Family>
unsigned Sender<Family>::queue_of(Client client) const {
  if (!many_queues_) [[likely]]
    return 0;
  typename Family::Address address = address_;
  write32(address.data() + Family::kAddressBytes - 4, first_client_ + client.number);
  const Toeplitz& toeplitz = plan_.steering.toeplitz();
  return plan_.steering.owner(fixed_hash_ ^ toeplitz.template source<Family>(address) ^
                              toeplitz.template source_port<Family>(Be16::from_host(client.port)));
}

template <typename Family>
bool Sender<Family>::poll(std::uint64_t now) {
  unsigned count = pacer_.take(now);
  if (count == 0) return true;
  const std::uint32_t left = plan_.schedule.packets() - next_;
  if (count > left) count = left;
  rte_mbuf* packets[Pacer::kLargestBurst];
  // All buffers are in the queues: the other end takes nothing. What is due counts as offered.
  if (rte_pktmbuf_alloc_bulk(pool_, packets, count) != 0) [[unlikely]] {
    next_ += count;
    return next_ != plan_.schedule.packets();
  }
  const std::uint32_t time = stamp_time(rte_rdtsc());
  for (unsigned i = 0; i < count; ++i) {
    const auto packet = plan_.schedule.packet(next_);
    const Client client = plan_.flows.client(packet.flow);
    const unsigned length = plan_.frames.write(rte_pktmbuf_mtod(packets[i], std::uint8_t*), next_,
                                               client, packet.syn, time);
    packets[i]->data_len = static_cast<std::uint16_t>(length);
    packets[i]->pkt_len = length;
    batches_.add(queue_of(client), packets[i]);
    ++next_;
  }
  batches_.flush();
  return next_ != plan_.schedule.packets();
}

template <typename Family>
Receiver<Family>::Receiver(const TrafficPlan<Family>& plan, const EthernetPort& out,
                           const EthernetPort& back, bool reflect)
    : plan_(plan),
      out_(out),
      back_(back),
      reflect_(reflect),
      answers_(back),
      last_(plan.flows.flows()) {
  received_.queues.resize((reflect ? out : back).queues());
}

template <typename Family>
unsigned Receiver<Family>::poll() {
  const EthernetPort& end = reflect_ ? out_ : back_;
  unsigned count = 0;
  for (std::uint16_t queue = 0; queue < end.queues(); ++queue) count += take(end.id(), queue);
  if (out_.id() == back_.id()) return count;
  const EthernetPort& far = reflect_ ? back_ : out_;
  for (std::uint16_t queue = 0; queue < far.queues(); ++queue) {
    if (reflect_) {
      reflect(queue);
      continue;
    }
    // What the gateway sends to the clients' side is none of ours, and must not fill its queue.
    rte_mbuf* packets[kBurst];
    const unsigned others = rte_eth_rx_burst(far.id(), queue, packets, kBurst);
    received_.other += others;
    if (others != 0) rte_pktmbuf_free_bulk(packets, others);
  }
  if (reflect_) answers_.flush();
  return count;
}

template <typename Family>
unsigned Receiver<Family>::take(std::uint16_t port, std::uint16_t queue) {
  rte_mbuf* packets[kBurst];
  const unsigned count = rte_eth_rx_burst(port, queue, packets, kBurst);
  if (count == 0) return 0;
  const std::uint32_t time = stamp_time(rte_rdtsc());
  for (unsigned i = 0; i < count; ++i) rte_prefetch0(rte_pktmbuf_mtod(packets[i], void*));
  unsigned ours = 0;
  for (unsigned i = 0; i < count; ++i) ours += account(packets[i], time) ? 1 : 0;
  rte_pktmbuf_free_bulk(packets, count);
  received_.packets += ours;
  received_.other += count - ours;
  received_.queues[queue] += ours;
  return ours;
}

template <typename Family>
bool Receiver<Family>::account(rte_mbuf* packet, std::uint32_t time) {
  Found found;
  if (!plan_.frames.find(rte_pktmbuf_mtod(packet, std::uint8_t*), packet->data_len, found))
    return false;
  const Stamp stamp = plan_.frames.stamp(found);
  const std::uint32_t flow = plan_.schedule.packet(stamp.sequence).flow;
  const Client client = plan_.flows.client(flow);
  if (!(reflect_ ? plan_.frames.to_client(found, client) : plan_.frames.from_client(found, client)))
      [[unlikely]] {
    ++received_.misdirected;
    return false;
  }
  received_.latency.record(time - stamp.time);
  std::uint32_t& last = last_[flow];
  const std::uint32_t order = stamp.sequence + 1;
  if (order > last) [[likely]] {
    last = order;
  } else if (order == last) {
    ++received_.duplicated;
    return false;
  } else {
    ++received_.reordered;
  }
  return true;
}

template <typename Family>
unsigned Receiver<Family>::answer_queue(const Found& found) const {
  if (received_.queues.size() == 1) [[likely]]
    return 0;
  const std::uint8_t* source = Frames<Family>::source(found);
  Be16 ports[2];
  std::memcpy(ports, found.l4, sizeof(ports));
  return plan_.steering.owner(plan_.steering.toeplitz().template hash<Family>(
      read_address<Family>(source), read_address<Family>(source + Family::kAddressBytes), ports[0],
      ports[1]));
}

template <typename Family>
void Receiver<Family>::reflect(std::uint16_t queue) {
  rte_mbuf* packets[kBurst];
  const unsigned count = rte_eth_rx_burst(back_.id(), queue, packets, kBurst);
  for (unsigned i = 0; i < count; ++i) rte_prefetch0(rte_pktmbuf_mtod(packets[i], void*));
  for (unsigned i = 0; i < count; ++i) {
    auto* frame = rte_pktmbuf_mtod(packets[i], std::uint8_t*);
    Found found;
    if (plan_.frames.find(frame, packets[i]->data_len, found)) {
      plan_.frames.turn_round(frame, found);
      answers_.add(answer_queue(found), packets[i]);
    } else {
      ++received_.other;
      rte_pktmbuf_free(packets[i]);
    }
  }
}

template class Sender<Ipv4>;
template class Sender<Ipv6>;
template class Receiver<Ipv4>;
template class Receiver<Ipv6>;

}  // namespace sluice::generator
