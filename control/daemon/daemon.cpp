#include "control/daemon/daemon.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <filesystem>
#include <utility>

#include "config/gateway_config.h"
#include "control/store/disk.h"

namespace sluice {

namespace asio = boost::asio;
using asio::awaitable;
using namespace std::chrono_literals;

namespace {

constexpr auto kShortestSave = 1000ms, kLongestSave = 30000ms;  // From one save to the next.
constexpr int kSaveShare = 20;  // It takes one part of so many of the time.

std::string program_version() {
  return "sluice-control " SLUICE_VERSION;
}

// Empty, or why it could not be written.
awaitable<std::string> write_image(std::string path, std::shared_ptr<store::DiskImage> image) {
  // Packets and changes go first.
  (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 10);
  const Status saved = store::save_disk_state(path, std::move(*image));
  co_return saved ? std::string() : saved.error();
}

awaitable<void> read_image(std::string path, Result<store::LoadedState>* loaded) {
  *loaded = store::load_disk_state(path);
  co_return;
}

CoordinatorOptions coordinator_options(const v1::GatewayConfig& config) {
  CoordinatorOptions options;
  options.redis = store::redis_options(config.redis());
  options.gateway = gateway_name(config);
  options.version = program_version();
  options.pools.assign(config.control().pools().begin(), config.control().pools().end());
  options.address_hold = std::chrono::seconds(config.control().address_hold_seconds());
  return options;
}

// Fields of gateway.yaml that take effect on SIGHUP.
bool takes_effect_at_once(const std::string& field) {
  return field.starts_with("logging") || field == "control.forwardingMode" ||
         field == "control.overlay" || field == "control.loadBalancerClasses" ||
         field == "control.addressHoldSeconds";
}

}  // namespace

std::string gateway_name(const v1::GatewayConfig& config) {
  if (!config.gateway().name().empty()) return config.gateway().name();
  char name[256] = {};
  return ::gethostname(name, sizeof(name) - 1) == 0 && name[0] ? name : "localhost";
}

PlanSettings plan_settings(const v1::GatewayConfig& config) {
  PlanSettings settings;
  const auto mode = forwarding_mode_from_name(config.control().forwarding_mode());
  if (mode != v1::FORWARDING_MODE_UNSPECIFIED) settings.default_mode = mode;
  const auto overlay = overlay_from_name(config.control().overlay());
  settings.default_overlay = overlay.value_or(v1::OVERLAY_KIND_UNSPECIFIED);
  settings.load_balancer_classes.assign(config.control().load_balancer_classes().begin(),
                                        config.control().load_balancer_classes().end());
  return settings;
}

Daemon::Daemon(asio::io_context& io, v1::GatewayConfig config, std::string config_file)
    : io_(io),
      config_(std::move(config)),
      config_file_(std::move(config_file)),
      disk_path_(config_.control().state_directory() + "/state.pb"),
      signals_(io, SIGTERM, SIGINT, SIGHUP),
      save_wake_(io.get_executor()),
      listen_retry_(io.get_executor()),
      disk_thread_(1),
      report_thread_(1),
      reconciler_(plan_settings(config_)),
      reader_(io.get_executor(), store::redis_options(config_.redis()), *this),
      programmer_(io.get_executor(), report_thread_.get_executor(), reconciler_, ids_,
                  config_.dataplane().socket(), program_version(),
                  {[this](bool serving) { return ready(serving); },
                   [this] { return coordinator_.maglev_seed(); },
                   [this] { coordinator_.dataplane_connected(); },
                   [this] {
                     disk_dirty_ = true;
                     coordinator_.wake();
                   }}),
      coordinator_(io.get_executor(), coordinator_options(config_), reconciler_, programmer_,
                   reader_, [this] { disk_dirty_ = true; }),
      health_(io.get_executor(), [this](std::string_view path) { return answer(path); }) {
  reconciler_.set_ledger(&coordinator_.ledger());
}

Daemon::~Daemon() = default;

template <typename Loop>
void Daemon::spawn(const char* name, Loop loop) {
  asio::co_spawn(io_, std::move(loop), [name](std::exception_ptr failure) {
    if (!failure) return;
    // None of ours throws; what does (no memory) leaves nothing to go on with.
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& e) {
      spdlog::critical("loop ended loop={} error=\"{}\"", name, e.what());
    }
    std::abort();
  });
}

