#include "control/agent/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "control/model/key.h"

namespace sluice::agent {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

class Families {
 public:
  void gauge(const std::string& name, const std::string& help, Labels labels, double value) {
    add(name, help, MetricType::Gauge, std::move(labels)).gauge.value = value;
  }
  void counter(const std::string& name, const std::string& help, Labels labels,
               std::uint64_t value) {
    add(name, help, MetricType::Counter, std::move(labels)).counter.value =
        static_cast<double>(value);
  }
  void histogram(const std::string& name, const std::string& help,
                 const LatencyHistogram& latency) {
    ClientMetric::Histogram& out = add(name, help, MetricType::Histogram, {}).histogram;
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < latency.counts().size(); ++i) {
      sum += latency.counts()[i];
      if (i < LatencyHistogram::kBounds.size())
        out.bucket.push_back({sum, LatencyHistogram::kBounds[i]});
    }
    out.sample_count = sum;
    out.sample_sum = latency.sum();
  }
  std::string text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  ClientMetric& add(const std::string& name, const std::string& help, MetricType type,
                    Labels labels) {
    if (families_.empty() || families_.back().name != name) {
      families_.push_back({name, help, type, {}});
    }
    ClientMetric& metric = families_.back().metric.emplace_back();
    metric.label = std::move(labels);
    return metric;
  }
  std::vector<MetricFamily> families_;
};

double seconds_since(std::chrono::steady_clock::time_point then) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - then).count();
}

// One family after the other: all of a family's metrics stand together.
void add_kinds(const AgentState& state, Families* out) {
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

void add_publishing(const PublishState& publish, Families* out) {
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

}  // namespace

void LatencyHistogram::add(std::chrono::nanoseconds latency) {
  const double seconds = std::chrono::duration<double>(latency).count();
  const auto bound = std::ranges::lower_bound(kBounds, seconds);
  ++counts_[static_cast<std::size_t>(bound - kBounds.begin())];
  sum_ += seconds;
}

std::string metrics_text(const AgentState& state, const LatencyHistogram& latency,
                         const std::string& version) {
  Families out;
  out.gauge("sluice_agent_info", "1; the labels say which version this is.", {{"version", version}},
            1);
  out.gauge("sluice_agent_leader", "1 while this agent leads.", {}, state.leading ? 1 : 0);
  out.gauge("sluice_agent_lease_token", "Fencing token of the last term.", {},
            static_cast<double>(state.token));
  add_kinds(state, &out);
  add_publishing(state.publish, &out);
  out.histogram("sluice_agent_publish_latency_seconds",
                "From the arrival of a watch event to Redis' answer.", latency);
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
