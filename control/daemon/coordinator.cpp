#include "control/daemon/coordinator.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "control/daemon/pool_seeds.h"
#include "control/store/publisher.h"
#include "control/store/reseed.h"

namespace sluice {

using boost::asio::awaitable;
using namespace std::chrono_literals;

namespace {

constexpr auto kPace = 10ms;  // From one pass to the next, at least.
constexpr auto kIdle = 1s;    // Between passes with nothing to do.
constexpr auto kPlanPatience = 1s;
constexpr auto kLeadInterval = 2s;  // A third of the lease.
constexpr auto kGatewaysInterval = 2s;
constexpr auto kReseedInterval = 2s;
constexpr auto kReseedLook = 250ms;
// How long the leader waits for the others' copies of a ledger that Redis lost: they write their
// presence every two seconds, and notice the loss within the five seconds between two checks.
constexpr auto kRebuildAlone = 2500ms;
constexpr auto kRebuildWithOthers = 8s;

}  // namespace

std::int64_t Coordinator::unix_ms_now() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Coordinator::Coordinator(boost::asio::any_io_executor executor, CoordinatorOptions options,
                         Reconciler& reconciler, Programmer& programmer, store::StoreReader& reader,
                         std::function<void()> disk_changed)
    : options_(std::move(options)),
      reconciler_(reconciler),
      programmer_(programmer),
      reader_(reader),
      disk_changed_(std::move(disk_changed)),
      redis_(executor, options_.redis),
      lead_(redis_, options_.gateway),
      ledger_(redis_),
      secret_(redis_, options_.version),
      own_writer_(redis_, options_.gateway),
      merged_writer_(redis_),
      wake_(executor),
      reconnect_(100ms, 5s),
      started_unix_ms_(unix_ms_now()),
      pace_(executor) {}

void Coordinator::load(const v1::DiskState& disk) {
  ledger_.load(disk);
  secret_.load(disk);
  noted_seed_ = secret_.maglev_seed();
  disk_ledger_ = true;
  reconciler_.ledger_changed(true);
}

void Coordinator::save(v1::DiskState* disk) const {
  ledger_.save(disk);
  secret_.save(disk);
}

bool Coordinator::ledger_known() const {
  // A new ledger that nobody rebuilt yet is empty for want of knowledge.
  return disk_ledger_ || ledger_read();
}

bool Coordinator::ledger_read() const {
  return ledger_.state() == store::LedgerState::kReady;
}

void Coordinator::stop() {
  stopping_ = true;
  wake_.notify();
}

void Coordinator::ledger_may_have_changed() {
  ledger_dirty_ = true;
  wake_.notify();
}

void Coordinator::forget_written() {
  own_writer_.forget();
  merged_recalled_ = false;
  presence_written_.clear();
  secret_at_ = {};
  ledger_dirty_ = own_due_.all = merge_due_.all = true;
  wake_.notify();
}

awaitable<void> Coordinator::run() {
  while (!stopping_) {
    if (!redis_.connected()) {
      const Status status = co_await connect();
      if (!status && !stopping_) {
        failed_at_ = std::chrono::system_clock::now();
        co_await wake_.sleep(reconnect_.next());
        continue;
      }
    }
    const Status status = co_await pass();
    if (stopping_) break;
    if (!status) {
      failed_at_ = std::chrono::system_clock::now();
      if (auto left_out = failure_log_.admit())
        spdlog::warn("sharing through redis failed error=\"{}\" left_out={}", status.error(),
                     *left_out);
      co_await wake_.sleep(reconnect_.next());
      continue;
    }
    reconnect_.reset();
    co_await wake_.wait(std::chrono::ceil<std::chrono::milliseconds>(idle_time()));
    if (const auto next = passed_at_ + kPace; Clock::now() < next && !stopping_) {
      boost::system::error_code ignored;
      pace_.expires_at(next);
      co_await pace_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    }
  }
  if (redis_.connected() && lead_.leading()) (void)co_await lead_.resign();
  redis_.close();
}

awaitable<Status> Coordinator::connect() {
  const Status status = co_await redis_.connect();
  if (status) {
    spdlog::info("redis connected address=\"{}\"", store::target_text(options_.redis));
    forget_written();
  } else if (auto left_out = connect_log_.admit()) {
    spdlog::warn("redis unreachable address=\"{}\" error=\"{}\" left_out={}",
                 store::target_text(options_.redis), status.error(), *left_out);
  }
  co_return status;
}

// Until the next thing is due that was put off.
Coordinator::Clock::duration Coordinator::idle_time() const {
  const auto now = Clock::now();
  Clock::duration left = kIdle;
  const bool due = own_due_.any() || (lead_.leading() && merge_due_.any());
  if (due && reader_.read_once()) left = next_statuses() - now;
  if (requests_dirty_) left = std::min(left, next_requests() - now);
  return std::clamp<Clock::duration>(left, Clock::duration::zero(), kIdle);
}

awaitable<Status> Coordinator::pass() {
  passed_at_ = Clock::now();
  plan_what_waits();
  if (reconciler_.refresh()) programmer_.wake();
  if (Status s = co_await hold_lead(); !s) co_return s;
  if (Status s = co_await refresh_ledger(); !s) co_return s;
  if (Status s = co_await refresh_secret(); !s) co_return s;
  if (Status s = co_await refresh_gateways(); !s) co_return s;
  if (lead_.leading()) {
    if (Status s = co_await lead(); !s) co_return s;
  } else if (ledger_.state() == store::LedgerState::kRebuild) {
    const Status s = co_await ledger_.offer_copy(options_.gateway, secret_.maglev_seed());
    if (!s) co_return s;
  }
  if (Status s = co_await allocate(); !s) co_return s;
  if (Status s = co_await write_presence(); !s) co_return s;
  co_return co_await write_statuses();
}

// A source that takes long to come in gets plans without what is missing, so that this is told.
void Coordinator::plan_what_waits() {
  if (!reconciler_.plans_wait()) {
    plans_wait_since_.reset();
  } else if (!plans_wait_since_) {
    plans_wait_since_ = passed_at_;
  } else if (passed_at_ - *plans_wait_since_ >= kPlanPatience) {
    plans_wait_since_.reset();
    reconciler_.plan_waiting();
    programmer_.wake();
  }
}

awaitable<Status> Coordinator::hold_lead() {
  const auto now = Clock::now();
  if (now - lead_at_ < kLeadInterval && lead_.leading() == was_leading_) co_return Ok{};
  const auto held = co_await lead_.hold();
  if (!held) co_return Error{held.error()};
  lead_at_ = now;
  if (*held == was_leading_) co_return Ok{};
  was_leading_ = *held;
  rebuild_since_.reset();
  allocate_dirty_ = merge_due_.all = true;
  presence_written_.clear();
  presence_looked_at_ = {};
  // Another may have written merged statuses since.
  merged_recalled_ = false;
  if (was_leading_) {
    spdlog::info("leading gateway={} token={}", options_.gateway, lead_.leader().token);
  } else {
    spdlog::info("following leader={}", lead_.holder());
  }
  co_return Ok{};
}

awaitable<Status> Coordinator::refresh_ledger() {
  if (!ledger_dirty_ && !ledger_.stale() && ledger_.state() != store::LedgerState::kRebuild)
    co_return Ok{};
  const auto before = ledger_.state();
  ledger_dirty_ = false;
  if (Status s = co_await ledger_.refresh(); !s) {
    ledger_dirty_ = true;
    co_return s;
  }
  if (ledger_.state() != store::LedgerState::kRebuild) rebuild_since_.reset();
  if (before != ledger_.state()) {
    spdlog::info("ledger state={} addresses={}",
                 ledger_.state() == store::LedgerState::kReady ? "ready" : "to-be-rebuilt",
                 ledger_.records().size());
  }
  allocate_dirty_ = true;
  reconciler_.ledger_changed(before != ledger_.state());
  programmer_.wake();
  disk_changed_();
  co_return Ok{};
}

awaitable<Status> Coordinator::lead() {
  if (Status s = co_await reseed(); !s) co_return s;
  if (ledger_.state() == store::LedgerState::kRebuild) {
    if (Status s = co_await rebuild(); !s) co_return s;
  }
  if (Status s = co_await establish_secret(); !s) co_return s;
  co_return co_await seed_pools();
}

awaitable<Status> Coordinator::rebuild() {
  const auto now = Clock::now();
  if (!rebuild_since_) rebuild_since_ = now;
  const bool others = std::ranges::any_of(gateways_, [this](const store::Gateway& gateway) {
    return gateway.alive && gateway.name != options_.gateway;
  });
  if (now - *rebuild_since_ < (others ? std::chrono::milliseconds(kRebuildWithOthers)
                                      : std::chrono::milliseconds(kRebuildAlone)))
    co_return Ok{};
  const auto report = co_await ledger_.rebuild(lead_.leader());
  if (!report) co_return Error{report.error()};
  spdlog::info("ledger rebuilt restored={} copies={}", report->restored, report->gateways.size());
  secret_.adopt(report->maglev_seed, false);
  note_secret();
  rebuild_since_.reset();
  ledger_dirty_ = true;
  reconciler_.ledger_changed(true);
  co_return co_await refresh_ledger();
}

// With neither a copy on disk nor a complete one in Redis, what the dataplane serves is all that is
// left of `manual`: declaring what little Redis has complete would take the rest down.
bool Coordinator::would_lose_services() const {
  const Model& model = reconciler_.model();
  if (model.complete(kManualSource, v1::KIND_SERVICE)) return false;
  if (!programmer_.tried()) return true;
  if (!programmer_.connected()) return false;
  std::set<std::string> known;
  for (const ServiceKey& key : model.services()) known.insert(key.text());
  const std::string prefix = std::string(kManualSource) + "/";
  return std::ranges::any_of(programmer_.link().reported().vips, [&](const auto& vip) {
    return vip.second->service().starts_with(prefix) && !known.contains(vip.second->service());
  });
}

awaitable<Result<bool>> Coordinator::may_bring_back(const store::SourceView& view) {
  if (!would_lose_services()) co_return true;
  if (!programmer_.tried()) co_return false;
  store::RedisCommand get;
  get.push_back("GET");
  get.push_back(store::keys::accept(view.state.source()));
  const auto accepted = co_await redis_.command(std::move(get));
  if (!accepted) co_return Error{accepted.error()};
  if (accepted->is_string() && accepted->text == view.incarnation) co_return true;
  if (auto left_out = held_log_.admit())
    spdlog::error(
        "source held source={} reason=\"neither disk nor redis has all of it, but the dataplane "
        "serves VIPs of it\" advice=\"apply its manifests again; if some are to go, then: "
        "sluice source accept {}\" left_out={}",
        view.state.source(), view.state.source(), *left_out);
  co_return false;
}

awaitable<Status> Coordinator::reseed() {
  const auto now = Clock::now();
  // What was brought back is known only once the reader has seen it.
  if (!reader_.read_once() || now - reseeded_at_ < kReseedInterval ||
      now - reseed_looked_at_ < kReseedLook)
    co_return Ok{};
  reseed_looked_at_ = now;
  for (const store::SourceView& view : reader_.sources()) {
    if (view.reseed == store::Reseed::kNo) continue;
    const auto may = co_await may_bring_back(view);
    if (!may) co_return Error{may.error()};
    if (!*may) continue;
    v1::DiskState disk;
    reader_.save(&disk);
    const auto report =
        co_await store::reseed(redis_, lead_.leader(), disk, view.reseed, options_.version);
    if (!report) co_return Error{report.error()};
    reseeded_at_ = now;
    spdlog::info("source brought back source={} created={} configured={} unchanged={}",
                 view.state.source(), report->created, report->configured, report->unchanged);
  }
  co_return Ok{};
}

// Once per process: a pool that somebody deletes afterwards stays deleted.
awaitable<Status> Coordinator::seed_pools() {
  if (pools_seeded_ || !reconciler_.model().complete(kManualSource, v1::KIND_ADDRESS_POOL))
    co_return Ok{};
  std::vector<v1::Object> missing = missing_pools(options_.pools, reconciler_.pools());
  if (!missing.empty()) {
    store::Publisher publisher(redis_, kManualSource, std::nullopt, options_.version);
    for (const v1::Object& pool : missing)
      spdlog::info("pool seeded name={}", pool.address_pool().metadata().name());
    const auto written = co_await publisher.upsert(std::move(missing));
    if (!written) co_return Error{written.error()};
  }
  pools_seeded_ = true;
  co_return Ok{};
}

awaitable<Status> Coordinator::refresh_gateways() {
  const auto now = Clock::now();
  if (now - gateways_at_ < kGatewaysInterval) co_return Ok{};
  auto gateways = co_await store::list_gateways(redis_);
  if (!gateways) co_return Error{gateways.error()};
  gateways_ = std::move(*gateways);
  gateways_at_ = now;
  co_return Ok{};
}

}  // namespace sluice
