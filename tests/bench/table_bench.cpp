// Look-ups of flows that are in the connection table, in batches of 64, by instruction set, family
// and number of flows; `single` is find() of one key after another, prefetched alike.
//
// Usage: table_bench --benchmark_repetitions=5 --benchmark_enable_random_interleaving=true
//   [--benchmark_filter=IPv4/1000000]. Figures: time of a batch of 64. Build type RelWithDebInfo or
//   Release.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/table/connection_table.h"

namespace sluice {
namespace {

constexpr unsigned kBatch = 64;

template <typename Family>
FlowKey<Family> numbered_key(std::uint32_t n) {
  FlowKey<Family> key;
  std::memcpy(key.client.data(), &n, sizeof n);
  key.client_port = Be16::from_host(static_cast<std::uint16_t>(1024 + n % 60000));
  key.vip_port = Be16::from_host(443);
  key.vip_id = 1;
  return key;
}

// One full table (its capacity is the number of flows) seen through each instruction set, so that
// all of them read the same memory; and its keys in an order that no cache knows.
template <typename Family>
class Fixture {
 public:
  explicit Fixture(std::uint32_t flows) {
    for (const InstructionSet set : supported_instruction_sets()) {
      tables_.push_back(ConnectionTable<Family>::create(flows, kSecret, memory(), set));
    }
    for (std::uint32_t n = 0; n < flows; ++n) {
      keys_.push_back(numbered_key<Family>(n));
      tables_[0]->insert(keys_[n], tables_[0]->hash(keys_[n]), FlowLink::backend(n % 1000),
                         FlowState::established, 0, nullptr, nullptr);
    }
    std::uint64_t random = 1;
    for (std::size_t i = flows - 1; i > 0; --i) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      std::swap(keys_[i], keys_[(random >> 33) % (i + 1)]);
    }
  }
  const ConnectionTable<Family>& table(InstructionSet set) const {
    return *tables_[static_cast<unsigned>(set)];  // The supported ones, ascending.
  }
  const std::vector<FlowKey<Family>>& keys() const { return keys_; }

 private:
  static constexpr std::uint8_t kSecret[16] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3};

  // The first table's, for all; kept to the end of the process.
  TableMemory memory() {
    return {[this](std::size_t bytes) {
              if (slots_ == nullptr) slots_ = TableMemory::heap().allocate(bytes);
              return slots_;
            },
            [](void*, std::size_t) {}};
  }

  void* slots_ = nullptr;
  std::vector<std::unique_ptr<ConnectionTable<Family>>> tables_;
  std::vector<FlowKey<Family>> keys_;
};

template <typename Family>
const Fixture<Family>& fixture(std::uint32_t flows) {
  static std::map<std::uint32_t, Fixture<Family>> all;
  return all.try_emplace(flows, flows).first->second;
}

// `set` empty: one find() for each key, as nothing but the inline SSE code can do.
template <typename Family>
void look_up(benchmark::State& state, std::uint32_t flows, std::optional<InstructionSet> set) {
  const std::vector<FlowKey<Family>>& keys = fixture<Family>(flows).keys();
  const auto& table = fixture<Family>(flows).table(set.value_or(InstructionSet::sse));
  typename ConnectionTable<Family>::Batch batch;
  std::size_t next = 0;
  std::uint64_t missed = 0;
  for (auto _ : state) {
    if (next + kBatch > keys.size()) next = 0;
    batch.count = 0;
    for (unsigned i = 0; i < kBatch; ++i) table.add(batch, keys[next + i]);
    if (set) {
      table.find(batch);
    } else {
      for (unsigned i = 0; i < kBatch; ++i) {
        batch.slot[i] = table.find(keys[next + i], batch.hash[i]);
      }
    }
    for (unsigned i = 0; i < kBatch; ++i) missed += batch.slot[i] == kNoSlot;
    next += kBatch;
  }
  if (missed != 0) state.SkipWithError("a flow was not found");
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * kBatch));
}

template <typename Family>
void add(const std::string& family, std::uint32_t flows, std::optional<InstructionSet> set) {
  const std::string name = set ? std::string(instruction_set_name(*set)) : "single";
  benchmark::RegisterBenchmark(
      (family + "/" + std::to_string(flows) + "/" + name).c_str(),
      [flows, set](benchmark::State& state) { look_up<Family>(state, flows, set); })
      ->ComputeStatistics(
          "min", [](const std::vector<double>& v) { return *std::min_element(v.begin(), v.end()); })
      ->ComputeStatistics(
          "max", [](const std::vector<double>& v) { return *std::max_element(v.begin(), v.end()); })
      ->ReportAggregatesOnly();
}

void add_all() {
  for (const std::uint32_t flows : {1000u, 1000000u}) {
    std::vector<std::optional<InstructionSet>> sets{std::nullopt};
    for (const InstructionSet set : supported_instruction_sets()) sets.emplace_back(set);
    for (const auto& set : sets) {
      add<Ipv4>("IPv4", flows, set);
      add<Ipv6>("IPv6", flows, set);
    }
  }
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  sluice::add_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
