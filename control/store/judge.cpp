#include "control/store/judge.h"

#include <algorithm>

namespace sluice::store {
namespace {

// Absence that would take away more than a fifth, and more than ten, of a source's Services is more
// likely a mistake than a wish.
constexpr std::size_t kAlarmServices = 10;
constexpr std::size_t kAlarmFraction = 5;

bool went_back(const Evidence& e) {
  if (e.live.incarnation.empty() || e.live.incarnation != e.hash.incarnation) return false;
  return e.hash.sequence < e.live.sequence || e.entry_lost;
}

// Whether what Redis has descends from all we know, so that what it lacks was deleted and not lost.
// A cluster's agent publishes from the origin; manual has none, and a re-seeded one knows no more
// than the copy it was re-seeded from.
bool descends(const Evidence& e) {
  if (e.base.incarnation.empty() || e.base.incarnation == e.hash.incarnation) return true;
  if (e.source != kManualSource) return true;
  return e.hash.marker && e.hash.marker->reseeded_incarnation() == e.base.incarnation &&
         e.hash.marker->reseeded_sequence() >= e.base.sequence;
}

bool counted_right(const Evidence& e, v1::Kind kind) {
  const auto found = e.counted.find(kind);
  return e.hash.count(kind) == (found == e.counted.end() ? 0 : found->second);
}

std::size_t total_absent(const Evidence& e, const std::set<v1::Kind>& but_not) {
  std::size_t total = 0;
  for (const auto& [kind, count] : e.absent) {
    if (!but_not.contains(kind)) total += count;
  }
  return total;
}

bool alarming(const Evidence& e, const std::set<v1::Kind>& proven) {
  const auto services = e.absent.find(v1::KIND_SERVICE);
  if (services == e.absent.end() || !proven.contains(v1::KIND_SERVICE)) return false;
  return services->second > kAlarmServices && services->second * kAlarmFraction > e.known_services;
}

std::string kinds_text(const std::set<v1::Kind>& kinds) {
  std::string text;
  for (const v1::Kind kind : kinds)
    text += (text.empty() ? "" : ", ") + std::string(kind_name(kind));
  return text;
}

Judgement nothing_to_read(const Evidence& e, std::string why) {
  Judgement j;
  j.hold_all = true;
  j.complete = e.complete_before;
  j.state = e.known == 0 ? "unknown" : "held";
  j.message = std::move(why);
  return j;
}

}  // namespace

Judgement judge(const Evidence& e) {
  const bool manual = e.source == kManualSource;
  if (!e.hash.problem.empty()) {
    return nothing_to_read(e, "sluice:1:source:" + e.source + " cannot be used: " + e.hash.problem);
  }
  if (e.hash.incarnation.empty()) {
    Judgement j =
        nothing_to_read(e, "Redis has nothing of this source: new, flushed or another one");
    if (manual) j.reseed = Reseed::kFill;
    return j;
  }
  if (went_back(e) && !e.accepted) {
    Judgement j = nothing_to_read(
        e, "Redis went back to an older state: changes up to " + std::to_string(e.live.sequence) +
               " were read, Redis has " + std::to_string(e.hash.sequence) + " and another history");
    if (manual) j.reseed = Reseed::kReplace;
    return j;
  }

  Judgement j;
  std::set<v1::Kind> unpublished;
  const bool descendant = descends(e) || e.accepted;
  for (const v1::Kind kind : all_kinds()) {
    if (!counted_right(e, kind)) {
      j.miscounted.insert(kind);
    } else if (!e.hash.complete(kind)) {
      unpublished.insert(kind);
    } else {
      j.complete.insert(kind);
      if (descendant) j.proven.insert(kind);
    }
  }
  // Held or not, a kind that was known as a whole stays known: nothing of it is lost.
  j.complete.insert(e.complete_before.begin(), e.complete_before.end());
  if (manual && (!j.miscounted.empty() || !unpublished.empty())) j.reseed = Reseed::kFill;

  if (alarming(e, j.proven) && !e.accepted) {
    j.alarmed = true;
    j.proven.clear();
    j.message =
        std::to_string(e.absent.at(v1::KIND_SERVICE)) + " of " + std::to_string(e.known_services) +
        " Services are gone at once; they are kept until `sluice source accept " + e.source + "`";
  } else if (!j.miscounted.empty()) {
    j.message = "Redis does not have as many objects as it counts: " + kinds_text(j.miscounted);
  } else if (!unpublished.empty() && (manual || j.complete.empty())) {
    j.message = "not published as a whole yet: " + kinds_text(unpublished);
  } else if (!descendant && total_absent(e, j.proven) > 0) {
    j.message =
        "Redis was re-seeded by a gateway that did not know all this one knows; what is missing is "
        "kept until `sluice source accept " +
        e.source + "`";
  }
  const std::size_t held = total_absent(e, j.proven);
  j.state = held > 0 ? "held" : j.complete.empty() ? "unknown" : "synced";
  if (j.state == "held" && !j.alarmed) j.message += " (" + std::to_string(held) + " objects kept)";
  return j;
}

}  // namespace sluice::store
