#include "pipeline_scene.h"

#include <rte_cycles.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "pipeline_packets.h"
#include "pipeline_reference.h"

namespace sluice::bench {
namespace {

constexpr unsigned kWarmBursts = 16;               // Before a slice, not timed.
constexpr std::uint64_t kFirstFresh = 1ull << 24;  // No established flow has this number or above.
constexpr Ticks kHandshake = 60;                   // A flow's timer until its handshake is done.
constexpr Ticks kRefresh = 8000;  // Half the timer of established flows: they are heard of before.

// Looked for after a flood; more would take longer than the flood.
constexpr std::uint32_t kMostCounted = 1000000;

// Where packets come from and go to.
template <typename Family>
struct Way {
  Net<Family> from, to;
  std::uint16_t port;
};

// The lower quartile: what others did on the machine meanwhile only ever adds, to whole slices.
double typical(std::vector<double> values) {
  const auto quarter = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 4);
  std::nth_element(values.begin(), quarter, values.end());
  return *quarter;
}

// Any step without a common divisor: numbers that follow each other are then far apart.
std::uint64_t step_for(std::uint64_t count) {
  std::uint64_t step = count * 618 / 1000 | 1;
  while (std::gcd(step, count) != 1) ++step;
  return step % count;
}

template <typename Family>
class FamilyScene final : public Scene {
 public:
  FamilyScene(std::unique_ptr<BenchGateway<Family>> gateway, std::uint32_t flows, rte_mempool& pool,
              const Scale& scale)
      : gateway_(std::move(gateway)),
        mode_(gateway_->mode()),
        flows_(flows),
        pool_(pool),
        scale_(scale) {}

  Status establish();
  Sample measure(Event event) override;
  double bytes_per_flow() const override { return gateway_->bytes_per_flow(); }

 private:
  using Numbers = Nets<Family>;
  static constexpr Way<Family> kForward{Numbers::kClients, Numbers::kVips, kClientPort};
  Way<Family> backward() const {
    return {Numbers::kBackends, to_client() ? Numbers::kClients : Numbers::kGateway, kBackendPort};
  }
  bool to_client() const { return mode_.mode != Mode::nat; }

  // One burst: packets from the pool, headers by number, the stage, and back to the pool.
  template <typename Order, typename Stage>
  void burst(const Way<Family>& way, Order& order, unsigned count, Stage& stage) {
    rte_mbuf* packets[Burst::kMax];
    if (rte_pktmbuf_alloc_bulk(&pool_, packets, count) != 0) std::abort();
    for (unsigned i = 0; i < count; ++i) {
      rte_mbuf& packet = *packets[i];
      packet.data_len = frame_bytes<Family>();
      packet.pkt_len = frame_bytes<Family>();
      packet.port = way.port;
      write_packet(rte_pktmbuf_mtod(&packet, std::uint8_t*), way.from, way.to, order.next());
    }
    stage(packets, count);
    rte_pktmbuf_free_bulk(packets, count);
  }
  // Cycles of so many full bursts.
  template <typename Order, typename Stage>
  [[gnu::noinline]] double slice(const Way<Family>& way, Order& order, unsigned bursts,
                                 Stage stage) {
    const std::uint64_t start = rte_rdtsc_precise();
    for (unsigned i = 0; i < bursts; ++i) burst(way, order, Burst::kMax, stage);
    return static_cast<double>(rte_rdtsc_precise() - start);
  }
  auto forward() {
    gateway_->tick();
    return [this](rte_mbuf** packets, unsigned count) { gateway_->process(packets, count); };
  }
  static auto nothing() {
    return [](rte_mbuf**, unsigned) {};
  }
  // Through the gateway, not timed; `look(packets, count)` sees what comes out.
  template <typename Order, typename Look>
  void pass(const Way<Family>& way, Order& order, std::uint64_t packets, Look look) {
    const auto process = forward();
    auto stage = [&](rte_mbuf** burst_packets, unsigned count) {
      process(burst_packets, count);
      look(burst_packets, count);
    };
    for (; packets > 0; packets -= std::min<std::uint64_t>(packets, Burst::kMax))
      burst(way, order, static_cast<unsigned>(std::min<std::uint64_t>(packets, Burst::kMax)),
            stage);
  }

  // Slices of one order in turn. `subject(order, bursts)` gives its slice's cycles.
  template <typename Order, typename Subject>
  Sample compare(const Way<Family>& way, Order& order, Subject subject);
  template <typename Order>
  Sample steady(const Way<Family>& way, Order order);
  Sample fresh_flows();
  Sample flood();
  // Forgets all but the established flows.
  void forget_others();
  std::uint64_t count_lost();
  void capture(const InTurn& from, rte_mbuf** packets, unsigned count);

