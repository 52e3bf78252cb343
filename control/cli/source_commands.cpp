#include "control/cli/source_commands.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <set>
#include <utility>

#include "control/cli/age.h"
#include "control/cli/selection.h"
#include "control/model/key.h"
#include "control/store/publisher.h"

namespace sluice {
namespace {

constexpr std::size_t kMostNames = 20;

const v1::SourceState* state_of(const store::Gateway& gateway, const std::string& source) {
  const auto& sources = gateway.presence.sources();
  const auto at = std::ranges::find(sources, source, &v1::SourceState::source);
  return gateway.alive && at != sources.end() ? &*at : nullptr;
}

std::string objects_text(const store::SourceHash& hash) {
  std::vector<std::string> parts;
  for (const auto& [kind, count] : hash.counts)
    if (count > 0) parts.push_back(std::string(kind_name(kind)) + "=" + std::to_string(count));
  return joined(parts);
}

std::string gateways_text(const std::string& source, const std::vector<store::Gateway>& gateways) {
  std::vector<std::string> parts;
  for (const store::Gateway& gateway : gateways) {
    if (!gateway.alive) continue;
    const v1::SourceState* state = state_of(gateway, source);
    parts.push_back(gateway.name + "=" + (state ? state->state() : "unknown"));
  }
  return joined(parts);
}

std::string note(const SourceFacts& source, const store::Gateway& gateway,
                 const v1::SourceState& state) {
  std::string text = "Source " + source.name + " on gateway " + gateway.name + " is " +
                     state.state() + ": " +
                     (state.message().empty() ? "no reason given" : state.message()) + "\n";
  HeldObjects held;
  held.count = state.held();
  held.names.assign(state.held_objects().begin(), state.held_objects().end());
  if (held.count > 0) text += "  kept: " + held_text(held) + "\n";
  if (state.state() == "held" && !source.hash.incarnation.empty())
    text += "  They go on being served. If they are meant to be gone: sluice source accept " +
            source.name + "\n";
  else if (state.state() == "held")
    text += source.name == kManualSource
                ? "  It is brought back by the leading gateway; sluice get gateways tells which.\n"
                : "  It comes back when its sluice-agent has published it again; look at that.\n";
  else
    text += "  The last good state is served; the log of sluice-control on " + gateway.name +
            " tells more.\n";
  return text;
}

Result<std::vector<SourceFacts>> read_facts(Context& context, store::Redis& redis,
                                            const std::vector<store::Gateway>& gateways) {
  const auto listed = context.run(store::list_sources(redis));
  if (!listed) return Error{listed.error()};
  // A flushed Redis has forgotten what the gateways still hold.
  std::set<std::string> names(listed->begin(), listed->end());
  for (const store::Gateway& gateway : gateways)
    for (const v1::SourceState& state : gateway.presence.sources()) names.insert(state.source());
  std::vector<SourceFacts> facts;
  for (const std::string& name : names) {
    auto hash = context.run(store::read_source_hash(redis, name));
    if (!hash) return Error{hash.error()};
    facts.push_back({name, std::move(*hash)});
  }
  return facts;
}

bool confirmed() {
  std::cerr << "Let them go? [y/N] " << std::flush;
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

}  // namespace

std::string held_text(const HeldObjects& held) {
  std::string text = std::to_string(held.count) + (held.count == 1 ? " object: " : " objects: ");
  const std::size_t shown = std::min(held.names.size(), kMostNames);
  for (std::size_t i = 0; i < shown; ++i) text += (i == 0 ? "" : ", ") + held.names[i];
  if (shown == 0) return "objects whose names are not known";
  if (held.count > shown) text += " and " + std::to_string(held.count - shown) + " more";
  return text;
}

HeldObjects held_objects(const std::string& source, const std::vector<store::Gateway>& gateways) {
  HeldObjects held;
  std::set<std::string> names;
  for (const store::Gateway& gateway : gateways) {
    held.gateway_alive = held.gateway_alive || gateway.alive;
    const v1::SourceState* state = state_of(gateway, source);
    if (!state) continue;
    // Of a source that nobody knows as a whole, a dataplane may serve what no object stands for.
    held.any = held.any || state->state() == "held" || state->state() == "unknown";
    held.count = std::max<std::size_t>(held.count, state->held());
    names.insert(state->held_objects().begin(), state->held_objects().end());
  }
  held.names.assign(names.begin(), names.end());
  held.count = std::max(held.count, held.names.size());
  held.any = held.any || held.count > 0;
  return held;
}

Table source_table(const std::vector<SourceFacts>& sources,
                   const std::vector<store::Gateway>& gateways,
                   std::chrono::system_clock::time_point now) {
  Table table({"SOURCE", "CLUSTER-UID", "EPOCH", "LAST-SYNC", "HELD", "OBJECTS", "GATEWAYS"});
  for (const SourceFacts& source : sources) {
    const auto& marker = source.hash.marker;
    table.add({source.name,
               marker && !marker->cluster_uid().empty() ? marker->cluster_uid() : "<none>",
               marker ? std::to_string(marker->epoch()) : "<none>",
               marker && marker->finished_unix_ms() != 0
                   ? age_since_unix_ms(marker->finished_unix_ms(), now)
                   : "<none>",
               std::to_string(held_objects(source.name, gateways).count), objects_text(source.hash),
               gateways_text(source.name, gateways)});
  }
  return table;
}

std::string source_notes(const std::vector<SourceFacts>& sources,
                         const std::vector<store::Gateway>& gateways) {
  std::string text;
  for (const SourceFacts& source : sources) {
    if (!source.hash.problem.empty())
      text += "Source " + source.name + ": " + source.hash.problem + "\n";
    for (const store::Gateway& gateway : gateways) {
      const v1::SourceState* state = state_of(gateway, source.name);
      if (state && state->state() != "synced") text += note(source, gateway, *state);
    }
  }
  return text;
}

int source_list_command(Context& context) {
  auto redis = context.redis();
  if (!redis) return fail(redis.error());
  const auto gateways = context.run(store::list_gateways(**redis));
  if (!gateways) return fail(gateways.error());
  const auto sources = read_facts(context, **redis, *gateways);
  if (!sources) return fail(sources.error());
  if (sources->empty()) {
    std::cerr << "No sources found. Nothing was applied yet, and no sluice-agent has published.\n";
    return kExitOk;
  }
  std::cout << source_table(*sources, *gateways, std::chrono::system_clock::now()).text();
  const std::string notes = source_notes(*sources, *gateways);
  if (!notes.empty()) std::cout << '\n' << notes;
  return kExitOk;
}

int source_accept_command(Context& context, const AcceptOptions& options) {
  auto redis = context.redis();
  if (!redis) return fail(redis.error());
  const auto gateways = context.run(store::list_gateways(**redis));
  if (!gateways) return fail(gateways.error());
  const HeldObjects held = held_objects(options.source, *gateways);
  if (!held.any)
    if (Status s = check_source(context, **redis, options.source); !s) return fail(s.error());
  if (held.gateway_alive && !held.any) {
    std::cout << "source/" << options.source << " unchanged: no gateway holds anything of it\n";
    return kExitOk;
  }
  std::cerr << (held.gateway_alive
                    ? "Gateways will stop serving " + held_text(held) + ".\n"
                    : std::string("No gateway is alive: what will be let go is not known.\n"));
  if (!options.yes) {
    if (::isatty(STDIN_FILENO) == 0)
      return fail("nobody to ask: give --yes if that is what you want");
    if (!confirmed()) return fail("nothing was changed");
  }
  if (Status s = context.run(store::accept_source(**redis, options.source)); !s)
    return fail(s.error());
  std::cout << "source/" << options.source << " accepted\n";
  return kExitOk;
}

}  // namespace sluice
