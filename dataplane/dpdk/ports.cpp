#include "dataplane/dpdk/ports.h"

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>

#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/rss.h"

namespace sluice {
namespace {

constexpr std::uint32_t kPoolCache = 256;
constexpr std::uint16_t kDefaultDescriptors = 1024;

Error port_error(const Port& port, const std::string& what, int code) {
  const std::string complaints = take_dpdk_complaints(device_name(port.device));
  return Error{"port " + port.name + " (" + port.device + "): " + what +
               (code != 0 ? std::string(": ") + std::strerror(std::abs(code)) : "") +
               (complaints.empty() ? "" : "; DPDK says: " + complaints)};
}

std::uint16_t descriptors(std::uint32_t configured) {
  return configured == 0 ? kDefaultDescriptors
                         : static_cast<std::uint16_t>(std::min(configured, 32768u));
}

// Queues in pairs, one per worker where the device has as many. af_packet's kernel side spreads
// packets over every queue it was created with, so there all are used.
std::uint16_t queue_count(const Port& port, const rte_eth_dev_info& info, unsigned workers) {
  const unsigned most = std::min(info.max_rx_queues, info.max_tx_queues);
  const bool fixed = port.driver == "net_af_packet";
  return static_cast<std::uint16_t>(std::max(1u, fixed ? most : std::min(workers, most)));
}

Status setup_queues(const Port& port, const v1::PortConfig& config, const rte_eth_dev_info& info,
                    rte_mempool* pool, std::uint64_t tx_offloads) {
  std::uint16_t rx = descriptors(config.rx_descriptors()),
                tx = descriptors(config.tx_descriptors());
  if (const int code = rte_eth_dev_adjust_nb_rx_tx_desc(port.id, &rx, &tx); code != 0) {
    return port_error(port, "its descriptor counts are refused", code);
  }
  rte_eth_txconf tx_conf = info.default_txconf;
  tx_conf.offloads = tx_offloads;
  for (std::uint16_t queue = 0; queue < port.rx_queues; ++queue) {
    const int code =
        rte_eth_rx_queue_setup(port.id, queue, rx, port.socket, &info.default_rxconf, pool);
    if (code != 0) return port_error(port, "no receive queue " + std::to_string(queue), code);
  }
  for (std::uint16_t queue = 0; queue < port.tx_queues; ++queue) {
    const int code = rte_eth_tx_queue_setup(port.id, queue, tx, port.socket, &tx_conf);
    if (code != 0) return port_error(port, "no transmit queue " + std::to_string(queue), code);
  }
  return Ok{};
}

Status set_mtu(Port& port, std::uint32_t wanted) {
  if (wanted == 0) wanted = 1500;
  const int code = rte_eth_dev_set_mtu(port.id, static_cast<std::uint16_t>(wanted));
  // Devices made of software often cannot be told; they take what comes.
  if (code != 0 && code != -ENOTSUP) {
    return port_error(port, "the device refuses an MTU of " + std::to_string(wanted), code);
  }
  port.mtu = static_cast<std::uint16_t>(wanted);
  return Ok{};
}

// Neighbour discovery is multicast; a device that cannot take all of it takes everything.
void receive_multicast(const Port& port) {
  if (rte_eth_allmulticast_enable(port.id) == 0) return;
  if (rte_eth_promiscuous_enable(port.id) != 0) {
    spdlog::debug("neither all-multicast nor promiscuous mode: port={} driver={}", port.name,
                  port.driver);
  }
}

Status read_mac(Port& port) {
  rte_ether_addr mac{};
  if (const int code = rte_eth_macaddr_get(port.id, &mac); code != 0)
    return port_error(port, "it has no MAC", code);
  if (rte_is_zero_ether_addr(&mac)) {
    rte_eth_random_addr(mac.addr_bytes);
    if (rte_eth_dev_default_mac_addr_set(port.id, &mac) != 0) rte_eth_promiscuous_enable(port.id);
  }
  std::copy(std::begin(mac.addr_bytes), std::end(mac.addr_bytes), port.mac.begin());
  return Ok{};
}

Status start_port(Port& port, const v1::PortConfig& config, unsigned workers, rte_mempool* pool) {
  rte_eth_dev_info info{};
  if (const int code = rte_eth_dev_info_get(port.id, &info); code != 0)
    return port_error(port, "no information", code);
  port.driver = info.driver_name;
  port.socket = std::max(0, rte_eth_dev_socket_id(port.id));
  port.rx_queues = port.tx_queues = queue_count(port, info, workers);

  rte_eth_conf conf{};
  std::vector<std::uint8_t> key;
  if (port.rx_queues > 1) request_rss(info, conf, key);
  // All packets come from one pool and are held once, which is what this asks for.
  conf.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
  if (const int code = rte_eth_dev_configure(port.id, port.rx_queues, port.tx_queues, &conf);
      code != 0) {
    return port_error(port, "it cannot be configured", code);
  }
  if (auto status = set_mtu(port, config.mtu()); !status) return status;
  if (auto status = setup_queues(port, config, info, pool, conf.txmode.offloads); !status)
    return status;
  if (auto status = read_mac(port); !status) return status;
  if (const int code = rte_eth_dev_start(port.id); code != 0)
    return port_error(port, "it does not start", code);
  receive_multicast(port);

  if (config.rss() == "external") {
    if (port.rx_queues != workers) {
      return port_error(port,
                        "rss is external, so it needs a queue for each of the " +
                            std::to_string(workers) + " workers, and has " +
                            std::to_string(port.rx_queues),
                        0);
    }
    port.steering = software_steering(workers);
  } else if (port.rx_queues > 1) {
    port.steering = learn_rss(port.id, port.rx_queues, workers);
  }
  port.rss = port.steering != nullptr;
  if (!port.rss) port.steering = software_steering(workers);
  spdlog::info("port started name={} device={} driver={} queues={} rss={} mtu={}", port.name,
               port.device, port.driver, port.rx_queues, port.rss, port.mtu);
  return Ok{};
}

Status find_port(const v1::PortConfig& config, Port& port) {
  port.name = config.name();
  port.device = config.device();
  if (rte_eth_dev_get_port_by_name(device_name(port.device).c_str(), &port.id) == 0) return Ok{};
  const char* advice =
      is_pci_address(port.device)
          ? "DPDK found no such NIC; bind it to vfio-pci (`dpdk-devbind.py -b vfio-pci ADDRESS`)"
          : "DPDK could not make this device; check its driver name and arguments";
  return port_error(port, advice, 0);
}

}  // namespace

Result<std::unique_ptr<Ports>> Ports::open(const v1::Dataplane& config, unsigned workers) {
  auto ports = std::unique_ptr<Ports>(new Ports);
  std::vector<Port> found;
  for (const auto& one : config.ports()) {
    if (auto status = find_port(one, found.emplace_back()); !status) return Error{status.error()};
  }
  const std::uint32_t buffers = packet_buffers(config);
  if (buffers > config.memory().packet_buffers()) {
    spdlog::info(
        "more packet buffers than dataplane.memory.packetBuffers, for these ports and workers "
        "buffers={}",
        buffers);
  }
  const auto room = static_cast<std::uint16_t>(
      std::min<std::uint64_t>(packet_buffer_bytes(config), 16384) + RTE_PKTMBUF_HEADROOM);
  // Relaxed tail sync: a thread that loses its CPU inside the pool holds nobody up.
  ports->pool_ = rte_pktmbuf_pool_create_by_ops("packets", buffers, kPoolCache, 0, room,
                                                SOCKET_ID_ANY, "ring_mt_rts");
  if (ports->pool_ == nullptr) {
    return Error{"no memory for " + std::to_string(buffers) + " packet buffers (" +
                 rte_strerror(rte_errno) +
                 "); lower dataplane.memory.packetBuffers or provide more huge pages"};
  }
  for (int i = 0; i < config.ports_size(); ++i) {
    ports->ports_.push_back(
        found[static_cast<std::size_t>(i)]);  // From here on the destructor closes it.
    auto status = start_port(ports->ports_.back(), config.ports(i), workers, ports->pool_);
    if (!status) return Error{status.error()};
  }
  return ports;
}

Ports::~Ports() {
  for (const Port& port : ports_) {
    rte_eth_dev_stop(port.id);
    rte_eth_dev_close(port.id);
  }
  rte_mempool_free(pool_);
}

std::uint16_t Ports::id_limit() const {
  std::uint16_t limit = 0;
  for (const Port& port : ports_) limit = std::max<std::uint16_t>(limit, port.id + 1);
  return limit;
}

std::vector<v1::Port> Ports::describe() const {
  std::vector<v1::Port> all;
  for (const Port& port : ports_) {
    v1::Port& out = all.emplace_back();
    out.set_name(port.name);
    out.set_device(port.device);
    out.set_driver(port.driver);
    out.set_mac(port.mac.data(), port.mac.size());
    out.set_mtu(port.mtu);
    out.set_rx_queues(port.rx_queues);
    out.set_tx_queues(port.tx_queues);
    out.set_rss(port.rss);
    rte_eth_link link{};
    if (rte_eth_link_get_nowait(port.id, &link) == 0) {
      out.set_link_up(link.link_status == RTE_ETH_LINK_UP);
      out.set_speed_mbps(link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : link.link_speed);
    }
    rte_eth_stats stats{};
    if (rte_eth_stats_get(port.id, &stats) != 0) continue;
    out.set_rx_packets(stats.ipackets);
    out.set_rx_bytes(stats.ibytes);
    out.set_tx_packets(stats.opackets);
    out.set_tx_bytes(stats.obytes);
    out.set_rx_missed(stats.imissed);
    out.set_rx_errors(stats.ierrors + stats.rx_nombuf);
    out.set_tx_errors(stats.oerrors);
  }
  return all;
}

}  // namespace sluice
