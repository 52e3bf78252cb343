#include "dataplane/kernel/slow_path.h"

#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "dataplane/kernel/frame.h"
#include "dataplane/kernel/grace_queue.h"
#include "dataplane/kernel/mirror.h"
#include "dataplane/kernel/netlink.h"
#include "dataplane/kernel/port_facts.h"
#include "dataplane/kernel/slow_path_counters.h"
#include "dataplane/kernel/slow_path_settings.h"
#include "dataplane/kernel/sysctl.h"
#include "dataplane/kernel/tap.h"
#include "dataplane/kernel/token_bucket.h"
#include "dataplane/kernel/vip_interface.h"
#include "dataplane/kernel/waiting_packets.h"

namespace sluice {
namespace {

constexpr int kIdleMilliseconds = 1;
constexpr unsigned kPacketsPerTurn = 256;  // Before the other side has its turn.
constexpr unsigned kFramesPerTurn = 64;
constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kExpireEvery = kSecond / 10;
constexpr std::int64_t kDumpEvery = kSecond / 5;

std::int64_t now_nanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct CloseDescriptor {
  int fd = -1;
  ~CloseDescriptor() {
    if (fd >= 0) close(fd);
  }
};

}  // namespace

struct SlowPath::Impl final : NeighbourControl {
  Impl(const v1::Dataplane& config, std::span<const PortInfo> given_ports,
       SlowPathPackets& given_packets, Routing& given_routing)
      : settings(config),
        ports(given_ports.begin(), given_ports.end()),
        packets(given_packets),
        routing(given_routing),
        grace(given_packets),
        waiting(settings.waiting_packets),
        bucket(settings.packets_per_second),
        packets_per_second(settings.packets_per_second) {}

  Status start();
  void stop();
  void wake();

  // The thread.
  void run();
  bool take_punted();
  void punt(const PuntedPacket& packet);
  void wait_for_neighbour(const PuntedPacket& packet);
  void transmit(const WaitingPackets::Packet& packet, const NextHop& hop);
  bool take_from_kernel(std::size_t tap);
  void take_posted();
  void apply(const KernelEvent& event);
  void follow_kernel();
  Status dump();
  void publish();
  void tick(std::int64_t now);
  void resolve(const NeighbourKey& neighbour, bool managed) override;
  Status watch(int fd, std::uint64_t tag);
  Status open_all();

  static constexpr std::uint64_t kWake = ~0ull, kNetlink = ~0ull - 1;

  const SlowPathSettings settings;
  const std::vector<PortInfo> ports;
  SlowPathPackets& packets;
  Routing& routing;
  SlowPathCounters counters;

  GraceQueue grace;
  WaitingPackets waiting;
  TokenBucket bucket;
  std::atomic<std::uint32_t> packets_per_second;
  std::vector<std::unique_ptr<Tap>> taps;  // As ports.
  std::vector<Tap*> tap_by_port;           // By DPDK port number.
  std::unique_ptr<Netlink> netlink;
  std::optional<Mirror> mirror;
  std::optional<VipInterface> vips;
  std::optional<PortFacts> facts;
  std::vector<std::uint8_t> frame = std::vector<std::uint8_t>(Tap::kMaxFrame);

  CloseDescriptor epoll, wake_fd;
  std::thread thread;
  std::atomic<bool> stopping{false};
  std::int64_t next_second = 0, next_expiry = 0, next_dump = 0;
  bool lost_events = false;

