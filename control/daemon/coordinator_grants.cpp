// Coordinator: grants, worked out by every gateway and written by the leading one.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "control/daemon/coordinator.h"

namespace sluice {

using boost::asio::awaitable;
using namespace std::chrono_literals;

namespace {

constexpr auto kAllocateInterval = 1s;  // Hold times end without anybody saying so.

}  // namespace

bool Coordinator::withdrawn_everywhere(const IpAddress& address) const {
  if (!programmer_.withdrawn(address)) return false;
  const std::string bytes = address.bytes();
  return std::ranges::all_of(gateways_, [&](const store::Gateway& gateway) {
    if (!gateway.alive || gateway.name == options_.gateway) return true;
    return std::ranges::find(gateway.presence.withdrawn(), bytes) !=
           gateway.presence.withdrawn().end();
  });
}

void Coordinator::note_allocation(std::map<ServiceKey, v1::Condition> allocated,
                                  std::map<ServiceKey, std::vector<v1::Condition>> warnings) {
  const auto same = [](const v1::Condition& a, const v1::Condition& b) {
    return a.type() == b.type() && a.status() == b.status() && a.message() == b.message();
  };
  // Whoever is in one of them alone, or otherwise than in the other.
  const auto note = [this](const auto& before, const auto& after, const auto& equal) {
    for (const auto& [key, value] : before)
      if (!after.contains(key)) own_due_.services.insert(key);
    for (const auto& [key, value] : after) {
      const auto at = before.find(key);
      if (at == before.end() || !equal(at->second, value)) own_due_.services.insert(key);
    }
  };
  note(allocated_, allocated, same);
  note(allocation_warnings_, warnings,
       [&](const auto& a, const auto& b) { return std::ranges::equal(a, b, same); });
  allocated_ = std::move(allocated);
  allocation_warnings_ = std::move(warnings);
  allocation_waits_ = std::ranges::any_of(allocated_, [](const auto& item) {
    return item.second.status() != "True" || item.second.reason() != "Allocated";
  });
}

// Every gateway decides, to tell why a Service has no address; the leading one alone writes.
awaitable<Status> Coordinator::allocate() {
  // Nothing is written before, neither grants nor what statuses say of them.
  if (!reader_.read_once()) co_return Ok{};
  const auto now = Clock::now();
  reconciler_.refresh();
  requests_dirty_ = reconciler_.take_requests_changed() || requests_dirty_;
  // Time ends holds; that concerns only those who wait. It takes a twentieth of the time at most;
  // what requests that come one after the other bring, a fifth. After a pause it is done at once.
  const bool due =
      allocation_waits_ &&
      now - allocate_at_ >= std::max<Clock::duration>(kAllocateInterval, 20 * allocation_took_);
  const bool asked = requests_dirty_ && now >= next_requests();
  if (!allocate_dirty_ && !asked && !due) co_return Ok{};
  allocate_dirty_ = requests_dirty_ = false;
  allocate_at_ = now;
  Allocation decided = reconciler_.allocate(
      {&ledger_.records(), ledger_.unreadable(), unix_ms_now(),
       std::chrono::duration_cast<std::chrono::milliseconds>(options_.address_hold).count(),
       [this](const IpAddress& address) { return withdrawn_everywhere(address); }});
  allocation_took_ = Clock::now() - now;
  note_allocation(std::move(decided.conditions), std::move(decided.warnings));
  const bool may_write =
      lead_.leading() && ledger_.state() == store::LedgerState::kReady && reader_.connected();
  if (decided.writes.empty()) co_return Ok{};
  if (!may_write) {
    allocation_waits_ = true;
    co_return Ok{};
  }
  co_return co_await write_grants(std::move(decided.writes));
}

awaitable<Status> Coordinator::write_grants(std::vector<v1::Address> writes) {
  Status result = Ok{};
  for (std::size_t at = 0; at < writes.size() && result; at += store::Ledger::kMaxApply) {
    const auto end = std::min(writes.size(), at + store::Ledger::kMaxApply);
    std::vector<v1::Address> chunk(writes.begin() + static_cast<std::ptrdiff_t>(at),
                                   writes.begin() + static_cast<std::ptrdiff_t>(end));
    result = co_await ledger_.apply(lead_.leader(), std::move(chunk));
  }
  // Refused for a stale view or not: what stands now decides the next round.
  ledger_dirty_ = true;
  if (result) spdlog::info("ledger written records={}", writes.size());
  const Status refreshed = co_await refresh_ledger();
  wake_.notify();
  co_return result ? refreshed : result;
}

}  // namespace sluice
