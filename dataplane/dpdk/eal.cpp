#include "dataplane/dpdk/eal.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <sched.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <limits>
#include <mutex>

#include "dataplane/kernel/fib.h"

namespace sluice {
namespace {

constexpr const char* kFilePrefix = "sluice-dataplane-";
constexpr std::uint64_t kMegabyte = 1u << 20;
// Behind the buffers: mbuf header, headroom, object header and alignment.
constexpr std::uint64_t kPacketBufferOverhead = 128 + 128 + 128;
constexpr std::uint64_t kFixedMemory = 48 * kMegabyte;  // EAL, rings, devices.
constexpr std::uint64_t kFirstLevel = 72 * kMegabyte;   // Of a DPDK prefix table: 2^24 entries.
constexpr std::uint64_t kBytesPerRoute =
    1024;  // Of its second level, if every route needed its own.
constexpr std::uint32_t kPoolCache = 512, kBurstPackets = 128;  // Held by a thread.
constexpr std::uint32_t kDefaultDescriptors = 1024;

std::uint64_t routes_memory(std::uint32_t routes) {
  return routes <= kPlainFibRoutes ? 0 : kFirstLevel + routes * kBytesPerRoute;
}

std::uint64_t read_number(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  return file >> value ? value : 0;
}

// DPDK's log stream: whole lines go to spdlog, and the last complaints are kept for our own
// messages.
class LogLines {
 public:
  void write(const char* text, std::size_t length) {
    std::lock_guard lock(mutex_);
    const int level = rte_log_cur_msg_loglevel();
    pending_.append(text, length);
    for (std::size_t end; (end = pending_.find('\n')) != std::string::npos;) {
      line(pending_.substr(0, end), level);
      pending_.erase(0, end + 1);
    }
    if (pending_.size() > 4096) pending_.clear();
  }
  std::string take(const std::string& subject) {
    std::lock_guard lock(mutex_);
    std::string all, about;
    for (const auto& one : complaints_) {
      std::string& out = one.find(subject) != std::string::npos ? about : all;
      out += (out.empty() ? "" : "; ") + one;
    }
    complaints_.clear();
    return about.empty() ? all : about;
  }