  std::mutex posted_mutex;  // Guards the two below.
  std::optional<std::vector<IpAddress>> posted_served;
  std::map<std::uint32_t, IpAddress> posted_backends;  // By id; without an address: gone.
};

SlowPath::SlowPath(const v1::Dataplane& config, std::span<const PortInfo> ports,
                   SlowPathPackets& packets, Routing& routing)
    : impl_(std::make_unique<Impl>(config, ports, packets, routing)) {}

SlowPath::~SlowPath() {
  stop();
}

Status SlowPath::start() {
  return impl_->start();
}

void SlowPath::stop() {
  impl_->stop();
}

void SlowPath::set_served(std::vector<IpAddress> addresses) {
  {
    const std::lock_guard lock(impl_->posted_mutex);
    impl_->posted_served = std::move(addresses);
  }
  impl_->wake();
}

void SlowPath::change_backends(std::vector<BackendAddress> now, std::vector<std::uint32_t> gone) {
  {
    const std::lock_guard lock(impl_->posted_mutex);
    for (const BackendAddress& backend : now) impl_->posted_backends[backend.id] = backend.address;
    for (const std::uint32_t id : gone) impl_->posted_backends[id] = IpAddress();
  }
  impl_->wake();
}

void SlowPath::set_packets_per_second(std::uint32_t rate) {
  impl_->packets_per_second.store(rate, std::memory_order_relaxed);
}

std::vector<SlowPathCounter> SlowPath::counters() const {
  std::vector<SlowPathCounter> values;
  for (const SlowPathNamedCounter* counter : impl_->counters.all()) {
    values.push_back(
        {counter->name, counter->help, counter->value.load(std::memory_order_relaxed)});
  }
  return values;
}

Status SlowPath::Impl::watch(int fd, std::uint64_t tag) {
  epoll_event event{.events = EPOLLIN, .data = {.u64 = tag}};
  if (epoll_ctl(epoll.fd, EPOLL_CTL_ADD, fd, &event) == 0) return Ok{};
  return Error{std::string("slow path: cannot watch a descriptor: ") + std::strerror(errno)};
}

Status SlowPath::Impl::open_all() {
  epoll.fd = epoll_create1(EPOLL_CLOEXEC);
  wake_fd.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (epoll.fd < 0 || wake_fd.fd < 0) {
    return Error{std::string("slow path: cannot make a descriptor: ") + std::strerror(errno)};
  }
  if (Status status = watch(wake_fd.fd, kWake); !status) return status;
  for (const PortInfo& port : ports) {
    auto tap = Tap::open(port);
    if (!tap) return Error{tap.error()};
    prepare_tap_sysctls(port.name);
    if (port.id >= tap_by_port.size()) tap_by_port.resize(port.id + 1u, nullptr);
    tap_by_port[port.id] = tap->get();
    if (Status status = watch((*tap)->fd(), taps.size()); !status) return status;
    taps.push_back(std::move(*tap));
  }
  auto opened = Netlink::open();
  if (!opened) return Error{opened.error()};
  netlink = std::move(*opened);
  return watch(netlink->event_fd(), kNetlink);
}

Status SlowPath::Impl::start() {
  if (routing.fib_ipv4 == nullptr || routing.fib_ipv6 == nullptr) {
    return Error{"slow path: routing has no FIB"};
  }
  if (Status status = open_all(); !status) return status;
  keep_kernel_off_ports(settings.first_port, settings.last_port);

  std::vector<MirrorPort> links;
  std::vector<int> tap_links;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    MirrorPort& link = links.emplace_back();
    link.link = taps[i]->link();
    link.port = ports[i].id;
    std::memcpy(link.mac, ports[i].mac, sizeof link.mac);
    tap_links.push_back(link.link);
  }
  mirror.emplace(links, routing, grace, *this);
  facts.emplace(links, ports, settings, routing, grace);
  // Addresses set aside for NAT are this gateway's too: somebody has to answer ARP for them.
  vips.emplace(*netlink, settings.vip_interface, tap_links, settings.nat_addresses);
  if (Status status = vips->open(); !status) return status;
  if (Status status = dump(); !status) return status;
  thread = std::thread([this] { run(); });
  (void)pthread_setname_np(thread.native_handle(), "slow-path");
  return Ok{};
}

void SlowPath::Impl::stop() {
  if (!thread.joinable()) return;
  stopping.store(true);
  wake();
  thread.join();
  waiting.drain([this](const WaitingPackets::Packet& packet) { packets.release(packet.handle); });
}

void SlowPath::Impl::wake() {
  if (wake_fd.fd < 0) return;  // Not started: found when it is.
  const std::uint64_t one = 1;
  (void)!write(wake_fd.fd, &one, sizeof one);
}

void SlowPath::Impl::run() {
  bool busy = false;
  take_posted();
  while (!stopping.load(std::memory_order_relaxed)) {
    std::array<epoll_event, 64> events;
    const int ready =
        epoll_wait(epoll.fd, events.data(), events.size(), busy ? 0 : kIdleMilliseconds);
    busy = false;
    for (int i = 0; i < ready; ++i) {
      const std::uint64_t tag = events[static_cast<std::size_t>(i)].data.u64;
      if (tag == kWake) {
        take_posted();
      } else if (tag == kNetlink) {
        follow_kernel();
      } else {
        busy |= take_from_kernel(tag);
      }
    }
    busy |= take_punted();
    tick(now_nanoseconds());
    grace.poll();
  }
}

bool SlowPath::Impl::take_punted() {
  PuntedPacket packet;
  for (unsigned i = 0; i < kPacketsPerTurn; ++i) {
    if (!packets.receive(packet)) return false;
    if (packet.resolve) {
      wait_for_neighbour(packet);
    } else {
      punt(packet);
    }
  }
  return true;
}

void SlowPath::Impl::punt(const PuntedPacket& packet) {
  Tap* tap = packet.port < tap_by_port.size() ? tap_by_port[packet.port] : nullptr;
  if (tap == nullptr) {
    counters.refused.add();
  } else if (!bucket.take(now_nanoseconds(), frame_is_control(packet.data, packet.length))) {
    counters.limited.add();
  } else if (!tap->write(packet.data, packet.length)) {
    counters.refused.add();
  } else {
    counters.punted.add();
  }
  packets.release(packet.handle);
}

void SlowPath::Impl::wait_for_neighbour(const PuntedPacket& packet) {
  const auto destination = frame_destination(packet.data, packet.length);
  const auto neighbour = mirror->neighbour_of(packet.next_hop, destination.value_or(IpAddress()));
  if (!neighbour) {
    counters.waiting_lost.add();
    packets.release(packet.handle);
    return;
  }
  const std::int64_t now = now_nanoseconds();
  const WaitingPackets::Packet held{packet.handle, packet.data, now};
  // Resolved since the worker looked.
  if (const auto hop = mirror->reach(*neighbour)) return transmit(held, *hop);
  if (!waiting.add(*neighbour, held)) {
    counters.waiting_full.add();
    packets.release(packet.handle);
    return;
  }
  counters.waiting.add();
  if (waiting.due_to_ask(*neighbour, now)) mirror->ask(*neighbour);
}