Status Daemon::prepare_directory() {
  const std::string& directory = config_.control().state_directory();
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error)
    return Error{"control.stateDirectory \"" + directory +
                 "\": cannot be made: " + error.message()};
  auto lock = LockFile::take(directory + "/control.lock");
  if (!lock) return Error{lock.error()};
  lock_.emplace(std::move(*lock));
  return Ok{};
}

Status Daemon::take_disk(Result<store::LoadedState> loaded) {
  if (!loaded) return Error{loaded.error()};
  if (!loaded->warning.empty()) spdlog::warn("disk state problem=\"{}\"", loaded->warning);
  if (!loaded->state) {
    spdlog::info("disk state none file={}", disk_path_);
    return Ok{};
  }
  disk_loaded_ = true;
  ids_.load(loaded->state->ids());
  programmer_.set_last_generation(loaded->state->generation());
  coordinator_.load(*loaded->state);
  spdlog::info("disk state loaded sources={} addresses={} generation={}",
               loaded->state->sources_size(), loaded->state->addresses_size(),
               loaded->state->generation());
  reader_.load(std::move(*loaded->state));
  return Ok{};
}

Status Daemon::start() {
  if (Status s = prepare_directory(); !s) return s;
  spdlog::info("starting version={} gateway={} redis=\"{}\" dataplane={}", SLUICE_VERSION,
               gateway_name(config_), store::target_text(store::redis_options(config_.redis())),
               config_.dataplane().socket());
  spawn("begin", begin());
  spawn("programmer", programmer_.run());
  spawn("listen", listen());
  spawn("signals", handle_signals());
  return Ok{};
}

awaitable<void> Daemon::begin() {
  Result<store::LoadedState> loaded = store::LoadedState{};
  awaitable<void> reading = read_image(disk_path_, &loaded);
  co_await asio::co_spawn(disk_thread_, std::move(reading), asio::use_awaitable);
  if (stopping_) co_return;
  begun_ = take_disk(std::move(loaded));
  if (!begun_) {
    stop();
    co_return;
  }
  programmer_.begin();
  spawn("reader", reader_.run());
  spawn("coordinator", coordinator_.run());
  spawn("save", save_loop());
}

void Daemon::stop() {
  if (std::exchange(stopping_, true)) return;
  reader_.stop();
  programmer_.stop();
  coordinator_.stop();
  save_wake_.notify();
  listen_retry_.notify();
  health_.stop();
  signals_.cancel();
}

// Programming begins with knowledge: of the objects and of who holds which address, both read from
// Redis. Before that, what the dataplane serves is right: it may have been given more than the last
// copy on disk knows of. That copy is good for a dataplane that serves nothing.
bool Daemon::ready(bool serving) const {
  if (reader_.read_once() && coordinator_.ledger_read()) return true;
  return !serving && (disk_loaded_ || reader_.read_once()) && coordinator_.ledger_known();
}

void Daemon::on_upsert(const ObjectKey& key, std::shared_ptr<const v1::Object> object) {
  reconciler_.model().upsert(key, std::move(object));
}

void Daemon::on_delete(const ObjectKey& key) {
  reconciler_.model().remove(key);
}

void Daemon::on_timed(const store::TimedChange& change) {
  programmer_.latency().add(change);
}

void Daemon::on_source(const store::SourceView& view) {
  const std::string& source = view.state.source();
  const std::set<v1::Kind> complete(view.complete.begin(), view.complete.end());
  std::set<v1::Kind>& known = complete_[source];
  for (v1::Kind kind : complete)
    if (!known.contains(kind)) reconciler_.model().set_complete(source, kind, true);
  for (v1::Kind kind : known)
    if (!complete.contains(kind)) reconciler_.model().set_complete(source, kind, false);
  known = complete;

  std::string& incarnation = incarnations_[source];
  if (incarnation != view.incarnation) {
    incarnation = view.incarnation;
    coordinator_.forget_written();
  }
  if (view.alarmed) {
    if (auto left_out = source_log_.admit())
      spdlog::error(
          "source held source={} reason=\"{}\" advice=\"if this is meant: sluice source accept "
          "{}\" "
          "left_out={}",
          source, view.state.message(), source, *left_out);
  } else if (auto left_out = source_log_.admit()) {
    spdlog::info(
        "source state={} source={} sequence={} held={} problems={} message=\"{}\" left_out={}",
        view.state.state(), source, view.state.sequence(), view.held, view.problems.size(),
        view.state.message(), *left_out);
  }
  for (const store::Problem& problem : view.problems)
    if (auto left_out = source_log_.admit())
      spdlog::warn("unusable value key={} problem=\"{}\" left_out={}", problem.key, problem.text,
                   *left_out);
  disk_dirty_ = true;
  programmer_.wake();
  coordinator_.wake();
}

