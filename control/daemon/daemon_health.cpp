// What sluice-control tells of itself over HTTP.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "control/daemon/daemon.h"
#include "control/daemon/metrics.h"
#include "control/health/metric_families.h"

namespace sluice {

using boost::asio::awaitable;

// An address that cannot be used (not there yet, or taken) is no reason to leave the dataplane
// without changes: it is tried again.
awaitable<void> Daemon::listen() {
  constexpr std::chrono::seconds kRetry{10};
  const std::string address = config_.control().listen();
  while (!stopping_ && !address.empty()) {
    const Status listening = health_.listen(address);
    if (listening) {
      spdlog::info("health and metrics listen={} port={}", address, health_.port());
      co_return;
    }
    if (auto left_out = listen_log_.admit())
      spdlog::error("no health and metrics error=\"control.{}\" retry_s={} left_out={}",
                    listening.error(), kRetry.count(), *left_out);
    co_await listen_retry_.wait(kRetry);
  }
}

ControlState Daemon::state() const {
  ControlState state;
  state.version = SLUICE_VERSION;
  state.gateway = gateway_name(config_);
  state.redis_connected = reader_.connected();
  state.objects_read = reader_.read_once();
  state.disk_loaded = disk_loaded_;
  state.sources = reader_.sources();
  state.services = reconciler_.plans().size();
  state.ledger = coordinator_.ledger_state();
  state.ledger_known = coordinator_.ledger_known();
  state.addresses = coordinator_.ledger().size();
  state.leading = coordinator_.leading();
  state.leader = coordinator_.leader();
  const ProgramState program = programmer_.state();
  state.secret_known = program.seed_known;
  state.dataplane_connected = program.connected;
  state.dataplane_error = program.error;
  state.programmed = programmer_.programmed();
  const DataplaneLink& link = programmer_.link();
  state.generation = link.generation();
  state.vips = link.reported().vips.size();
  state.backends = link.reported().backends.size();
  state.programs = programmer_.counters();
  state.planned = reconciler_.planned();
  state.worked_out = reconciler_.desired().counters();
  state.latency = &programmer_.latency();
  state.redis_failed = std::max(reading_failed_at_, coordinator_.failed_at());
  state.dataplane_failed = programmer_.failed_at();
  state.disk_failed = save_failed_at_;
  return state;
}

HealthAnswer Daemon::answer(std::string_view path) const {
  HealthAnswer answer;
  if (path == "/healthz") {
    answer.body = "ok\n";  // This loop answers.
  } else if (path == "/readyz") {
    ControlReadiness now = control_readiness(state());
    answer.status = now.ready ? 200 : 503;
    answer.body = std::move(now.text);
  } else if (path == "/metrics") {
    answer.content_type = MetricFamilies::kContentType;
    answer.body = control_metrics(state());
  } else {
    answer.status = 404;
    answer.body = "there are /healthz, /readyz and /metrics\n";
  }
  return answer;
}

}  // namespace sluice
