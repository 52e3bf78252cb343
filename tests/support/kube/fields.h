// Field ownership: metadata.managedFields of updates, and server-side apply.
// Ownership: by value. Thread: any. Source: Kubernetes server-side apply; structured-merge-diff.
#pragma once

#include <boost/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::test::kube {

namespace json = boost::json;

// One field: elements as in fieldsV1: "f:NAME", "k:{...}", last "." for an element itself.
using FieldPath = std::vector<std::string>;
using FieldSet = std::set<FieldPath>;

// The fields an object sets, but what the server alone writes (uid, resourceVersion, ...).
FieldSet fields_of(const json::object& object, std::string_view kind);

struct FieldWriter {
  std::string manager, subresource, api_version, time;
};

// Gives what `after` changes of `before` to the writer, and writes after's managedFields.
// `before` null: `after` is new.
void track_update(const json::object* before, json::object& after, std::string_view kind,
                  const FieldWriter& writer);

// `config` applied to `live`; result in `merged` with its managedFields. Fills `conflicts`
// (manager, field) and leaves `merged` alone when others own what it changes and `force` is false.
void apply_fields(const json::object& live, const json::object& config, std::string_view kind,
                  const FieldWriter& writer, bool force, json::object& merged,
                  std::vector<std::pair<std::string, std::string>>& conflicts);

}  // namespace sluice::test::kube
