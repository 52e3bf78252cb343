#include "tests/bench/generator/trial.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <unistd.h>

#include <atomic>
#include <cstring>

#include "tests/bench/generator/cpu_wait.h"

namespace sluice::generator {
namespace {

constexpr double kQuietSeconds = 0.02;  // Nothing for so long: nothing is on its way any more.
constexpr double kDrainSeconds = 0.5;   // At most.
constexpr double kOpeningRate = 500e3;
constexpr unsigned kOpenings = 4;

void clear_buffers(rte_mempool* pool) {
  const auto clear = [](rte_mempool*, void*, void* object, unsigned) {
    auto* packet = static_cast<rte_mbuf*>(object);
    std::memset(packet->buf_addr, 0, packet->buf_len);
  };
  rte_mempool_obj_iter(pool, clear, nullptr);
}

// Frees what still comes from an earlier trial.
void discard(const EthernetPort& port) {
  rte_mbuf* packets[64];
  const std::uint64_t end =
      rte_rdtsc() + static_cast<std::uint64_t>(0.005 * static_cast<double>(rte_get_tsc_hz()));
  do {
    for (std::uint16_t queue = 0; queue < port.queues(); ++queue) {
      const unsigned count = rte_eth_rx_burst(port.id(), queue, packets, 64);
      if (count != 0) rte_pktmbuf_free_bulk(packets, count);
    }
  } while (rte_rdtsc() < end);
}

template <typename Family>
class TrafficOf final : public Traffic {
 public:
  TrafficOf(const FrameConfig& config, Frames<Family> frames, const FlowPlan& flows,
            unsigned queues, bool reflect, rte_mempool* pool)
      : config_(config),
        frames_(std::move(frames)),
        flows_(flows),
        steering_(queue_steering(queues)),
        reflect_(reflect),
        pool_(pool),
        hz_(rte_get_tsc_hz()) {}

  Trial open_flows(const Subject& subject) override {
    const Schedule schedule = Schedule::opening(flows_, frames_.tcp() && config_.kind != Kind::syn);
    for (unsigned i = 0;; ++i) {
      Trial trial = run(subject, schedule, kOpeningRate, 1e6);
      if (trial.lost() == 0 || i + 1 == kOpenings) return trial;
    }
  }
  Trial run(const Subject& subject, double rate, double seconds) override {
    return run(subject, Schedule::traffic(flows_), rate, seconds);
  }

 private:
  // What both lcores know of a running trial.
  struct Running {
    Sender<Family>* sender;
    Receiver<Family>* receiver;
    std::atomic<bool> sent{false};
    std::uint64_t quiet, longest_drain;
  };

  Trial run(const Subject& subject, const Schedule& schedule, double rate, double seconds) {
    const TrafficPlan<Family> plan{frames_, flows_, schedule, steering_};
    auto sender =
        std::make_unique<Sender<Family>>(plan, config_, subject.out(), pool_, Pacer(rate, hz_));
    auto receiver =
        std::make_unique<Receiver<Family>>(plan, subject.out(), subject.back(), reflect_);
    Running running{
        sender.get(), receiver.get(), {false}, cycles(kQuietSeconds), cycles(kDrainSeconds)};
    discard(subject.out());
    discard(subject.back());

    const unsigned second = rte_get_next_lcore(-1, 1, 0);
    const bool apart = second < RTE_MAX_LCORE;
    if (apart) rte_eal_remote_launch(receive, &running, second);
    const CpuWait own_before(getpid()), subject_before(subject.pid());
    const std::uint64_t begin = rte_rdtsc();
    const std::uint64_t end = begin + cycles(seconds);
    std::uint64_t now = begin;
    sender->start(begin);
    do {
      if (!apart) receiver->poll();
      now = rte_rdtsc();
    } while (sender->poll(now) && now < end);
    running.sent = true;
    if (apart) {
      rte_eal_wait_lcore(second);
    } else {
      receive(&running);
    }

    Trial trial;
    trial.asked_rate = rate;
    trial.seconds = static_cast<double>(now - begin) / static_cast<double>(hz_);
    trial.offered = sender->offered();
    trial.refused = sender->batches().refused();
    trial.skipped = sender->skipped();
    for (unsigned queue = 0; queue < subject.out().queues(); ++queue)
      trial.sent_by_queue.push_back(sender->batches().sent(queue));
    trial.received = receiver->received();
    trial.waited_ns = CpuWait(getpid()).since(own_before, trial.seconds) +
                      CpuWait(subject.pid()).since(subject_before, trial.seconds);
    return trial;
  }

  // Until the sender has ended and nothing comes any more.
  static int receive(void* argument) {
    auto& running = *static_cast<Running*>(argument);
    while (!running.sent.load(std::memory_order_relaxed)) running.receiver->poll();
    const std::uint64_t begin = rte_rdtsc();
    std::uint64_t now = begin, last = begin;
    while (now - last < running.quiet && now - begin < running.longest_drain) {
      if (running.receiver->poll() != 0) last = now;
      now = rte_rdtsc();
    }
    return 0;
  }
  std::uint64_t cycles(double seconds) const {
    return static_cast<std::uint64_t>(seconds * static_cast<double>(hz_));
  }

  FrameConfig config_;
  Frames<Family> frames_;
  FlowPlan flows_;
  Steering steering_;
  bool reflect_;
  rte_mempool* pool_;
  std::uint64_t hz_;
};

template <typename Family>
Result<std::unique_ptr<Traffic>> make_traffic(const FrameConfig& config, const FlowPlan& flows,
                                              unsigned queues, bool reflect, rte_mempool* pool) {
  auto frames = Frames<Family>::make(config);
  if (!frames) return Error{frames.error()};
  return std::unique_ptr<Traffic>(
      new TrafficOf<Family>(config, std::move(*frames), flows, queues, reflect, pool));
}

}  // namespace

Result<std::unique_ptr<Traffic>> Traffic::make(const FrameConfig& config, std::uint32_t flows,
                                               unsigned queues, bool reflect, rte_mempool* pool) {
  auto plan = FlowPlan::make(flows);
  if (!plan) return Error{plan.error()};
  clear_buffers(pool);
  return config.first_client.is_v4() ? make_traffic<Ipv4>(config, *plan, queues, reflect, pool)
                                     : make_traffic<Ipv6>(config, *plan, queues, reflect, pool);
}

}  // namespace sluice::generator
