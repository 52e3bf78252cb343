// Fuzzes the packet path: parser and Pipeline, over packets in memory of their exact length, in
// sequences that open, use and exhaust flows. What is checked of every packet, beside what the
// sanitizers see, stands in check(). Input: pipeline_input.h.
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "tests/fuzz/packet_check.h"
#include "tests/fuzz/packet_edit.h"
#include "tests/fuzz/pipeline_input.h"
#include "tests/fuzz/pipeline_world.h"

namespace sluice::fuzz {
namespace {

using test::Bytes;

struct Arrival {
  Bytes present;  // The first buffer; all of the packet unless total_length is more.
  std::uint32_t total_length = 0, headroom = 0, tailroom = 0;
  std::uint16_t port = 0;
  bool steered = false;
  FragmentHint fragment;  // Of one handed over or released.

  bool whole() const { return total_length == present.size(); }
};

std::uint16_t first_word(std::string_view bytes) {
  return Input(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()).word();
}

struct Flight {  // A burst and what it was made of.
  Flight(std::vector<Arrival> packets, std::uintptr_t first_handle) : arrivals(std::move(packets)) {
    for (const Arrival& arrival : arrivals) {
      const std::size_t size = arrival.present.size();
      const std::uint32_t headroom = arrival.headroom;
      memory.push_back(std::make_unique<std::uint8_t[]>(headroom + size + arrival.tailroom));
      std::copy(arrival.present.begin(), arrival.present.end(), memory.back().get() + headroom);
      const unsigned i = burst.count++;
      burst.handle[i] = reinterpret_cast<void*>(first_handle + i);
      if (!arrival.fragment.empty()) burst.set_hint(i, arrival.fragment);
      burst.data[i] = memory.back().get() + headroom;
      burst.length[i] = static_cast<std::uint32_t>(size);
      burst.total_length[i] = arrival.total_length;
      burst.buffer[i] = memory.back().get();
      burst.buffer_bytes[i] = static_cast<std::uint32_t>(headroom + size) + arrival.tailroom;
      burst.in_port[i] = arrival.port;
      burst.steered[i] = arrival.steered;
    }
  }
  Bytes bytes(unsigned i) const { return Bytes(burst.data[i], burst.data[i] + burst.length[i]); }

  std::vector<Arrival> arrivals;
  std::vector<std::unique_ptr<std::uint8_t[]>> memory;
  Burst burst;
};

void check_lengths(const Arrival& arrival, const Flight& flight, unsigned i) {
  const Burst& burst = flight.burst;
  const std::uint8_t* memory = flight.memory[i].get();
  const std::size_t bytes = arrival.headroom + arrival.present.size() + arrival.tailroom;
  FUZZ_CHECK(burst.data[i] >= memory && burst.data[i] + burst.length[i] <= memory + bytes);
  FUZZ_CHECK(burst.length[i] <= burst.total_length[i]);
  if (arrival.whole()) FUZZ_CHECK(burst.length[i] == burst.total_length[i]);
}

void check_sent(const Flight& flight, unsigned i) {
  const Burst& burst = flight.burst;
  const Arrival& arrival = flight.arrivals[i];
  FUZZ_CHECK(burst.out_port[i] < 2);
  FUZZ_CHECK(burst.next_hop[i] != kNoNextHop && (burst.next_hop[i] & kMultipath) == 0);
  if (burst.reason[i] != DropReason::none) {
    FUZZ_CHECK(burst.length[i] == burst.total_length[i]);
    check_answer(flight.bytes(i));
  } else {
    check_forwarded({arrival.present, arrival.total_length},
                    {flight.bytes(i), burst.total_length[i]});
  }
}

void check(const Flight& flight, unsigned i, unsigned worker) {
  const Burst& burst = flight.burst;
  check_lengths(flight.arrivals[i], flight, i);
  switch (burst.verdict[i]) {
    case Verdict::pending:
      FUZZ_CHECK(!"a packet without a verdict");
      break;
    case Verdict::drop:
      FUZZ_CHECK(burst.reason[i] != DropReason::none && burst.reason[i] < DropReason::count);
      break;
    case Verdict::transmit:
    case Verdict::split:
    case Verdict::resolve:
      check_sent(flight, i);
      if (burst.verdict[i] == Verdict::split) FUZZ_CHECK(burst.mtu[i] != 0);
      break;
    case Verdict::hand_over:
      FUZZ_CHECK(burst.out_worker[i] < 2 && burst.out_worker[i] != worker);
      [[fallthrough]];
    case Verdict::punt:
    case Verdict::hold:
      FUZZ_CHECK(burst.reason[i] == DropReason::none);
      FUZZ_CHECK(flight.bytes(i) == flight.arrivals[i].present);
      break;
  }
}

class Run {
 public:
  Run() { world().reset(); }

  void take(const Step& step) {
    if (!step.is(Step::kSameBurst) || step.is(Step::kTime) || waiting_.size() == Burst::kMax)
      flush();
    if (step.is(Step::kTime)) pass_time(step.ticks);
    if (waiting_.empty()) worker_ = step.is(Step::kOtherWorker) ? 1 : 0;
    if (std::optional<Arrival> arrival = make(step)) waiting_.push_back(std::move(*arrival));
  }
  void flush() {
    process(worker_, std::exchange(waiting_, {}));
    // To the worker that gathers fragments, and from there to the flow's; no further.
    for (unsigned worker = 1 - worker_, times = 0; times < 2; ++times, worker = 1 - worker)
      process(worker, std::exchange(handed_over_, {}));
    FUZZ_CHECK(handed_over_.empty());
  }
  // No packet is held for ever.
  void finish() {
    flush();
    pass_time(8);
    for (worker_ = 0; worker_ < 2; ++worker_) {
      take_held(worker_);
      flush();
    }
    FUZZ_CHECK(held_.empty());
  }

