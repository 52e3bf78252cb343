// Selection: the objects in Redis that a command asks for.
// Purpose: one place that turns source, namespace, names and labels into objects; every command
// that reads objects uses it. Ownership: by value; chosen() points into it. Thread: the context's.
// Errors: Redis' own, or a source nobody knows; what cannot be read is told on stderr and left out.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "control/cli/context.h"
#include "control/cli/label_selector.h"
#include "control/cli/object_tables.h"

namespace sluice {

struct ObjectQuery {
  v1::Kind kind = v1::KIND_UNSPECIFIED;
  std::string source;              // Empty: all.
  std::string ns;                  // Empty: all; of no meaning for cluster-scoped kinds.
  std::vector<std::string> names;  // Empty: all.
  LabelSelector labels;

  bool wants(const store::StoredObject& object) const;
};

class Selection {
 public:
  static Result<Selection> read(Context& context, store::Redis& redis, ObjectQuery query);

  Objects chosen() const;
  const ObjectQuery& query() const { return query_; }
  // More than one source has objects among them.
  bool several_sources() const;
  // `service "web" not found in namespace "shop"`, for each name that was not.
  std::vector<std::string> missing() const;

  void put(store::StoredObject object);  // A changed or new one.
  void remove(const ObjectKey& key);
  std::vector<v1::AddressPool*> pools();  // Among them.
  // Services: their status as kubectl shows it, from what the gateways say of them.
  void add_status(const MergedStatuses& statuses);

 private:
  explicit Selection(ObjectQuery query) : query_(std::move(query)) {}

  ObjectQuery query_;
  std::map<ObjectKey, store::StoredObject> objects_;
};

// What the leading gateway says of these Services.
Result<MergedStatuses> merged_statuses(Context& context, store::Redis& redis,
                                       const Objects& services);
// Nothing for an empty name, `manual`, and the sources Redis has; else an error that names those.
Status check_source(Context& context, store::Redis& redis, const std::string& source);
// Refuses to write to a cluster's source.
Status check_writable(const std::string& source);

}  // namespace sluice
