#include "control/agent/metrics.h"

#include <utility>

#include "control/health/metric_families.h"
#include "control/model/key.h"

namespace sluice::agent {
namespace {

using Labels = MetricFamilies::Labels;

double seconds_since(std::chrono::steady_clock::time_point then) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - then).count();
}

// One family after the other: all of a family's metrics stand together.
void add_kinds(const AgentState& state, MetricFamilies* out) {
  const auto each = [&](auto add) {
    for (const auto& [kind, one] : state.kinds) add(Labels{{"kind", kind_name(kind)}}, one);
  };
  each([&](Labels labels, const KindState& kind) {
    out->gauge("sluice_agent_synced", "1 once all objects of the kind were listed.",
               std::move(labels), kind.synced ? 1 : 0);
  });
  each([&](Labels labels, const KindState& kind) {
    out->gauge("sluice_agent_objects", "Objects of the cluster, as last seen.", std::move(labels),
               static_cast<double>(kind.objects));
  });
  each([&](Labels labels, const KindState& kind) {
    out->gauge("sluice_agent_unusable_objects",
               "Objects held at their last good state because what the cluster has is unusable.",
               std::move(labels), static_cast<double>(kind.unusable));
  });
  each([&](Labels labels, const KindState& kind) {
    out->gauge("sluice_agent_object_bytes", "Bytes of the encoded objects.", std::move(labels),
               static_cast<double>(kind.bytes));
  });
  each([&](Labels labels, const KindState& kind) {
    if (!kind.contact) return;
    out->gauge("sluice_agent_watch_lag_seconds",
               "Seconds since the last event, bookmark or list; bookmarks come every minute.",
               std::move(labels), seconds_since(*kind.contact));
  });
  each([&](Labels labels, const KindState& kind) {
    out->counter("sluice_agent_lists_total", "Whole lists read.", std::move(labels), kind.lists);
  });
  each([&](Labels labels, const KindState& kind) {
    out->counter("sluice_agent_events_total", "Watch events seen.", std::move(labels), kind.events);
  });
  each([&](Labels labels, const KindState& kind) {
    for (const auto& [error, count] : kind.errors) {
      Labels with = labels;
      with.push_back({"error", error});
      out->counter("sluice_agent_errors_total", "Failures of lists and watches, by their sort.",
                   std::move(with), count);
    }
  });
}

void add_publishing(const PublishState& publish, MetricFamilies* out) {
  out->gauge("sluice_agent_redis_connected", "1 while Redis answers.", {},
             publish.connected ? 1 : 0);
  out->gauge("sluice_agent_published", "1 while this agent leads and has published everything.", {},
             publish.published ? 1 : 0);
  out->gauge("sluice_agent_last_sync_timestamp_seconds",
             "When all of Redis was last compared with the cluster; 0: never.", {},
             static_cast<double>(publish.last_sync_unix_ms) / 1000);
  out->gauge("sluice_agent_pending_changes", "Changes that wait for Redis.", {},
             static_cast<double>(publish.pending));
  out->counter("sluice_agent_syncs_total", "Comparisons of all of Redis with the cluster.", {},
               publish.syncs);
  out->counter("sluice_agent_changes_total", "Changes written to Redis.", {}, publish.changes);
  out->counter("sluice_agent_publish_errors_total", "Failures of writing to Redis.", {},
               publish.errors);
  out->counter("sluice_agent_fenced_total", "Times that another publisher had taken over.", {},
               publish.fenced);
  out->gauge("sluice_agent_refused_objects", "Objects that cannot be stored in Redis.", {},
             static_cast<double>(publish.refused_objects));
}

void add_write_back(const WriteBackState& state, MetricFamilies* out) {
  const auto written = [&](const char* what, std::uint64_t count) {
    out->counter("sluice_agent_status_writes_total",
                 "Statuses of Services written to the cluster: addresses, and conditions alone.",
                 {{"what", what}}, count);
  };
  written("addresses", state.addresses_written);
  written("conditions", state.conditions_written);
  const auto unwritten = [&](const char* result, std::uint64_t count) {
    out->counter(
        "sluice_agent_status_write_errors_total",
        "Writes of statuses that did not succeed: conflict (decided again on what is "
        "there now), refused by the API server, failed for want of rights or of a usable answer.",
        {{"error", result}}, count);
  };
  unwritten("conflict", state.conflicts);
  unwritten("refused", state.refused);
  unwritten("failed", state.failed);
  out->counter("sluice_agent_status_contested_total",
               "Statuses written again because another program had undone them.", {},
               state.contested);
  out->gauge("sluice_agent_status_waiting",
             "Services whose status waits to be compared or written.", {},
             static_cast<double>(state.waiting));
  const auto events = [&](const char* result, std::uint64_t count) {
    out->counter("sluice_agent_kubernetes_events_total",
                 "Events about Services: written, dropped for too many, failed.",
                 {{"result", result}}, count);
  };
  events("written", state.events_written);
  events("dropped", state.events_dropped);
  events("failed", state.events_failed);
}

}  // namespace

std::string metrics_text(const AgentState& state, const LatencyHistogram& latency,
                         const std::string& version) {
  MetricFamilies out;
  out.gauge("sluice_agent_info", "1; the labels say which version this is.", {{"version", version}},
            1);
  out.gauge("sluice_agent_leader", "1 while this agent leads.", {}, state.leading ? 1 : 0);
  out.gauge("sluice_agent_lease_token", "Fencing token of the last term.", {},
            static_cast<double>(state.token));
  add_kinds(state, &out);
  add_publishing(state.publish, &out);
  if (state.write_back) add_write_back(*state.write_back, &out);
  out.histogram("sluice_agent_publish_latency_seconds",
                "From the arrival of a watch event to Redis' answer.", {}, latency);
  return out.text();
}

Readiness readiness(const AgentState& state) {
  Readiness result;
  result.ready = true;
  for (const auto& [kind, one] : state.kinds) {
    result.ready = result.ready && one.synced;
    result.text += std::string(one.synced ? "[+]" : "[-]") + kind_name(kind) + ": " +
                   (one.synced ? std::to_string(one.objects) + " objects" : "not listed yet");
    if (!one.last_error.empty()) result.text += "; " + one.last_error;
    result.text += "\n";
  }
  result.text += std::string(state.publish.connected ? "[+]" : "[-]") +
                 "redis: " + (state.publish.connected ? "answers" : "does not answer") + "\n";
  result.text +=
      "leading: " +
      std::string(state.leading ? "yes" : "no, the Lease is held by \"" + state.holder + "\"") +
      "\n";
  if (!state.publish.problem.empty()) result.text += "problem: " + state.publish.problem + "\n";
  result.text += result.ready ? "ready\n" : "not ready\n";
  return result;
}

}  // namespace sluice::agent
