#include "control/daemon/metrics.h"

#include <algorithm>

#include "control/health/metric_families.h"
#include "control/model/key.h"
#include "control/store/source_hash.h"

namespace sluice {
namespace {

using store::LedgerState;

double unix_seconds(ControlState::Time time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

void add_latency(const ChangeLatency& latency, MetricFamilies* out) {
  for (std::size_t hop = 0; hop < ChangeLatency::kNames.size(); ++hop) {
    out->histogram(
        "sluice_control_change_seconds",
        "How long changes of objects took, by hop: agent (event's bytes arrived to sent to Redis), "
        "redis (to read from the stream), control (to sent to the dataplane, or found to change "
        "nothing there), dataplane (to acknowledged), all. redis and all compare clocks of two "
        "machines, which have to be synchronised.",
        {{"hop", ChangeLatency::kNames[hop]}}, latency.of(static_cast<ChangeLatency::Hop>(hop)));
  }
  out->gauge("sluice_control_changes_waiting", "Changes read that the dataplane has not taken yet.",
             {}, static_cast<double>(latency.waiting()));
  out->counter("sluice_control_changes_unmeasured_total",
               "Changes left out of sluice_control_change_seconds: too many waited, or a clock was "
               "wrong by more than a day.",
               {}, latency.counters().unmeasured);
  out->counter("sluice_control_clock_disagreements_total",
               "Intervals of sluice_control_change_seconds that came out negative, and count as 0: "
               "the clocks of two machines differ.",
               {}, latency.counters().negative);
}

void add_programming(const ControlState& state, MetricFamilies* out) {
  out->gauge("sluice_control_dataplane_connected", "1 while the dataplane answers.", {},
             state.dataplane_connected ? 1 : 0);
  out->gauge("sluice_control_dataplane_programmed",
             "1 while the dataplane answers and has taken what was wanted once.", {},
             state.programmed ? 1 : 0);
  out->gauge("sluice_control_generation", "Generation the dataplane took last.", {},
             static_cast<double>(state.generation));
  out->gauge("sluice_control_vips", "VIPs the dataplane serves.", {},
             static_cast<double>(state.vips));
  out->gauge("sluice_control_backends", "Backends the dataplane knows.", {},
             static_cast<double>(state.backends));
  const ProgramCounters& programs = state.programs;
  out->counter("sluice_control_generations_applied_total", "Transactions the dataplane took.", {},
               programs.generations);
  out->counter("sluice_control_generations_refused_total", "Transactions the dataplane refused.",
               {}, programs.refusals);
  out->counter("sluice_control_vips_sent_total", "VIPs sent to the dataplane, new or changed.", {},
               programs.vips);
  out->counter("sluice_control_deletes_sent_total",
               "VIPs, backends and addresses taken from the dataplane.", {}, programs.deletes);
  out->counter("sluice_control_bytes_sent_total", "Bytes of transactions the dataplane took.", {},
               programs.bytes);
  out->counter("sluice_control_maglev_tables_total", "Maglev tables the dataplane had to build.",
               {}, programs.tables);
}

void add_working(const ControlState& state, MetricFamilies* out) {
  out->gauge("sluice_control_services", "Services that are to be served.", {},
             static_cast<double>(state.services));
  out->counter("sluice_control_services_planned_total", "Plans of Services made anew.", {},
               state.planned);
  out->counter("sluice_control_services_worked_out_total",
               "Services whose part of the dataplane's state was worked out anew.", {},
               state.worked_out.services);
  out->counter("sluice_control_full_rebuilds_total",
               "Times that all Services were worked out anew.", {}, state.worked_out.full);
}

void add_sources(const ControlState& state, MetricFamilies* out) {
  const auto each = [&](auto add) {
    for (const store::SourceView& view : state.sources) {
      for (const v1::Kind kind : store::all_kinds()) {
        add(MetricFamilies::Labels{{"source", view.state.source()}, {"kind", kind_name(kind)}},
            view, kind);
      }
    }
  };
  each([&](auto labels, const store::SourceView& view, v1::Kind kind) {
    const auto found = view.objects.find(kind);
    const std::int64_t count = found == view.objects.end() ? 0 : found->second;
    out->gauge("sluice_control_objects", "Objects known, with those held.", std::move(labels),
               static_cast<double>(count));
  });
  each([&](auto labels, const store::SourceView& view, v1::Kind kind) {
    const bool complete = std::ranges::find(view.complete, kind) != view.complete.end();
    out->gauge("sluice_control_complete",
               "1 while all objects of the kind are known; else absence is no proof.",
               std::move(labels), complete ? 1 : 0);
  });
  for (const store::SourceView& view : state.sources) {
    out->gauge("sluice_control_held_objects",
               "Objects kept although Redis does not have them: sluice source list.",
               {{"source", view.state.source()}}, static_cast<double>(view.held));
  }
  for (const store::SourceView& view : state.sources) {
    out->gauge(
        "sluice_control_source_alarmed",
        "1 while so many Services are gone that somebody has to say that it is meant: sluice "
        "source accept.",
        {{"source", view.state.source()}}, view.alarmed ? 1 : 0);
  }
  for (const store::SourceView& view : state.sources) {
    out->gauge("sluice_control_unusable_values",
               "Values in Redis that cannot be used; the last good ones count, 100 at most.",
               {{"source", view.state.source()}}, static_cast<double>(view.problems.size()));
  }
}

void add_sharing(const ControlState& state, MetricFamilies* out) {
  out->gauge("sluice_control_redis_connected", "1 while Redis answers.", {},
             state.redis_connected ? 1 : 0);
  out->gauge("sluice_control_leader", "1 while this control leads.", {}, state.leading ? 1 : 0);
  const auto ledger = [&](const char* name, LedgerState which) {
    out->gauge("sluice_control_ledger_state",
               "1 for the state of the ledger of addresses: unknown (not read yet), ready, rebuild "
               "(lost or new; nothing is granted until it is rebuilt).",
               {{"state", name}}, state.ledger == which ? 1 : 0);
  };
  ledger("unknown", LedgerState::kUnknown);
  ledger("ready", LedgerState::kReady);
  ledger("rebuild", LedgerState::kRebuild);
  out->gauge("sluice_control_ledger_records", "Addresses in the ledger, held and released ones.",
             {}, static_cast<double>(state.addresses));
  const auto failed = [&](const char* part, ControlState::Time time) {
    out->gauge("sluice_control_last_error_timestamp_seconds",
               "When Redis, the dataplane or the copy on disk last failed; 0: never.",
               {{"part", part}}, unix_seconds(time));
  };
  failed("redis", state.redis_failed);
  failed("dataplane", state.dataplane_failed);
  failed("disk", state.disk_failed);
}

std::string line(bool good, const std::string& text) {
  return (good ? "[+]" : "[-]") + text + "\n";
}

std::string dataplane_text(const ControlState& state) {
  std::string text = "dataplane: ";
  if (!state.dataplane_connected) {
    text += "is not connected";
  } else if (!state.programmed) {
    text += state.secret_known ? "is not programmed yet"
                               : "is not programmed, since the gateways' secret is not known";
  } else {
    text += "serves " + std::to_string(state.vips) + " VIPs, generation " +
            std::to_string(state.generation);
  }
  return text + (state.dataplane_error.empty() ? "" : "; " + state.dataplane_error);
}

}  // namespace

std::string control_metrics(const ControlState& state) {
  MetricFamilies out;
  out.gauge("sluice_control_info", "1; the labels say which gateway and version this is.",
            {{"gateway", state.gateway}, {"version", state.version}}, 1);
  if (state.latency != nullptr) add_latency(*state.latency, &out);
  add_programming(state, &out);
  add_working(state, &out);
  add_sources(state, &out);
  add_sharing(state, &out);
  return out.text();
}

ControlReadiness control_readiness(const ControlState& state) {
  ControlReadiness result;
  const bool objects = state.objects_read || state.disk_loaded;
  result.ready = objects && state.ledger_known && state.programmed;
  result.text =
      line(objects, state.objects_read  ? "objects: read from Redis"
                    : state.disk_loaded ? "objects: from the copy on disk"
                                        : "objects: not known yet") +
      line(state.ledger_known, state.ledger_known
                                   ? "ledger: " + std::to_string(state.addresses) + " addresses"
                                   : "ledger: not known yet") +
      line(state.programmed, dataplane_text(state)) +
      line(state.redis_connected, state.redis_connected
                                      ? "redis: answers"
                                      : "redis: does not answer; the last good state is served");
  for (const store::SourceView& view : state.sources) {
    result.text += "source " + view.state.source() + ": " + view.state.state();
    if (!view.state.message().empty()) result.text += "; " + view.state.message();
    result.text += "\n";
  }
  result.text += "leading: " +
                 std::string(state.leading          ? "yes"
                             : state.leader.empty() ? "no"
                                                    : "no, but " + state.leader + " does") +
                 "\n";
  result.text += result.ready ? "ready\n" : "not ready\n";
  return result;
}

}  // namespace sluice
