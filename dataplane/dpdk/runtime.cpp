#include "dataplane/dpdk/runtime.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <spdlog/spdlog.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/fragment_field.h"
#include "dataplane/dpdk/low_power.h"
#include "dataplane/dpdk/table_memory.h"
#include "dataplane/kernel/fib.h"
#include "proto/address.h"

namespace sluice {
namespace {

constexpr unsigned kHandOverSize = 4096;  // Each ring; a few milliseconds of a worker's packets.
constexpr unsigned kTransmitSize = 2048;
constexpr unsigned kSlowPathSize = 2048;
constexpr std::uint32_t kMultipathGroups = 4096;

Idle idle_of(const v1::Dataplane& config) {
  if (config.idle() == "spin") return Idle::spin;
  if (config.idle() != "power") return Idle::back_off;
  switch (low_power_support()) {
    case LowPower::none:
      spdlog::warn(
          "dataplane.idle is power, but this CPU, or its hypervisor, has no instruction to "
          "wait at low power (UMWAIT, TPAUSE, MONITORX); back-off is used instead");
      return Idle::back_off;
    case LowPower::pause:
      spdlog::info("idle workers pause at low power; this CPU cannot watch their queues");
      break;
    case LowPower::monitor:
      spdlog::info("idle workers wait at low power until their queue is written to");
      break;
  }
  return Idle::power;
}

int run_worker(void* worker) {
  static_cast<Worker*>(worker)->run();
  return 0;
}

PipelineConfig pipeline_config(const v1::Dataplane& config, const Ports& ports, unsigned worker,
                               unsigned lcore) {
  PipelineConfig out;
  out.worker = static_cast<std::uint16_t>(worker);
  out.workers = static_cast<std::uint16_t>(config.workers());
  out.flows_ipv4 = config.tables().flows_ipv4();
  out.flows_ipv6 = config.tables().flows_ipv6();
  out.nat_flows = config.tables().nat_flows();
  out.backend_capacity = config.tables().backends();
  out.icmp_per_second = config.slow_path().icmp_per_second();
  out.steering.resize(ports.id_limit());
  out.port_mac.resize(ports.id_limit());
  for (const Port& port : ports.all()) {
    out.steering[port.id] = port.steering;
    out.port_mac[port.id] = port.mac;
  }
  out.memory = dpdk_table_memory(static_cast<int>(rte_lcore_to_socket_id(lcore)));
  return out;
}

// The kernel's addresses on the interface of this name.
std::vector<std::string> kernel_addresses(const ifaddrs* all, const std::string& interface) {
  std::vector<std::string> addresses;
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || interface != one->ifa_name) continue;
    if (one->ifa_addr->sa_family == AF_INET) {
      const auto* inet = reinterpret_cast<const sockaddr_in*>(one->ifa_addr);
      addresses.push_back(IpAddress::v4(&inet->sin_addr).bytes());
    } else if (one->ifa_addr->sa_family == AF_INET6) {
      const auto* inet = reinterpret_cast<const sockaddr_in6*>(one->ifa_addr);
      addresses.push_back(IpAddress::v6(&inet->sin6_addr).bytes());
    }
  }
  return addresses;
}

// Where packets to the backend are sent: to itself, or to the node its overlay leads to.
IpAddress way_to(const ForwardingState& state, const BackendRecord& record) {
  const OverlayRecord* overlay =
      record.overlay == OverlayKind::none ? nullptr : state.overlay(record.id);
  if (overlay == nullptr) return address_of(record);
  return overlay->remote_bytes == 4 ? IpAddress::v4(overlay->remote)
                                    : IpAddress::v6(overlay->remote);
}

// visit(id) wherever two states of one line may differ in a backend or its overlay. Those share the
// pages nothing changed in, so the same place means the same value. No page of theirs has fewer
// elements than a block (PagedArray in state.h: 64 overlays, 256 backends).
template <typename Visit>
void for_each_differing_backend(const ForwardingState& a, const ForwardingState& b, Visit visit) {
  constexpr std::uint32_t kBlock = 64;
  const std::uint32_t end = std::max(a.backend_end(), b.backend_end());
  for (std::uint32_t first = 0; first < end; first += kBlock) {
    if (a.backend_record(first) == b.backend_record(first) && a.overlay(first) == b.overlay(first))
      continue;
    for (std::uint32_t id = first; id < first + kBlock; ++id) visit(id);
  }
}