  std::unique_ptr<BenchGateway<Family>> gateway_;
  const ModeSpec& mode_;
  const std::uint32_t flows_;
  rte_mempool& pool_;
  const Scale scale_;
  std::vector<Reply> replies_;
  std::uint64_t fresh_ = kFirstFresh;  // Number of the next flow.
  std::uint64_t inserted_ = 0;         // By fresh_flows() since it last swept.
  Ticks since_refresh_ = 0;
};

// What the gateway made of a SYN says where its answer comes from and goes to. Tunnel headers stand
// in front of it.
template <typename Family>
void FamilyScene<Family>::capture(const InTurn& from, rte_mbuf** packets, unsigned count) {
  InTurn order = from;
  for (unsigned i = 0; i < count; ++i) {
    const std::uint32_t inner = frame_bytes<Family>() - sizeof(EthernetHeader);
    const auto* l3 =
        rte_pktmbuf_mtod_offset(packets[i], const std::uint8_t*, packets[i]->data_len - inner);
    const auto& ip = *reinterpret_cast<const IpHeader<Family>*>(l3);
    const auto& tcp = *reinterpret_cast<const TcpHeader*>(l3 + sizeof(ip));
    replies_.push_back({static_cast<std::uint16_t>(Numbers::kBackends.number(ip.destination)),
                        tcp.source_port.host(), static_cast<std::uint32_t>(order.number)});
    order.next();
  }
}

// By handshakes, so many at a time as the quota of unproven flows allows.
template <typename Family>
Status FamilyScene<Family>::establish() {
  const std::uint64_t step = step_for(flows_);
  InTurn syns{0, kTcpSyn, step, flows_}, acks{0, kTcpAck, step, flows_};
  const auto chunk = std::max<std::uint64_t>(flows_ / 8, Burst::kMax);
  if (mode_.replies) replies_.reserve(flows_);
  std::vector<Reply> answers;
  for (std::uint64_t left = flows_; left > 0; left -= std::min(left, chunk)) {
    const std::uint64_t count = std::min(left, chunk);
    const std::size_t first = replies_.size();
    InTurn seen = syns;
    pass(kForward, syns, count, [&](rte_mbuf** packets, unsigned n) {
      if (mode_.replies) capture(seen, packets, n);
      for (unsigned i = 0; i < n; ++i) seen.next();
    });
    if (mode_.replies) {
      answers.assign(replies_.begin() + static_cast<std::ptrdiff_t>(first), replies_.end());
      Replies order(answers, mode_.backend_port, to_client(), kTcpSyn | kTcpAck);
      pass(backward(), order, count, [](rte_mbuf**, unsigned) {});
    }
    gateway_->skip(2 * kTicksPerSecond);
    pass(kForward, acks, count, [](rte_mbuf**, unsigned) {});
  }
  std::shuffle(replies_.begin(), replies_.end(), std::mt19937(1));
  const std::size_t wanted = std::size_t{flows_} * mode_.entries;
  if (gateway_->tracked() != wanted || gateway_->weak() != 0)
    return Error{"of " + std::to_string(wanted) + " entries " +
                 std::to_string(gateway_->tracked()) + " are there, " +
                 std::to_string(gateway_->weak()) + " of them weak; drops: " + gateway_->drops()};
  return Ok{};
}

template <typename Family>
void FamilyScene<Family>::forget_others() {
  gateway_->skip(kHandshake + 2);
  gateway_->sweep();
  since_refresh_ += kHandshake + 32;
  if (since_refresh_ < kRefresh) return;
  since_refresh_ = 0;
  InTurn acks{0, kTcpAck};
  pass(kForward, acks, flows_, [](rte_mbuf**, unsigned) {});
}

template <typename Family>
std::uint64_t FamilyScene<Family>::count_lost() {
  const auto before = gateway_->totals();
  InTurn acks{0, kTcpAck, step_for(flows_), flows_};
  pass(kForward, acks, std::min(flows_, kMostCounted), [](rte_mbuf**, unsigned) {});
  return gateway_->totals().without_flow() - before.without_flow();
}

template <typename Family>
template <typename Order, typename Subject>
Sample FamilyScene<Family>::compare(const Way<Family>& way, Order& order, Subject subject) {
  std::vector<double> base, reference, cycles;
  const auto timed = [&](std::vector<double>& into, auto stage) {
    Order same = order;  // The very packets the pipeline gets.
    slice(way, same, kWarmBursts, stage);
    into.push_back(slice(way, same, scale_.bursts, stage));
  };
  for (unsigned round = 0; round < scale_.rounds; ++round) {
    timed(base, nothing());
    timed(reference, swap_five_tuples);
    cycles.push_back(subject(order, scale_.bursts));
  }
  const double packets = scale_.bursts * Burst::kMax;
  Sample sample;
  sample.base = typical(base) / packets;
  sample.reference = typical(reference) / packets - sample.base;
  sample.cycles = typical(cycles) / packets - sample.base;
  return sample;
}

// Packets that leave the set of flows as it is.
template <typename Family>
template <typename Order>
Sample FamilyScene<Family>::steady(const Way<Family>& way, Order order) {
  const auto before = gateway_->totals();
  Sample sample = compare(way, order, [&](Order& next, unsigned bursts) {
    slice(way, next, kWarmBursts, forward());
    return slice(way, next, bursts, forward());
  });
  const auto after = gateway_->totals();
  const double packets = scale_.rounds * (scale_.bursts + kWarmBursts) * Burst::kMax;
  const std::uint64_t missed = after.without_flow() - before.without_flow();
  sample.hits = 1 - static_cast<double>(missed) / packets;
  return sample;
}

// The number of flows stays between 100 and 112 % of the scene's (80 to 90 % of the capacity):
// after so many insertions the clock is moved on and a sweep takes them out, outside of what is
// timed.
template <typename Family>
Sample FamilyScene<Family>::fresh_flows() {
  const auto before = gateway_->totals();
  const std::uint64_t room = flows_ / 8;
  std::uint64_t all = 0;
  InTurn order{fresh_, kTcpSyn};
  Sample sample = compare(kForward, order, [&](InTurn& next, unsigned bursts) {
    double cycles = 0;
    for (unsigned left = bursts; left > 0;) {
      if (inserted_ + Burst::kMax > room) {
        forget_others();
        inserted_ = 0;
      }
      const auto fit = static_cast<unsigned>((room - inserted_) / Burst::kMax);
      const unsigned now = std::min(left, std::max(fit, 1u));
      cycles += slice(kForward, next, now, forward());
      inserted_ += std::uint64_t{now} * Burst::kMax;
      all += std::uint64_t{now} * Burst::kMax;
      left -= now;
    }
    return cycles;
  });
  fresh_ = order.number;
  sample.fresh = static_cast<double>(gateway_->totals().new_flows - before.new_flows) /
                 static_cast<double>(all);
  return sample;
}

template <typename Family>
Sample FamilyScene<Family>::flood() {
  // Until unproven flows hold all they may: from then on one takes another's place.
  InTurn syns{fresh_, kTcpSyn};
  pass(kForward, syns, gateway_->capacity() / mode_.entries / 3, [](rte_mbuf**, unsigned) {});
  Sample syn = steady(kForward, syns);
  Uniform known{flows_};
  Sample established = steady(kForward, known);
  Flood mix{flows_, fresh_ + (1ull << 32)};
  const auto before = gateway_->totals();
  std::uint64_t others = 0;
  Sample sample = compare(kForward, mix, [&](Flood& next, unsigned bursts) {
    const std::uint64_t known_before = next.established;
    slice(kForward, next, kWarmBursts, forward());
    const double cycles = slice(kForward, next, bursts, forward());
    others += std::uint64_t{kWarmBursts + bursts} * Burst::kMax - (next.established - known_before);
    return cycles;
  });
  const auto after = gateway_->totals();
  const std::uint64_t missed = after.without_flow() - before.without_flow();
  sample.hits = 1 - (static_cast<double>(missed) - static_cast<double>(others)) /
                        static_cast<double>(mix.established);
  sample.fresh =
      static_cast<double>(after.new_flows - before.new_flows) / static_cast<double>(others);
  sample.syn = syn.cycles;
  sample.established = established.cycles;
  sample.lost = count_lost();
  fresh_ = mix.number + 1;
  return sample;
}

template <typename Family>
Sample FamilyScene<Family>::measure(Event event) {
  switch (event) {
    case Event::hit:
      return steady(kForward, Uniform{flows_});
    case Event::zipf:
      return steady(kForward, Zipf(flows_));
    case Event::reply:
      return steady(backward(), Replies(replies_, mode_.backend_port, to_client(), kTcpAck));
    case Event::miss: {
      Sample sample = steady(kForward, InTurn{fresh_, kTcpRst});
      sample.hits = 0;
      return sample;
    }
    case Event::fresh:
      return fresh_flows();
    case Event::flood:
      return flood();
  }
  return {};
}

template <typename Family>
Result<std::unique_ptr<Scene>> create_scene(const ModeSpec& mode, std::uint32_t flows,
                                            rte_mempool& pool, const Scale& scale) {
  auto gateway = BenchGateway<Family>::create(mode, flows);
  if (!gateway.ok()) return Error{gateway.error()};
  auto scene = std::make_unique<FamilyScene<Family>>(std::move(*gateway), flows, pool, scale);
  if (auto established = scene->establish(); !established.ok()) return Error{established.error()};
  return std::unique_ptr<Scene>(std::move(scene));
}

}  // namespace

Result<std::unique_ptr<Scene>> Scene::create(const ModeSpec& mode, bool ipv6, std::uint32_t flows,
                                             rte_mempool& pool, const Scale& scale) {
  return ipv6 ? create_scene<Ipv6>(mode, flows, pool, scale)
              : create_scene<Ipv4>(mode, flows, pool, scale);
}

}  // namespace sluice::bench
