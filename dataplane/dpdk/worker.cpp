#include "dataplane/dpdk/worker.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_pause.h>
#include <sys/prctl.h>
#include <time.h>

#include "dataplane/dpdk/burst_mbufs.h"
#include "dataplane/dpdk/split_mbuf.h"
#include "dataplane/kernel/frame.h"

namespace sluice {
namespace {

// Idle policy back-off: so many polls without a packet are spent awake; then sleeps that grow. The
// longest bounds what a first packet waits.
constexpr unsigned kAwakePolls = 64;
constexpr long kFirstSleepNs = 10'000;
constexpr long kLongestSleepNs = 100'000;

// A VLAN tag that the driver took off goes back, so that the packet is as it was on the wire.
// nullptr: no room for it.
rte_mbuf* restore_tag(rte_mbuf* packet) {
  if ((packet->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) == 0) [[likely]]
    return packet;
  return rte_vlan_insert(&packet) == 0 ? packet : nullptr;
}

}  // namespace

Worker::Worker(unsigned number, const Ports& ports, Exchange& exchange,
               std::unique_ptr<WorkerCounters> counters, std::unique_ptr<Pipeline> pipeline)
    : number_(number),
      exchange_(exchange),
      counters_(std::move(counters)),
      pipeline_(std::move(pipeline)),
      transmitter_(number, ports, exchange.transmit, *counters_),
      to_worker_(exchange.hand_over.size()),
      longest_rest_cycles_(rte_get_tsc_hz() / (1'000'000'000 / kLongestSleepNs)) {
  const auto workers = static_cast<unsigned>(exchange.hand_over.size());
  for (const Port& port : ports.all()) {
    for (std::uint16_t queue = 0; queue < port.rx_queues; ++queue) {
      if (queue % workers == number) queues_.push_back({port.id, queue, port.rss || workers == 1});
    }
  }
}

void Worker::run() {
  prctl(PR_SET_TIMERSLACK, 1UL);  // Sleeps are meant as short as they are.
  exchange_.rcu->online(number_);
  TickCounter ticks(exchange_.clock, rte_rdtsc());
  unsigned empty_polls = 0;
  while (!exchange_.stop.load(std::memory_order_relaxed)) {
    const std::uint64_t counter = rte_rdtsc();
    burst_.milliseconds = ticks.milliseconds(counter);
    const unsigned packets = poll(ticks.at(counter));
    exchange_.rcu->quiescent(number_);
    counters_->polls.add(1);
    if (packets != 0) [[likely]] {
      empty_polls = 0;
      continue;
    }
    counters_->empty_polls.add(1);
    rest(empty_polls);
  }
  exchange_.rcu->offline(number_);
}

unsigned Worker::poll(Ticks now) {
  const ForwardingState& state = *exchange_.state.load(std::memory_order_acquire);
  rte_mbuf* packets[Burst::kMax];
  unsigned total = 0;
  for (const RxQueue& queue : queues_) {
    const unsigned count = rte_eth_rx_burst(queue.port, queue.queue, packets, Burst::kMax);
    if (count == 0) continue;
    counters_->received.add(count);
    process(packets, count, queue.steered, state, now);
    total += count;
  }
  if (const unsigned count = exchange_.hand_over[number_]->dequeue(packets, Burst::kMax);
      count != 0) {
    process(packets, count, true, state, now);
    total += count;
  }
  if (const unsigned count = exchange_.transmit[number_]->dequeue(packets, Burst::kMax);
      count != 0) {
    for (unsigned i = 0; i < count; ++i) transmitter_.add(packets[i]->port, packets[i]);
    total += count;
  }
  process_released(state, now);
  transmitter_.flush();
  free_expired();
  if (pipeline_->sweep(state, now)) sweep_rounds_.fetch_add(1, std::memory_order_release);
  return total;
}

void Worker::process(rte_mbuf** packets, unsigned count, bool steered, const ForwardingState& state,
                     Ticks now) {
  fill(packets, count, steered);
  pipeline_->process(burst_, state, *exchange_.routing, now);
  dispatch();
}

void Worker::process_released(const ForwardingState& state, Ticks now) {
  ReleasedFragment released[Burst::kMax];
  rte_mbuf* packets[Burst::kMax];
  const unsigned count = pipeline_->take_released(released, Burst::kMax);
  if (count == 0) [[likely]]
    return;
  for (unsigned i = 0; i < count; ++i) {
    packets[i] = static_cast<rte_mbuf*>(released[i].handle);
    put_fragment_hint(packets[i], released[i].hint);
  }
  process(packets, count, true, state, now);
}

void Worker::free_expired() {
  void* expired[Burst::kMax];
  const unsigned count = pipeline_->take_expired(expired, Burst::kMax);
  for (unsigned i = 0; i < count; ++i) rte_pktmbuf_free(static_cast<rte_mbuf*>(expired[i]));
}

void Worker::fill(rte_mbuf** packets, unsigned count, bool steered) {
  clear_burst(burst_, steered);
  for (unsigned i = 0; i < count; ++i) {
    rte_mbuf* packet = restore_tag(packets[i]);
    if (packet == nullptr) [[unlikely]] {
      refuse(&packets[i], 1, DropReason::split_header);
      continue;
    }
    add_to_burst(burst_, packet);
  }
}

void Worker::dispatch() {
  dropped_.count = control_.count = punted_.count = unresolved_.count = 0;
  for (unsigned i = 0; i < burst_.count; ++i) {
    auto* packet = static_cast<rte_mbuf*>(burst_.handle[i]);
    switch (burst_.verdict[i]) {
      case Verdict::transmit:
        transmitter_.add(burst_.out_port[i], take_from_burst(burst_, i));
        break;
      case Verdict::hand_over:
        if (!burst_.hint(i).empty()) put_fragment_hint(packet, burst_.hint(i));
        to_worker_[burst_.out_worker[i]].add(packet);
        break;
      case Verdict::punt:
        (frame_is_control(burst_.data[i], burst_.length[i]) ? control_ : punted_).add(packet);
        break;
      case Verdict::split:
        split(i);
        break;
      case Verdict::resolve:
        if (burst_.mtu[i] != 0) {
          split(i);
          break;
        }
        take_from_burst(burst_, i);
        packet->hash.usr = burst_.next_hop[i];
        unresolved_.add(packet);
        break;
      case Verdict::hold:
        break;
      case Verdict::drop:
      case Verdict::pending:
        dropped_.add(packet);
        break;
    }
  }
  hand_over();
  if (control_.count != 0) to_slow_path(control_, *exchange_.punt_control);
  if (punted_.count != 0) limit_punted();
  if (unresolved_.count != 0) to_slow_path(unresolved_, *exchange_.resolve);
  if (dropped_.count != 0) rte_pktmbuf_free_bulk(dropped_.packets, dropped_.count);
}

void Worker::split(unsigned i) {
  rte_mbuf* packet = take_from_burst(burst_, i);
  Batch made;
  static_assert(kMostFragments <= Burst::kMax);
  const SplitResult result = split_mbuf(packet, burst_.mtu[i], burst_.fragment_id[i], made.packets);
  made.count = result.count;
  if (result.count == 0) {
    refuse(&packet, 1, result.reason);
    return;
  }
  counters_->split.add(1);
  counters_->fragments_made.add(made.count);
  if (burst_.verdict[i] == Verdict::resolve) {
    for (unsigned n = 0; n < made.count; ++n) made.packets[n]->hash.usr = burst_.next_hop[i];
    to_slow_path(made, *exchange_.resolve);
  } else {
    for (unsigned n = 0; n < made.count; ++n) transmitter_.add(burst_.out_port[i], made.packets[n]);
  }
  rte_pktmbuf_free(packet);
}

void Worker::hand_over() {
  for (std::size_t worker = 0; worker < to_worker_.size(); ++worker) {
    Batch& batch = to_worker_[worker];
    if (batch.count == 0) continue;
    const unsigned taken = exchange_.hand_over[worker]->enqueue(batch.packets, batch.count);
    refuse(batch.packets + taken, batch.count - taken, DropReason::hand_over_full);
    batch.count = 0;
  }
}

void Worker::limit_punted() {
  const unsigned admitted = exchange_.slow_path_rate.admit(punted_.count, rte_rdtsc());
  refuse(punted_.packets + admitted, punted_.count - admitted, DropReason::slow_path_rate);
  punted_.count = admitted;
  to_slow_path(punted_, *exchange_.punt);
}

void Worker::to_slow_path(Batch& batch, PacketRing& ring) {
  const unsigned taken = ring.enqueue(batch.packets, batch.count);
  refuse(batch.packets + taken, batch.count - taken, DropReason::slow_path_full);
}

void Worker::refuse(rte_mbuf** packets, unsigned count, DropReason reason) {
  if (count == 0) return;
  counters_->drops[static_cast<unsigned>(reason)].add(count);
  rte_pktmbuf_free_bulk(packets, count);
}

void Worker::rest(unsigned& empty_polls) {
  const Idle idle = exchange_.idle.load(std::memory_order_relaxed);
  if (idle == Idle::spin || empty_polls < kAwakePolls) {
    ++empty_polls;
    rte_pause();
    return;
  }
  if (idle == Idle::power && rest_at_low_power()) return;
  const unsigned doublings = empty_polls - kAwakePolls;
  const long wanted = doublings > 6 ? kLongestSleepNs : kFirstSleepNs << doublings;
  const timespec sleep{0, wanted < kLongestSleepNs ? wanted : kLongestSleepNs};
  if (doublings <= 6) ++empty_polls;
  // Offline, so that nobody's grace period waits for a sleeper.
  exchange_.rcu->offline(number_);
  nanosleep(&sleep, nullptr);
  exchange_.rcu->online(number_);
}

// The rings are not watched: the time bounds what their packets wait.
bool Worker::rest_at_low_power() {
  exchange_.rcu->offline(number_);
  const bool waited = wait_at_low_power(queues_, rte_rdtsc() + longest_rest_cycles_);
  exchange_.rcu->online(number_);
  return waited;
}

}  // namespace sluice