void Daemon::on_ledger() {
  coordinator_.ledger_may_have_changed();
}

void Daemon::on_synced() {
  disk_dirty_ = true;
  programmer_.wake();
  coordinator_.wake();
}

void Daemon::on_connected(bool connected) {
  if (!connected) reading_failed_at_ = std::chrono::system_clock::now();
  spdlog::log(
      connected ? spdlog::level::info : spdlog::level::warn,
      connected ? "redis answers" : "redis does not answer: serving by the last good state");
}

// Only what is known is worth keeping: an unread Redis must not overwrite a good file. Writing and
// syncing take long, and what they need does not change: another thread does it.
awaitable<void> Daemon::save_disk() {
  if (!disk_dirty_ || !(disk_loaded_ || reader_.read_once())) co_return;
  disk_dirty_ = false;
  const auto image = std::make_shared<store::DiskImage>();
  store::stamp(image->state.mutable_header(), program_version());
  image->sources = reader_.image();
  coordinator_.save(&image->state);
  *image->state.mutable_ids() = ids_.save();
  image->state.set_generation(programmer_.last_generation());
  const auto begun = std::chrono::steady_clock::now();
  awaitable<std::string> writing = write_image(disk_path_, image);
  const std::string error =
      co_await asio::co_spawn(disk_thread_, std::move(writing), asio::use_awaitable);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - begun);
  save_interval_ =
      std::clamp<std::chrono::milliseconds>(kSaveShare * took, kShortestSave, kLongestSave);
  if (error.empty()) {
    disk_loaded_ = true;
    co_return;
  }
  disk_dirty_ = true;
  save_failed_at_ = std::chrono::system_clock::now();
  if (auto left_out = save_log_.admit())
    spdlog::error("disk state not saved file={} error=\"{}\" left_out={}", disk_path_, error,
                  *left_out);
}

awaitable<void> Daemon::save_loop() {
  while (!stopping_) {
    co_await save_wake_.wait(save_interval_);
    co_await save_disk();
  }
  co_await save_disk();  // What came while the last one was written.
}

awaitable<void> Daemon::handle_signals() {
  while (!stopping_) {
    boost::system::error_code error;
    const int signal =
        co_await signals_.async_wait(asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return;
    if (signal == SIGHUP) {
      reload();
      continue;
    }
    spdlog::info("stopping signal={} vips stay with the dataplane", signal);
    stop();
  }
}

void Daemon::reload() {
  auto next = load_gateway_config(config_file_);
  if (!next) {
    spdlog::error("configuration not reloaded, the old one stays error=\"{}\"", next.error());
    return;
  }
  const auto changed = changed_fields(config_, *next);
  spdlog::info("configuration reloaded changed={}", changed.size());
  for (const std::string& field : changed) {
    if (takes_effect_at_once(field)) {
      spdlog::info("configuration changed field={} effect=now", field);
    } else {
      spdlog::warn("configuration changed field={} effect=\"after a restart of {}\"", field,
                   field.starts_with("dataplane") ? "sluice-dataplane" : "sluice-control");
    }
  }
  *config_.mutable_logging() = next->logging();
  v1::Control& control = *config_.mutable_control();
  control.set_forwarding_mode(next->control().forwarding_mode());
  control.set_overlay(next->control().overlay());
  *control.mutable_load_balancer_classes() = next->control().load_balancer_classes();
  control.set_address_hold_seconds(next->control().address_hold_seconds());
  init_logging(config_.logging(), "sluice-control");
  coordinator_.set_address_hold(std::chrono::seconds(control.address_hold_seconds()));
  reconciler_.set_settings(plan_settings(config_));
  programmer_.wake();
  coordinator_.wake();
}

}  // namespace sluice
