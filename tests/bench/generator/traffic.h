// Traffic: the two sides of a trial. Sender writes and sends what the pacer says; Receiver takes
// what comes back apart by its stamp, and, where the gateway translates, answers in the backends'
// place.
//
// Thread: one for each object; both may be on one thread, polled in turn.
// Ownership: refers to ports, pools, frames and plans, which outlive them.
// Shapes: with several queues a packet goes to the queue of its flow's Toeplitz hash (Microsoft's
//   default key, an indirection table of 512 entries that takes the queues in turn), as a NIC with
//   RSS at the other end would have it.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <vector>

#include "dataplane/table/steering.h"
#include "tests/bench/generator/ethernet_port.h"
#include "tests/bench/generator/frame.h"
#include "tests/bench/generator/histogram.h"
#include "tests/bench/generator/pacer.h"

namespace sluice::generator {

Steering queue_steering(unsigned queues);

// Gathers packets per queue of one port, and sends them as bursts.
class QueueBatches {
 public:
  explicit QueueBatches(const EthernetPort& port) : port_(port.id()), queues_(port.queues()) {}
  void add(unsigned queue, rte_mbuf* packet) {
    Queue& to = queues_[queue];
    to.waiting[to.count++] = packet;
    if (to.count == kBurst) flush(static_cast<std::uint16_t>(queue), to);
  }
  void flush() {
    for (std::uint16_t queue = 0; queue < queues_.size(); ++queue)
      if (queues_[queue].count != 0) flush(queue, queues_[queue]);
  }
  std::uint64_t sent(unsigned queue) const { return queues_[queue].sent; }
  std::uint64_t refused() const { return refused_; }  // The queue was full.

 private:
  static constexpr unsigned kBurst = 64;
  struct Queue {
    unsigned count = 0;
    std::uint64_t sent = 0;
    rte_mbuf* waiting[kBurst];
  };
  void flush(std::uint16_t number, Queue& queue);
  std::uint16_t port_;
  std::vector<Queue> queues_;
  std::uint64_t refused_ = 0;
};

// What a trial's packets are, the same for both sides.
template <typename Family>
struct TrafficPlan {
  const Frames<Family>& frames;
  const FlowPlan& flows;
  const Schedule& schedule;
  const Steering& steering;
};

template <typename Family>
class Sender {
 public:
  // `pool`: its buffers are zero but for what frames wrote before.
  Sender(const TrafficPlan<Family>& plan, const FrameConfig& config, const EthernetPort& port,
         rte_mempool* pool, const Pacer& pacer);
  void start(std::uint64_t now) { pacer_.start(now); }
  // Sends what is due; false when the schedule is over.
  bool poll(std::uint64_t now);

  std::uint32_t offered() const { return next_; }  // What the queues refused included.
  std::uint64_t skipped() const { return pacer_.skipped(); }
  const QueueBatches& batches() const { return batches_; }

 private:
  unsigned queue_of(Client client) const;
  TrafficPlan<Family> plan_;
  rte_mempool* pool_;
  Pacer pacer_;
  QueueBatches batches_;
  typename Family::Address address_;
  std::uint32_t first_client_, fixed_hash_;
  bool many_queues_;
  std::uint32_t next_ = 0;
};

struct Received {
  std::uint64_t packets = 0;
  std::uint64_t reordered = 0;    // After a later one of the same flow.
  std::uint64_t duplicated = 0;   // The last one of the flow again.
  std::uint64_t misdirected = 0;  // For another client than the one it is from.
  std::uint64_t other = 0;        // Not the generator's.
  std::vector<std::uint64_t> queues;
  Histogram latency;  // In stamp_time()'s unit.
};

template <typename Family>
class Receiver {
 public:
  // `reflect`: answer what comes to `back`, and expect the answers at `out`.
  Receiver(const TrafficPlan<Family>& plan, const EthernetPort& out, const EthernetPort& back,
           bool reflect);
  // Packets of the trial that came.
  unsigned poll();
  const Received& received() const { return received_; }

 private:
  static constexpr unsigned kBurst = 64;
  unsigned take(std::uint16_t port, std::uint16_t queue);
  void reflect(std::uint16_t queue);
  bool account(rte_mbuf* packet, std::uint32_t time);
  unsigned answer_queue(const Found& found) const;

  TrafficPlan<Family> plan_;
  const EthernetPort& out_;
  const EthernetPort& back_;
  bool reflect_;
  QueueBatches answers_;
  Received received_;
  std::vector<std::uint32_t> last_;  // By flow: sequence number + 1 of its last packet.
};

extern template class Sender<Ipv4>;
extern template class Sender<Ipv6>;
extern template class Receiver<Ipv4>;
extern template class Receiver<Ipv6>;

}  // namespace sluice::generator