 private:
  void line(const std::string& text, int level) {
    if (text.empty()) return;
    if (level > 0 && level <= static_cast<int>(RTE_LOG_ERR)) {
      complaints_.push_back(text);
      if (complaints_.size() > 8) complaints_.pop_front();
      spdlog::warn("dpdk message=\"{}\"", text);
    } else {
      spdlog::debug("dpdk message=\"{}\"", text);
    }
  }
  std::mutex mutex_;
  std::string pending_;
  std::deque<std::string> complaints_;
};

LogLines& log_lines() {
  static auto* lines = new LogLines;  // Never destroyed: DPDK may log until the very end.
  return *lines;
}

ssize_t write_log(void*, const char* text, size_t length) {
  log_lines().write(text, length);
  return static_cast<ssize_t>(length);
}

void redirect_log() {
  static std::FILE* stream = [] {
    std::FILE* file = fopencookie(nullptr, "w", {nullptr, write_log, nullptr, nullptr});
    if (file != nullptr) std::setvbuf(file, nullptr, _IOLBF, 0);
    return file;
  }();
  if (stream != nullptr) rte_openlog_stream(stream);
}

Result<std::string> plan_lcores(const v1::Dataplane& config, const Machine& machine,
                                std::vector<std::string>& warnings) {
  if (!config.lcores().empty()) return config.lcores();
  if (machine.cpus.empty())
    return Error{"this process may run on no CPU; check its affinity or cgroup"};
  const std::size_t cpus = machine.cpus.size();
  const std::size_t workers = std::max<std::uint32_t>(config.workers(), 1);
  // With a CPU for each worker, the first one is left to the kernel, control and the slow path.
  const bool share = workers > cpus - 1;
  std::string lcores = "0@" + std::to_string(machine.cpus[0]);
  for (std::size_t worker = 0; worker < workers; ++worker) {
    const unsigned cpu = machine.cpus[share ? worker % cpus : worker + 1];
    lcores += "," + std::to_string(worker + 1) + "@" + std::to_string(cpu);
  }
  if (share) {
    const char* advice =
        config.idle() == "spin"
            ? "; a worker that spins starves what shares its CPU: set dataplane.idle to back-off"
            : "";
    warnings.push_back("threads share CPUs: cpus=" + std::to_string(cpus) +
                       " workers=" + std::to_string(workers) + advice);
  }
  return lcores;
}

// Huge pages, or ordinary memory where they are missing and that is allowed.
Status plan_memory(const v1::Dataplane& config, const Machine& machine, EalPlan& plan) {
  const std::string& wish = config.memory().huge_pages();
  const std::uint64_t needed = needed_memory(config);
  const std::uint64_t available = machine.free_huge_pages * machine.huge_page_bytes;
  std::string remedy = "the kernel has no huge pages";
  if (machine.huge_page_bytes != 0) {
    const std::uint64_t pages = (needed + machine.huge_page_bytes - 1) / machine.huge_page_bytes;
    remedy = "needed_mb=" + std::to_string(needed / kMegabyte) +
             " free_mb=" + std::to_string(available / kMegabyte) +
             "; `sysctl -w vm.nr_hugepages=" + std::to_string(pages + 16) + "` provides them";
  }
  if (wish == "on" && available == 0)
    return Error{"dataplane.memory.hugePages is on, but none are free: " + remedy};
  plan.huge_pages = wish == "on" || (wish != "off" && available >= needed);
  if (plan.huge_pages) {
    plan.arguments.push_back("--in-memory");
    if (config.memory().megabytes() != 0) {
      plan.arguments.push_back("--socket-limit=" + std::to_string(config.memory().megabytes()));
    }
    return Ok{};
  }
  if (wish != "off")
    plan.warnings.push_back("no huge pages, using ordinary memory, which is slower: " + remedy);
  const std::uint64_t megabytes = config.memory().megabytes() != 0
                                      ? config.memory().megabytes()
                                      : (needed + needed / 4) / kMegabyte + 64;
  plan.arguments.insert(plan.arguments.end(),
                        {"--no-huge", "--no-shconf", "-m", std::to_string(megabytes)});
  return Ok{};
}

// The same for one socket path, so that a start after a crash finds its own remains.
std::string file_prefix(const v1::Dataplane& config) {
  return kFilePrefix + std::to_string(std::hash<std::string>{}(config.socket()) % 100000000);
}

}  // namespace

Machine this_machine() {
  Machine machine;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) machine.cpus.push_back(cpu);
    }
  }
  // The size with the most free memory counts: EAL takes pages of any size.
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", error)) {
    unsigned long kilobytes = 0;
    if (std::sscanf(entry.path().filename().c_str(), "hugepages-%lukB", &kilobytes) != 1) continue;
    const std::uint64_t bytes = std::uint64_t{kilobytes} * 1024;
    const std::uint64_t pages = read_number(entry.path() / "free_hugepages");
    const bool first = machine.huge_page_bytes == 0;
    const bool more = pages * bytes > machine.free_huge_pages * machine.huge_page_bytes;
    const bool smaller =
        machine.free_huge_pages == 0 && pages == 0 && bytes < machine.huge_page_bytes;
    if (first || more || smaller) {
      machine.huge_page_bytes = bytes;
      machine.free_huge_pages = pages;
    }
  }
  return machine;
}

std::uint64_t packet_buffer_bytes(const v1::Dataplane& config) {
  std::uint64_t room = 2048;
  for (const auto& port : config.ports()) {
    room = std::max<std::uint64_t>(
        room, (port.mtu() + 64 + 63) / 64 * 64);  // Ethernet, two tags, alignment.
  }
  return room;
}