 private:
  static World& world() {
    static World the_world;
    return the_world;
  }

  static void pass_time(Ticks ticks) {
    test::Gateway& gateway = world().gateway;
    for (Ticks passed = 0; passed < ticks; ++passed) {
      ++gateway.now;
      for (auto& pipeline : gateway.pipelines) {
        for (unsigned polls = 0; polls < 4; ++polls)
          (void)pipeline->sweep(*gateway.state, gateway.now);
      }
    }
  }

  std::optional<Arrival> make(const Step& step) const {
    Arrival arrival;
    Bytes packet(step.bytes.begin(), step.bytes.end());
    if (step.is(Step::kReply)) packet = reply_to(last_sent_, step.amount);
    if (step.is(Step::kError))
      packet = error_about(last_sent_, step.amount, first_word(step.bytes));
    if (packet.empty()) return std::nullopt;
    if (step.is(Step::kReply) || step.is(Step::kError))
      std::copy(std::begin(World::kMac), std::end(World::kMac), packet.begin());
    if (step.is(Step::kRepair)) repair(packet);
    arrival.total_length = static_cast<std::uint32_t>(packet.size());
    if (step.is(Step::kSplit)) {
      packet.resize(packet.size() * step.amount / 256);
    } else {
      arrival.tailroom = step.amount;
    }
    arrival.headroom = step.headroom;
    arrival.present = std::move(packet);
    arrival.port = step.is(Step::kFromBackends) ? 1 : 0;
    arrival.steered = step.is(Step::kSteered);
    return arrival;
  }

  void process(unsigned worker, std::vector<Arrival> arrivals) {
    for (std::size_t at = 0; at < arrivals.size(); at += Burst::kMax) {
      const auto begin = arrivals.begin() + static_cast<std::ptrdiff_t>(at);
      const auto count = std::min<std::size_t>(Burst::kMax, arrivals.size() - at);
      process_burst(worker, {begin, begin + static_cast<std::ptrdiff_t>(count)});
    }
  }

  void process_burst(unsigned worker, std::vector<Arrival> arrivals) {
    auto flight = std::make_unique<Flight>(std::move(arrivals), next_handle_);
    next_handle_ += flight->burst.count;
    flight->burst.milliseconds = world().gateway.now * 500;
    test::Gateway& gateway = world().gateway;
    const std::uint64_t drops = world().drops();
    gateway.pipelines[worker]->process(flight->burst, *gateway.state, gateway.routing, gateway.now);
    unsigned refused = 0;
    for (unsigned i = 0; i < flight->burst.count; ++i) {
      check(*flight, i, worker);
      refused += flight->burst.reason[i] != DropReason::none;
      settle(*flight, i);
    }
    FUZZ_CHECK(world().drops() - drops == refused);
    FUZZ_CHECK(gateway.pipelines[worker]->nat_records() <= 2 * World::kNatFlows);
    take_held(worker);
  }

  void settle(const Flight& flight, unsigned i) {
    const Arrival& arrival = flight.arrivals[i];
    switch (flight.burst.verdict[i]) {
      case Verdict::hand_over:
        handed_over_.push_back(arrival);
        handed_over_.back().steered = true;
        handed_over_.back().fragment = flight.burst.hint(i);
        break;
      case Verdict::hold:
        FUZZ_CHECK(held_.emplace(flight.burst.handle[i], arrival).second);
        break;
      case Verdict::transmit:
        if (arrival.whole()) last_sent_ = flight.bytes(i);
        break;
      default:
        break;
    }
  }

  // Every handle that comes back was held, and comes back once; what has expired is counted.
  void take_held(unsigned worker) {
    Pipeline& pipeline = *world().gateway.pipelines[worker];
    ReleasedFragment released[Burst::kMax];
    std::vector<Arrival> again;
    while (const unsigned count = pipeline.take_released(released, Burst::kMax)) {
      for (unsigned i = 0; i < count; ++i) {
        auto node = held_.extract(released[i].handle);
        FUZZ_CHECK(!node.empty());
        again.push_back(std::move(node.mapped()));
        again.back().steered = true;
        again.back().fragment = released[i].hint;
      }
    }
    const std::uint64_t drops = world().drops();
    unsigned expired = 0;
    void* handles[Burst::kMax];
    while (const unsigned gone = pipeline.take_expired(handles, Burst::kMax)) {
      for (unsigned i = 0; i < gone; ++i) FUZZ_CHECK(held_.erase(handles[i]) == 1);
      expired += gone;
    }
    FUZZ_CHECK(world().drops() - drops == expired);
    process(worker, std::move(again));
  }

  unsigned worker_ = 0;
  std::vector<Arrival> waiting_, handed_over_;
  std::map<void*, Arrival> held_;
  std::uintptr_t next_handle_ = 1;
  Bytes last_sent_;
};

}  // namespace
}  // namespace sluice::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::fuzz;
  Input input(data, size);
  Run run;
  for (unsigned steps = 0; !input.empty() && steps < 512; ++steps) run.take(read_step(input));
  run.finish();
  return 0;
}
