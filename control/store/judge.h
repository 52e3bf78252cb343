// judge: what may be believed of one complete read of a source. Pure: values in, values out.
// Purpose: the rules of proto/README.md, "Reading", in one place that tests can reach.
// Thread: any.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "control/store/reader.h"
#include "control/store/source_hash.h"

namespace sluice::store {

// Where in a source's history a state stands.
struct Position {
  std::string incarnation;  // Empty: no state at all.
  std::uint64_t sequence = 0;
  std::string entry;  // Stream id of that change; empty: not known.
};

struct Evidence {
  std::string source;
  Position base;    // Of the last good state.
  Position live;    // Last change read; later than base while objects are held.
  SourceHash hash;  // Equal before and after the read.
  bool entry_lost =
      false;              // Redis no longer knows the change we last read, and it was not trimmed.
  bool accepted = false;  // `sluice source accept` for this incarnation.
  std::map<v1::Kind, std::uint64_t> counted;  // Keys found.
  std::set<v1::Kind> complete_before;         // Kinds that were known as a whole.
  std::size_t known = 0;                      // Objects of the last good state.
  std::size_t known_services = 0;
  std::map<v1::Kind, std::size_t> absent;  // Known but not found, without an explicit delete.
};

struct Judgement {
  bool hold_all = false;          // Take nothing of this read, not even changed values.
  std::set<v1::Kind> proven;      // Kinds whose absent objects are gone.
  std::set<v1::Kind> complete;    // Kinds known as a whole.
  std::set<v1::Kind> miscounted;  // Kinds of which Redis has more or fewer objects than it counts.
  bool alarmed = false;
  Reseed reseed = Reseed::kNo;
  std::string state;  // As in SourceState.
  std::string message;
};

Judgement judge(const Evidence& evidence);

}  // namespace sluice::store