std::uint32_t packet_buffers(const v1::Dataplane& config) {
  std::uint32_t least = (config.workers() + 2) * (kPoolCache + kBurstPackets);
  for (const auto& port : config.ports()) {
    const auto held = [](std::uint32_t descriptors) {
      return descriptors == 0 ? kDefaultDescriptors : descriptors;
    };
    least += config.workers() * (held(port.rx_descriptors()) + held(port.tx_descriptors()));
  }
  return std::max(config.memory().packet_buffers(), least);
}

std::uint32_t route_room(std::uint32_t routes, std::uint32_t vips) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(
      std::uint64_t{routes} + vips, std::numeric_limits<std::int32_t>::max()));
}

std::uint64_t needed_memory(const v1::Dataplane& config) {
  return packet_buffers(config) * (packet_buffer_bytes(config) + kPacketBufferOverhead) +
         kFixedMemory +
         routes_memory(route_room(config.tables().routes_ipv4(), config.tables().vips())) +
         routes_memory(route_room(config.tables().routes_ipv6(), config.tables().vips()));
}

bool is_pci_address(const std::string& device) {
  unsigned domain = 0, bus = 0, slot = 0, function = 0;
  char rest = 0;
  const std::string name = device_name(device);
  return std::sscanf(name.c_str(), "%4x:%2x:%2x.%1x%c", &domain, &bus, &slot, &function, &rest) ==
             4 ||
         std::sscanf(name.c_str(), "%2x:%2x.%1x%c", &bus, &slot, &function, &rest) == 3;
}

std::string device_name(const std::string& device) {
  std::string name = device.substr(0, device.find(','));
  // EAL names PCI devices with their domain and in lower case.
  if (std::count(name.begin(), name.end(), ':') == 1 && name.find('.') != std::string::npos)
    name = "0000:" + name;
  if (name.find(':') != std::string::npos) {
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return std::tolower(c); });
  }
  return name;
}

Result<EalPlan> plan_eal(const v1::Dataplane& config, const Machine& machine) {
  EalPlan plan;
  auto lcores = plan_lcores(config, machine, plan.warnings);
  if (!lcores) return Error{lcores.error()};
  plan.arguments = {"--lcores=" + *lcores, "--file-prefix=" + file_prefix(config),
                    "--log-level=warning"};
  if (auto memory = plan_memory(config, machine, plan); !memory) return Error{memory.error()};
  bool pci = false;
  for (const auto& port : config.ports()) {
    if (is_pci_address(port.device())) {
      pci = true;
      plan.arguments.insert(plan.arguments.end(), {"-a", port.device()});
    } else {
      plan.arguments.push_back("--vdev=" + port.device());
    }
  }
  if (!pci) plan.arguments.push_back("--no-pci");
  plan.arguments.insert(plan.arguments.end(), config.eal().begin(), config.eal().end());
  return plan;
}

Status start_eal(const EalPlan& plan) {
  redirect_log();
  for (const auto& warning : plan.warnings) spdlog::warn("{}", warning);
  std::vector<std::string> copy = plan.arguments;
  copy.insert(copy.begin(), "sluice-dataplane");
  std::vector<char*> argv;
  std::string line;
  for (auto& argument : copy) {
    argv.push_back(argument.data());
    line += (line.empty() ? "" : " ") + argument;
  }
  argv.push_back(nullptr);
  spdlog::debug("starting EAL arguments=\"{}\"", line);
  if (rte_eal_init(static_cast<int>(copy.size()), argv.data()) < 0) {
    return Error{"DPDK's EAL did not start (" + std::string(rte_strerror(rte_errno)) +
                 "): " + take_dpdk_complaints() + "; arguments: " + line};
  }
  return Ok{};
}

void stop_eal() {
  const std::filesystem::path folder = rte_eal_get_runtime_dir();
  rte_eal_cleanup();
  // EAL leaves the folder of its telemetry socket behind. One of another prefix may be shared.
  std::error_code error;
  if (folder.filename().string().starts_with(kFilePrefix)) {
    std::filesystem::remove_all(folder, error);
  }
}

std::string take_dpdk_complaints(const std::string& subject) {
  return log_lines().take(subject);
}

}  // namespace sluice