// False also where they only stand in another order.
bool same_addresses(const ForwardingState& a, const ForwardingState& b) {
  if (a.address_count() != b.address_count()) return false;
  std::vector<const AddressBlock*> before;
  before.reserve(a.address_count());
  a.for_each_address([&](const AddressBlock& block) { before.push_back(&block); });
  auto at = before.begin();
  bool same = true;
  b.for_each_address([&](const AddressBlock& block) {
    same = same && (*at == &block || (*at)->address == block.address);
    ++at;
  });
  return same;
}

}  // namespace

Runtime::Runtime(const v1::Dataplane& config, InstructionSet set)
    : config_(config),
      instruction_set_(set),
      state_(std::make_shared<const ForwardingState>()),
      exchange_(rte_get_tsc_hz(), config.slow_path().packets_per_second()) {}

Result<std::unique_ptr<Runtime>> Runtime::create(const v1::Dataplane& config, InstructionSet set) {
  auto runtime = std::unique_ptr<Runtime>(new Runtime(config, set));
  unsigned lcore;
  RTE_LCORE_FOREACH_WORKER(lcore) {
    if (runtime->lcores_.size() < config.workers()) runtime->lcores_.push_back(lcore);
  }
  if (runtime->lcores_.empty() || runtime->lcores_.size() < config.workers()) {
    return Error{"dataplane.lcores gives " + std::to_string(runtime->lcores_.size()) +
                 " lcores to dataplane.workers=" + std::to_string(config.workers()) +
                 "; name one more than there are workers, or leave lcores empty"};
  }
  auto ports = Ports::open(config, config.workers());
  if (!ports) return Error{ports.error()};
  runtime->ports_ = std::move(*ports);
  for (auto step : {&Runtime::make_exchange, &Runtime::make_routing, &Runtime::make_workers}) {
    if (auto status = (runtime.get()->*step)(); !status) return Error{status.error()};
  }
  return runtime;
}

Runtime::~Runtime() {
  stop();
  for (; received_next_ < received_count_; ++received_next_)
    rte_pktmbuf_free(received_[received_next_]);
}

Status Runtime::make_exchange() {
  auto rcu = Rcu::create(config_.workers());
  if (!rcu) return Error{rcu.error()};
  exchange_.rcu = std::move(*rcu);
  const auto real = std::chrono::system_clock::now().time_since_epoch();
  exchange_.clock = {rte_rdtsc(), std::max<std::uint64_t>(rte_get_tsc_hz() / kTicksPerSecond, 1),
                     static_cast<std::uint64_t>(
                         std::chrono::duration_cast<std::chrono::milliseconds>(real).count())};
  exchange_.idle = idle_of(config_);
  exchange_.state = state_.get();
  auto make = [](std::unique_ptr<PacketRing>& out, const std::string& name, unsigned size,
                 int socket) -> Status {
    auto ring = PacketRing::create(name, size, socket);
    if (!ring) return Error{ring.error()};
    out = std::move(*ring);
    return Ok{};
  };
  for (unsigned worker = 0; worker < config_.workers(); ++worker) {
    const int socket = static_cast<int>(rte_lcore_to_socket_id(lcores_[worker]));
    const std::string number = std::to_string(worker);
    if (auto status =
            make(exchange_.hand_over.emplace_back(), "hand_over_" + number, kHandOverSize, socket);
        !status)
      return status;
    if (auto status =
            make(exchange_.transmit.emplace_back(), "transmit_" + number, kTransmitSize, socket);
        !status)
      return status;
  }
  if (auto status = make(exchange_.punt_control, "punt_control", kSlowPathSize, SOCKET_ID_ANY);
      !status) {
    return status;
  }
  if (auto status = make(exchange_.punt, "punt", kSlowPathSize, SOCKET_ID_ANY); !status)
    return status;
  return make(exchange_.resolve, "resolve", kSlowPathSize, SOCKET_ID_ANY);
}