void SlowPath::Impl::transmit(const WaitingPackets::Packet& packet, const NextHop& hop) {
  std::memcpy(packet.data, hop.destination_mac, sizeof hop.destination_mac);
  std::memcpy(packet.data + sizeof hop.destination_mac, hop.source_mac, sizeof hop.source_mac);
  if (packets.transmit(packet.handle, hop.port)) {
    counters.waiting_sent.add();
  } else {
    counters.send_failed.add();
    packets.release(packet.handle);
  }
}

bool SlowPath::Impl::take_from_kernel(std::size_t index) {
  Tap& tap = *taps[index];
  for (unsigned i = 0; i < kFramesPerTurn; ++i) {
    errno = 0;
    const std::size_t length = tap.read(frame.data(), frame.size());
    if (length == 0) {
      if (errno == EBADFD || errno == EBADF) {
        spdlog::error(
            "TAP was removed from the kernel, restart sluice-dataplane to make it again tap={}",
            ports[index].name);
        (void)epoll_ctl(epoll.fd, EPOLL_CTL_DEL, tap.fd(), nullptr);
      }
      return false;
    }
    const bool sent =
        packets.send(ports[index].id, frame.data(), static_cast<std::uint32_t>(length));
    (sent ? counters.from_kernel : counters.send_failed).add();
  }
  return true;
}

void SlowPath::Impl::take_posted() {
  std::uint64_t count;
  (void)!read(wake_fd.fd, &count, sizeof count);
  std::optional<std::vector<IpAddress>> served;
  std::map<std::uint32_t, IpAddress> backends;
  {
    const std::lock_guard lock(posted_mutex);
    served = std::exchange(posted_served, std::nullopt);
    backends = std::exchange(posted_backends, {});
  }
  if (served) {
    facts->set_served(*served);
    vips->set_served(std::move(*served));
    (void)vips->reconcile();
  }
  for (const auto& [id, address] : backends) mirror->change_backend(id, address);
  if (served || !backends.empty()) publish();
}

void SlowPath::Impl::apply(const KernelEvent& event) {
  mirror->apply(event);
  vips->apply(event);
  facts->apply(event);
}

void SlowPath::Impl::follow_kernel() {
  const bool complete = netlink->read_events([this](const KernelEvent& event) { apply(event); });
  if (!complete) {
    spdlog::warn("the kernel's changes came faster than they could be read, reading all again");
    lost_events = true;
  }
  publish();
}

Status SlowPath::Impl::dump() {
  counters.dumps.add();
  lost_events = false;
  mirror->begin_dump();
  vips->begin_dump();
  facts->begin_dump();
  const Status status = netlink->dump([this](const KernelEvent& event) { apply(event); });
  mirror->end_dump(status.ok());
  vips->end_dump(status.ok());
  facts->end_dump(status.ok());
  (void)vips->reconcile();
  publish();
  return status;
}

void SlowPath::Impl::publish() {
  mirror->commit();
  facts->publish();
  if (waiting.size() == 0) return;
  waiting.take_reachable(
      [this](const NeighbourKey& neighbour) { return mirror->reach(neighbour); },
      [this](const WaitingPackets::Packet& packet, const NextHop& hop) { transmit(packet, hop); });
}

void SlowPath::Impl::tick(std::int64_t now) {
  if ((lost_events || mirror->needs_dump()) && now >= next_dump) {
    next_dump = now + kDumpEvery;
    if (Status status = dump(); !status) {
      spdlog::error("routes not up to date, trying again reason=\"{}\"", status.error());
      lost_events = true;
    }
  }
  if (now >= next_expiry) {
    next_expiry = now + kExpireEvery;
    waiting.expire(now, [this](const WaitingPackets::Packet& packet) {
      counters.waiting_expired.add();
      packets.release(packet.handle);
    });
  }
  if (now >= next_second) {
    next_second = now + kSecond;
    bucket.set_rate(packets_per_second.load(std::memory_order_relaxed));
    mirror->ask_again();
    (void)vips->reconcile();
  }
}

void SlowPath::Impl::resolve(const NeighbourKey& neighbour, bool managed) {
  const Status status = netlink->resolve_neighbour(neighbour.second, neighbour.first, managed);
  if (status) return;
  counters.ask_failed.add();
  // Once in a while: a full table of the kernel's refuses each of many.
  const std::uint64_t failures = counters.ask_failed.value.load(std::memory_order_relaxed);
  if ((failures & (failures - 1)) != 0) return;
  spdlog::warn(
      "cannot look for a neighbour; if the kernel's table is full, raise "
      "net.ipv4.neigh.default.gc_thresh3 or net.ipv6's reason=\"{}\" failures={}",
      status.error(), failures);
}

}  // namespace sluice
