// `sluice get`: objects of Redis, and what the dataplane and the gateways report.
#pragma once

#include <string>
#include <vector>

#include "control/cli/context.h"
#include "control/cli/resource.h"
#include "control/cli/selection.h"

namespace sluice {

struct GetOptions {
  std::vector<std::string> words;  // As parse_resources() takes them.
  std::string ns;                  // Empty: "default" for objects, all for VIPs.
  bool all_namespaces = false;
  std::string source;    // Empty: all.
  std::string selector;  // As LabelSelector takes it.
  std::string output;    // "", "wide", "json", "yaml" or "name".
  bool no_headers = false;
  bool show_labels = false;
  bool watch = false;  // Follow changes after the list, or without it.
  bool watch_only = false;
  bool watch_events = false;  // What happened, before each line or object.

  bool structured() const { return output == "json" || output == "yaml"; }
};
int get_command(Context& context, const GetOptions& options);

// For watching too.
Result<Selection> select_objects(Context& context, store::Redis& redis, const ResourceNames& wanted,
                                 const GetOptions& options);
// One row for each of `objects`, in their order.
Result<Table> object_table(Context& context, store::Redis& redis, Resource resource,
                           const Objects& objects, const TableOptions& options);
TableOptions table_options(const GetOptions& options);
// The kind of objects behind a table or a list of `resource`.
v1::Kind listed_kind(Resource resource, const GetOptions& options);

}  // namespace sluice