Status Runtime::make_routing() {
  const auto& tables = config_.tables();
  const std::uint32_t next_hops = std::min<std::uint64_t>(
      std::uint64_t{tables.routes_ipv4()} + tables.routes_ipv6() + tables.backends() + 1024,
      kMultipath - 1);
  routing_ = std::make_unique<Routing>(next_hops, kMultipathGroups, tables.backends());
  const int socket = static_cast<int>(rte_lcore_to_socket_id(lcores_.front()));
  auto fib_ipv4 =
      make_fib<Ipv4>("routes_ipv4", route_room(tables.routes_ipv4(), tables.vips()), socket);
  if (!fib_ipv4) return Error{fib_ipv4.error()};
  auto fib_ipv6 =
      make_fib<Ipv6>("routes_ipv6", route_room(tables.routes_ipv6(), tables.vips()), socket);
  if (!fib_ipv6) return Error{fib_ipv6.error()};
  routing_->fib_ipv4 = std::move(*fib_ipv4);
  routing_->fib_ipv6 = std::move(*fib_ipv6);
  exchange_.routing = routing_.get();
  std::vector<PortInfo> infos;
  for (const Port& port : ports_->all()) {
    PortInfo& info = infos.emplace_back();
    info.id = port.id;
    info.name = port.name;
    std::copy(port.mac.begin(), port.mac.end(), info.mac);
    info.mtu = port.mtu;
  }
  slow_path_ = std::make_unique<SlowPath>(config_, infos, *this, *routing_);
  return Ok{};
}

Status Runtime::make_workers() {
  if (Status status = register_fragment_field(); !status) return status;
  PipelineConfig common;
  if (getrandom(common.secret, sizeof(common.secret), 0) != sizeof(common.secret)) {
    return Error{std::string("the kernel gives no random bytes: ") + std::strerror(errno)};
  }
  for (unsigned number = 0; number < config_.workers(); ++number) {
    auto counters =
        std::make_unique<WorkerCounters>(config_.tables().vips(), config_.tables().backends());
    PipelineConfig config = pipeline_config(config_, *ports_, number, lcores_[number]);
    std::copy(std::begin(common.secret), std::end(common.secret), config.secret);
    config.instruction_set = instruction_set_;
    auto pipeline = Pipeline::create(config, *counters);
    if (pipeline == nullptr) {
      return Error{"no memory for the connection tables of worker " + std::to_string(number) +
                   "; lower dataplane.tables.flowsIPv4, flowsIPv6 or natFlows"};
    }
    workers_.push_back(std::make_unique<Worker>(number, *ports_, exchange_, std::move(counters),
                                                std::move(pipeline)));
    const Worker& worker = *workers_.back();
    views_.push_back(
        {&worker.counters(), &worker.pipeline(), lcores_[number], &worker.sweep_rounds()});
  }
  return Ok{};
}

Status Runtime::start() {
  if (auto status = slow_path_->start(); !status) return status;
  return launch_workers();
}

Status Runtime::launch_workers() {
  running_ = true;
  for (unsigned number = 0; number < workers_.size(); ++number) {
    if (rte_eal_remote_launch(run_worker, workers_[number].get(), lcores_[number]) != 0) {
      return Error{"worker " + std::to_string(number) + " could not be started on lcore " +
                   std::to_string(lcores_[number])};
    }
    spdlog::info("worker started worker={} lcore={} cpu={}", number, lcores_[number],
                 rte_lcore_to_cpu_id(static_cast<int>(lcores_[number])));
  }
  return Ok{};
}

void Runtime::stop() {
  if (!running_) return;
  running_ = false;
  exchange_.stop = true;
  for (const unsigned lcore : lcores_) rte_eal_wait_lcore(lcore);
  slow_path_->stop();
}

void Runtime::reconfigure(const v1::Dataplane& config) {
  exchange_.idle = idle_of(config);
  exchange_.slow_path_rate.set(config.slow_path().packets_per_second());
  slow_path_->set_packets_per_second(config.slow_path().packets_per_second());
}

// The slow path is told what differs, so that a commit costs its own change.
void Runtime::publish(std::shared_ptr<const ForwardingState> state) {
  std::vector<BackendAddress> now;
  std::vector<std::uint32_t> gone, added;
  for_each_differing_backend(*state_, *state, [&](std::uint32_t id) {
    const BackendRecord* before = state_->backend(id);
    const BackendRecord* after = state->backend(id);
    if (after == nullptr) {
      if (before != nullptr) gone.push_back(id);
      return;
    }
    const IpAddress way = way_to(*state, *after);
    if (before != nullptr && way_to(*state_, *before) == way) return;
    now.push_back({id, way});
    if (before == nullptr) added.push_back(id);
  });
  const bool other_addresses = state_->generation() == 0 || !same_addresses(*state_, *state);
  if (!now.empty() || !gone.empty()) slow_path_->change_backends(std::move(now), std::move(gone));
  if (running_) wait_for_next_hops(added);
  exchange_.state.store(state.get(), std::memory_order_release);
  state_ = std::move(state);
  if (!other_addresses) return;
  std::vector<IpAddress> addresses;
  addresses.reserve(state_->address_count());
  state_->for_each_address([&](const AddressBlock& block) { addresses.push_back(block.address); });
  slow_path_->set_served(std::move(addresses));
}

