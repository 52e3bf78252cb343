#include "dataplane/dpdk/rss.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace sluice {
namespace {

// Fragments are hashed by addresses alone by any NIC; the pipeline steers them itself.
constexpr std::uint64_t kNeeded = RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV4_UDP |
                                  RTE_ETH_RSS_NONFRAG_IPV6_TCP | RTE_ETH_RSS_NONFRAG_IPV6_UDP;
constexpr std::uint64_t kWanted =
    kNeeded | RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_FRAG_IPV4 | RTE_ETH_RSS_IPV6 | RTE_ETH_RSS_FRAG_IPV6;
constexpr std::size_t kKeyBytes =
    40;  // As far as two IPv6 addresses and two ports reach into a key.
constexpr std::size_t kSoftwareReta =
    512;  // Even within a percent for any sensible number of workers.

bool set_reta(std::uint16_t port, std::uint16_t size, std::uint16_t queues) {
  std::vector<rte_eth_rss_reta_entry64> groups((size + RTE_ETH_RETA_GROUP_SIZE - 1) /
                                               RTE_ETH_RETA_GROUP_SIZE);
  for (std::uint16_t i = 0; i < size; ++i) {
    auto& group = groups[i / RTE_ETH_RETA_GROUP_SIZE];
    group.mask |= std::uint64_t{1} << (i % RTE_ETH_RETA_GROUP_SIZE);
    group.reta[i % RTE_ETH_RETA_GROUP_SIZE] = i % queues;
  }
  return rte_eth_dev_rss_reta_update(port, groups.data(), size) == 0;
}

// Queue of each hash; empty when the NIC does not tell.
std::vector<std::uint16_t> read_reta(std::uint16_t port, std::uint16_t size) {
  std::vector<rte_eth_rss_reta_entry64> groups((size + RTE_ETH_RETA_GROUP_SIZE - 1) /
                                               RTE_ETH_RETA_GROUP_SIZE);
  for (auto& group : groups) group.mask = ~std::uint64_t{0};
  if (rte_eth_dev_rss_reta_query(port, groups.data(), size) != 0) return {};
  std::vector<std::uint16_t> reta(size);
  for (std::uint16_t i = 0; i < size; ++i) {
    reta[i] = groups[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE];
  }
  return reta;
}

}  // namespace

void request_rss(const rte_eth_dev_info& info, rte_eth_conf& conf, std::vector<std::uint8_t>& key) {
  const std::uint64_t functions = info.flow_type_rss_offloads & kWanted;
  if (functions == 0) return;
  key.resize(std::max<std::size_t>(info.hash_key_size, kKeyBytes));
  const auto ours = default_rss_key();
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = ours[i % ours.size()];
  conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
  conf.rx_adv_conf.rss_conf.rss_key = key.data();
  conf.rx_adv_conf.rss_conf.rss_key_len = static_cast<std::uint8_t>(key.size());
  conf.rx_adv_conf.rss_conf.rss_hf = functions;
}

std::shared_ptr<const Steering> learn_rss(std::uint16_t port, std::uint16_t queues,
                                          unsigned workers) {
  rte_eth_dev_info info{};
  if (rte_eth_dev_info_get(port, &info) != 0) return nullptr;
  if (info.reta_size == 0 || !std::has_single_bit(info.reta_size)) return nullptr;
  std::vector<std::uint8_t> key(std::max<std::size_t>(info.hash_key_size, kKeyBytes));
  rte_eth_rss_conf conf{};
  conf.rss_key = key.data();
  conf.rss_key_len = static_cast<std::uint8_t>(key.size());
  if (rte_eth_dev_rss_hash_conf_get(port, &conf) != 0 || (conf.rss_hf & kNeeded) != kNeeded)
    return nullptr;
  if (std::all_of(key.begin(), key.end(), [](std::uint8_t byte) { return byte == 0; }))
    return nullptr;
  if (!set_reta(port, info.reta_size, queues)) {
    spdlog::debug("the indirection table stays as the driver made it: port={}", port);
  }
  std::vector<std::uint16_t> reta = read_reta(port, info.reta_size);
  if (reta.empty()) return nullptr;
  for (auto& queue : reta) {
    if (queue >= queues) return nullptr;
    queue = static_cast<std::uint16_t>(queue % workers);  // The worker that polls it.
  }
  return std::make_shared<const Steering>(Toeplitz(key), std::move(reta));
}

std::shared_ptr<const Steering> software_steering(unsigned workers) {
  std::vector<std::uint16_t> reta(kSoftwareReta);
  for (std::size_t i = 0; i < reta.size(); ++i) reta[i] = static_cast<std::uint16_t>(i % workers);
  return std::make_shared<const Steering>(Toeplitz(default_rss_key()), std::move(reta));
}

}  // namespace sluice
