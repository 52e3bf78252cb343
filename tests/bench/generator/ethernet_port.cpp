#include "tests/bench/generator/ethernet_port.h"

#include <rte_ethdev.h>

#include <algorithm>
#include <cstring>

namespace sluice::generator {
namespace {

Error failed(const std::string& device, const std::string& what, int code) {
  return Error{device + ": " + what + ": " + std::strerror(std::abs(code))};
}

}  // namespace

Result<std::unique_ptr<EthernetPort>> EthernetPort::open(const std::string& device, unsigned queues,
                                                         unsigned descriptors,
                                                         rte_mempool* receive) {
  const std::string name = device.substr(0, device.find(','));
  std::uint16_t id = 0;
  if (int code = rte_eth_dev_get_port_by_name(name.c_str(), &id); code != 0)
    return failed(device, "DPDK has no such port", code);
  rte_eth_dev_info info{};
  if (int code = rte_eth_dev_info_get(id, &info); code != 0)
    return failed(device, "no information", code);
  if (std::min(info.max_rx_queues, info.max_tx_queues) < queues) {
    return Error{device + ": has " +
                 std::to_string(std::min(info.max_rx_queues, info.max_tx_queues)) +
                 " queues; give it queues=" + std::to_string(queues) + " or lower --queues"};
  }
  const auto count = static_cast<std::uint16_t>(queues);
  rte_eth_conf conf{};
  if (info.flow_type_rss_offloads != 0 && queues > 1) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf =
        info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
  }
  if (int code = rte_eth_dev_configure(id, count, count, &conf); code != 0)
    return failed(device, "cannot be configured", code);
  std::uint16_t rx = static_cast<std::uint16_t>(descriptors), tx = rx;
  if (int code = rte_eth_dev_adjust_nb_rx_tx_desc(id, &rx, &tx); code != 0)
    return failed(device, "refuses " + std::to_string(descriptors) + " descriptors", code);
  auto port = std::unique_ptr<EthernetPort>(new EthernetPort(id, count));
  const auto node = static_cast<unsigned>(std::max(0, rte_eth_dev_socket_id(id)));
  for (std::uint16_t queue = 0; queue < count; ++queue) {
    if (int code = rte_eth_rx_queue_setup(id, queue, rx, node, &info.default_rxconf, receive);
        code != 0)
      return failed(device, "no receive queue", code);
    if (int code = rte_eth_tx_queue_setup(id, queue, tx, node, &info.default_txconf); code != 0)
      return failed(device, "no transmit queue", code);
  }
  if (int code = rte_eth_dev_start(id); code != 0) return failed(device, "does not start", code);
  // What comes back is addressed to a station of the generator's own making. Devices made of
  // software take everything and may refuse to be told so.
  (void)rte_eth_promiscuous_enable(id);
  return port;
}

EthernetPort::~EthernetPort() {
  rte_eth_dev_stop(id_);
  rte_eth_dev_close(id_);
}

bool EthernetPort::up() const {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(id_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

}  // namespace sluice::generator