// A backend that workers know of should have its next hop by then, or the first connections to it
// are lost. The slow path needs well under a millisecond; a backend without a route is not waited
// for long.
void Runtime::wait_for_next_hops(const std::vector<std::uint32_t>& backends) const {
  constexpr auto kLongest = std::chrono::milliseconds(5);
  const auto until = std::chrono::steady_clock::now() + kLongest;
  for (const std::uint32_t id : backends) {
    while (routing_->backend_next_hop(id) == kNoNextHop) {
      if (std::chrono::steady_clock::now() >= until) return;
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
}

std::vector<v1::Port> Runtime::ports() const {
  std::vector<v1::Port> all = ports_->describe();
  ifaddrs* interfaces = nullptr;
  if (getifaddrs(&interfaces) != 0) return all;
  for (v1::Port& port : all) {
    for (std::string& address : kernel_addresses(interfaces, port.name()))
      port.add_addresses(std::move(address));
  }
  freeifaddrs(interfaces);
  return all;
}

std::vector<NamedCounter> Runtime::counters() const {
  std::vector<NamedCounter> all;
  for (const SlowPathCounter& counter : slow_path_->counters())
    all.push_back({counter.name, counter.help, counter.value});
  NamedCounter split{"split", "Packets longer than the MTU of their way, sent in fragments.", 0};
  for (const WorkerView& worker : workers()) split.value += worker.counters->split.read();
  all.push_back(std::move(split));
  return all;
}

Ticks Runtime::now() const {
  return exchange_.clock.at(rte_rdtsc());
}

bool Runtime::receive(PuntedPacket& packet) {
  while (true) {
    if (received_next_ == received_count_) {
      received_next_ = 0;
      received_resolve_ = false;
      // Routing protocols and neighbours first: all else depends on them.
      received_count_ = exchange_.punt_control->dequeue(received_, std::size(received_));
      if (received_count_ == 0) {
        received_count_ = exchange_.punt->dequeue(received_, std::size(received_));
      }
      if (received_count_ == 0) {
        received_resolve_ = true;
        received_count_ = exchange_.resolve->dequeue(received_, std::size(received_));
      }
      if (received_count_ == 0) return false;
    }
    rte_mbuf* taken = received_[received_next_++];
    if (rte_pktmbuf_linearize(taken) !=
        0) {  // Larger than one buffer: the kernel could not have sent for it.
      rte_pktmbuf_free(taken);
      continue;
    }
    packet.handle = taken;
    packet.data = rte_pktmbuf_mtod(taken, std::uint8_t*);
    packet.length = taken->data_len;
    packet.port = taken->port;
    packet.resolve = received_resolve_;
    packet.next_hop = received_resolve_ ? taken->hash.usr : kNoNextHop;
    return true;
  }
}

void Runtime::release(void* handle) {
  rte_pktmbuf_free(static_cast<rte_mbuf*>(handle));
}

// One worker sends all of a port's, so that they stay in order; ports are spread over the workers.
std::uint16_t Runtime::sender_of(std::uint16_t port) const {
  return static_cast<std::uint16_t>(port % exchange_.transmit.size());
}

bool Runtime::transmit(void* handle, std::uint16_t port) {
  auto* packet = static_cast<rte_mbuf*>(handle);
  packet->port = port;
  return exchange_.transmit[sender_of(port)]->enqueue(&packet, 1) == 1;
}

bool Runtime::send(std::uint16_t port, const std::uint8_t* frame, std::uint32_t length) {
  rte_mbuf* packet = rte_pktmbuf_alloc(ports_->pool());
  if (packet == nullptr) return false;
  char* room = length > UINT16_MAX ? nullptr
                                   : rte_pktmbuf_append(packet, static_cast<std::uint16_t>(length));
  if (room == nullptr) {
    rte_pktmbuf_free(packet);
    return false;
  }
  std::memcpy(room, frame, length);
  if (transmit(packet, port)) return true;
  rte_pktmbuf_free(packet);
  return false;
}

}  // namespace sluice
