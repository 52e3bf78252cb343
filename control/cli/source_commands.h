// `sluice source list` and `source accept`: where objects come from, how well the gateways know
// them, and letting go what they hold for want of proof. Ownership: by value. Thread: the
// context's. Errors: Redis' own.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "control/cli/context.h"
#include "control/cli/table.h"
#include "control/store/source_hash.h"
#include "control/store/status.h"

namespace sluice {

int source_list_command(Context& context);

struct AcceptOptions {
  std::string source;
  bool yes = false;  // Without asking.
};
int source_accept_command(Context& context, const AcceptOptions& options);

// Pure from here on.
struct SourceFacts {
  std::string name;
  store::SourceHash hash;
};
// One row a source.
Table source_table(const std::vector<SourceFacts>& sources,
                   const std::vector<store::Gateway>& gateways,
                   std::chrono::system_clock::time_point now);
// A paragraph for everything that is not as it should be, with what to do; empty: all is well.
std::string source_notes(const std::vector<SourceFacts>& sources,
                         const std::vector<store::Gateway>& gateways);

struct HeldObjects {
  std::size_t count = 0;           // By the gateway that holds most.
  std::vector<std::string> names;  // Bounded.
  bool any = false;                // Also where an older gateway does not count them.
  bool gateway_alive = false;
};
HeldObjects held_objects(const std::string& source, const std::vector<store::Gateway>& gateways);
// "12 objects: Service default/a, Service default/b and 10 more"
std::string held_text(const HeldObjects& held);

}  // namespace sluice
